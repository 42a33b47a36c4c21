//! A control plane whose proxy is played by hand.

use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use sharding::{Member, MemberStreams, Phase, Report, Roster};
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::ads::progress::Progress;
use crate::ads::{Holding, Mode, Proxy, ProxyObserver, Push, StreamId};
use crate::config::Config;
use crate::files::LookAgain;
use crate::module::Module;
use crate::rebalance::Shown;
use crate::rebalance::driver::{Driver, Parts};
use crate::snapshot::{ResourceType, Snapshot};

use super::super::*;

const STREAM: StreamId = StreamId(1);

/// Name of the proxy, as unfriendly as they come.
pub(super) const NODE: &str = "edge/1 ü";

pub(super) struct Scene {
    pub(super) admin: Arc<Admin>,
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    rosters: watch::Sender<Option<Roster>>,
    /// Goes with its files.
    pub(super) folder: TempDir,
}

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

fn roster(ids: &[u16]) -> Roster {
    let member = |&n: &u16| Member::new(format!("m{n}"), ([127, 0, 0, 1], n).into(), 1);
    Roster::new(ids.iter().map(member).collect()).unwrap()
}

impl Scene {
    /// Before the first roster, and without leases.
    pub(super) fn fresh(more: &str) -> Self {
        Self::new("{file: m.yaml}", more).0
    }

    /// With leases, with two members, and a proxy that has accepted all but its listeners,
    /// which it has refused.
    pub(super) async fn served(more: &str) -> Self {
        let (scene, parts) = Self::new("{file: m.yaml, leases: {}}", more);
        scene.rosters.send_replace(Some(roster(&[1, 2])));
        let mut driver = Driver::restore(parts);
        let _ = driver.start().await;
        tokio::spawn(driver.run());
        let proxy = proxy();
        scene.fleet.connected(STREAM, &proxy);
        scene.accept();
        let push = Push {
            kind: ResourceType::Cluster,
            version: "1",
            bytes: 100,
        };
        let (fleet, cds, lds) = (&scene.fleet, push.kind, ResourceType::Listener);
        fleet.pushed(STREAM, &proxy, push);
        fleet.acked(STREAM, &proxy, cds, "1");
        fleet.nacked(STREAM, &proxy, lds, "2", "no such filter");
        scene
            .shown("released and over", |shown| !shown.last.is_empty())
            .await;
        scene.accept();
        scene
    }

    fn new(registry: &str, more: &str) -> (Self, Parts) {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "registry: {registry}\nfilter: {{module: f.wasm}}\n\
             rebalance: {{settle: 1ms, finish_wait: 100ms, ack_wait: 500ms}}\n\
             listener: {{address: '127.0.0.1:80'}}\n{more}"
        );
        let mut config: Config = serde_saphyr::from_str(&text).unwrap();
        config.state_file = folder.path().join("state.json");
        let leases = config.registry.leases.as_mut();
        let leases = leases.map(|leases| &mut leases.file);
        for file in config.admin.token_file.iter_mut().chain(leases) {
            *file = folder.path().join(&*file);
        }
        let (fleet, board) = (Arc::<Fleet>::default(), Arc::<Board>::default());
        let (sources, _) = registry::start(&config.registry, None, &LookAgain::default()).unwrap();
        let (rosters, receiver) = watch::channel(None);
        let (health, serving) = health::start(
            None,
            &config.state_file,
            None,
            receiver,
            Arc::clone(&fleet),
            Arc::clone(&board),
        );
        let module = Module {
            path_on_proxy: "/f.wasm".to_owned(),
        };
        let (_, in_force) = watch::channel(Arc::new(InForce { config, module }));
        let (admin, registered) = Admin::new(&in_force, &sources, &health, &fleet, &board);
        let parts = Parts {
            in_force,
            fleet: Arc::clone(&fleet),
            board: Arc::clone(&board),
            metrics: registered.metrics,
            serving,
        };
        let scene = Self {
            admin,
            fleet,
            board,
            rosters,
            folder,
        };
        (scene, parts)
    }

    /// Other members, which the proxy is sent and has not accepted yet.
    pub(super) async fn change(&self, ids: &[u16]) {
        let before = self.board.read().current.unwrap().epoch;
        self.rosters.send_replace(Some(roster(ids)));
        let shown = self.shown("published", |shown| {
            shown
                .current
                .as_ref()
                .is_some_and(|current| current.epoch > before)
        });
        let snapshot = shown.await.snapshot.unwrap();
        for kind in ResourceType::ALL {
            let progress = progress(&snapshot, kind, |_| false);
            let has = progress.sent.len();
            assert_eq!(has, snapshot.of(kind).len());
            self.fleet
                .holds(STREAM, kind, Holding(&progress), &snapshot);
        }
    }

    /// The proxy has all of the newest snapshot but listeners, and a VM of it
    /// says so.
    pub(super) fn accept(&self) {
        let shown = self.board.read();
        let snapshot = shown.snapshot.unwrap();
        for kind in ResourceType::ALL {
            let progress = progress(&snapshot, kind, |kind| kind != ResourceType::Listener);
            self.fleet
                .holds(STREAM, kind, Holding(&progress), &snapshot);
        }
        let report = Report {
            node: NODE.to_owned(),
            vm: 7,
            epoch: shown.current.unwrap().epoch,
            phase: Phase::Released.into(),
            open: 500,
            members: vec![MemberStreams {
                id: "m1".to_owned(),
                open: 500,
                ..MemberStreams::default()
            }],
            ..Report::default()
        };
        self.fleet.report(report, Instant::now()).unwrap();
    }

    async fn shown(&self, what: &str, is: impl Fn(&Shown) -> bool) -> Shown {
        let mut board = self.board.subscribe();
        let waited =
            tokio::time::timeout(Duration::from_secs(20), board.wait_for(|shown| is(shown)));
        let shown = waited.await.unwrap_or_else(|_| panic!("not {what}"));
        shown.unwrap().clone()
    }

    /// What allows changes from now on.
    pub(super) fn set_token(&self, token: &str) {
        std::fs::write(self.folder.path().join("token"), token).unwrap();
    }

    pub(super) async fn ask(&self, request: Request<Body>) -> Reply {
        self.ask_at([127, 0, 0, 1], request).await
    }

    /// The same, of an interface that listens there.
    pub(super) async fn ask_at(&self, listens: [u8; 4], request: Request<Body>) -> Reply {
        let router = Arc::clone(&self.admin).router((listens, 80).into());
        reply(router, request).await
    }
}

pub(super) async fn reply(router: Router, request: Request<Body>) -> Reply {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Reply {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(body.into()).unwrap(),
    }
}

fn proxy() -> Proxy {
    Proxy {
        node: NODE.to_owned(),
        cluster: String::new(),
        software: "envoy 1.40.0".to_owned(),
        address: Some(([127, 0, 0, 1], 5).into()),
        mode: Mode::Delta,
        reads_hash_key: false,
    }
}

/// What a proxy has that was sent everything and has accepted what it is told
/// to. It goes by the content of resources: what has not changed it has.
fn progress(
    snapshot: &Snapshot,
    kind: ResourceType,
    accepts: impl Fn(ResourceType) -> bool,
) -> Progress {
    let mut progress = Progress::default();
    progress.subscription.set_wildcard(true);
    let is_still = matches!(kind, ResourceType::Cluster | ResourceType::Routes);
    for resource in snapshot.of(kind).values() {
        progress.adopt(resource.name(), resource.version());
        if !accepts(kind) && !is_still {
            progress.confirmed.remove(resource.name());
        }
    }
    progress
}
