//! The driver with a state file, a clock that runs, and a fleet by hand.

mod reload;

use prometheus_client::registry::Registry;
use sharding::{Drain, Member, Phase, Report};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::ads::progress::Progress;
use crate::ads::{Holding, Mode, Proxy, ProxyObserver, StreamId};
use crate::config::Config;
use crate::module::Module;
use crate::rebalance::store::tests::{BadDisk, soon};
use crate::rebalance::{Outcome, Shown};
use crate::snapshot::ResourceType;

const PATIENCE: Duration = Duration::from_secs(20);

const STREAM: StreamId = StreamId(1);

fn roster(ids: &[u16]) -> Roster {
    let members = ids
        .iter()
        .map(|&n| Member::new(format!("m{n}"), ([127, 0, 0, 1], n).into(), 1));
    Roster::new(members.collect()).unwrap()
}

fn config(settings: &str) -> Config {
    let text = format!("registry: {{file: m.yaml}}\nfilter: {{module: f.wasm}}\n{settings}");
    serde_saphyr::from_str(&text).unwrap()
}

fn in_force(config: Config) -> Arc<InForce> {
    let module = Module {
        path_on_proxy: format!("/{}", config.filter.module.display()),
    };
    Arc::new(InForce { config, module })
}

/// A control plane without its ports.
struct Scene {
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    rosters: watch::Sender<Option<Serving>>,
    in_force: watch::Sender<Arc<InForce>>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    running: JoinHandle<()>,
    disk: Arc<dyn Disk>,
}

impl Scene {
    async fn start(folder: &TempDir, settings: &str, ids: &[u16]) -> Self {
        let disk = StateFile(folder.path().join("state.json"));
        Self::start_on(Arc::new(disk), settings, ids).await
    }

    async fn start_on(disk: Arc<dyn Disk>, settings: &str, ids: &[u16]) -> Self {
        let config = config(settings);
        let (fleet, board) = (Arc::new(Fleet::default()), Arc::new(Board::default()));
        let (rosters, receiver) = watch::channel(Some(roster(ids).into()));
        let (in_force, settings) = watch::channel(in_force(config));
        let parts = Parts {
            in_force: settings,
            fleet: Arc::clone(&fleet),
            board: Arc::clone(&board),
            metrics: Metrics::register(&mut Registry::default()),
            serving: receiver,
        };
        let mut driver = Driver::restore_from(Arc::clone(&disk), parts);
        let snapshots = driver.start().await;
        Self {
            fleet,
            board,
            rosters,
            in_force,
            snapshots,
            running: tokio::spawn(driver.run()),
            disk,
        }
    }

    /// A fresh proxy comes, takes over the first assignment, and its release.
    async fn taken_over(&self) -> Shown {
        self.connect();
        self.accept();
        let shown = self.shown("released", is_released).await;
        self.accept();
        shown
    }

    fn connect(&self) {
        let proxy = Proxy::new(None, None, Mode::Delta);
        self.fleet.connected(STREAM, &proxy);
    }

    /// The proxy has all of the newest snapshot, and its VM says so.
    fn accept(&self) {
        self.holds(false);
    }

    fn holds(&self, is_back: bool) {
        let snapshot = self.snapshots.borrow().clone();
        for kind in ResourceType::ALL {
            let mut progress = Progress::default();
            progress.is_back = is_back;
            progress.subscription.set_wildcard(true);
            for resource in snapshot.of(kind).values() {
                progress.adopt(resource.name(), resource.version());
            }
            self.fleet
                .holds(STREAM, kind, Holding(&progress), &snapshot);
        }
    }

    fn report(&self, misplaced: u64, drained: u64) {
        let current = self.board.read().current.unwrap();
        let phase = match current.drain {
            Drain::Hold => Phase::Hold,
            Drain::Release { .. } => Phase::Released,
        };
        let report = Report {
            vm: 7,
            epoch: current.epoch,
            phase: phase.into(),
            misplaced,
            drained,
            ..Report::default()
        };
        self.fleet.report(report, Instant::now()).unwrap();
    }

    /// Waits until that is shown.
    async fn shown(&self, what: &str, is: impl Fn(&Shown) -> bool) -> Shown {
        let mut shown = self.board.subscribe();
        let shown = timeout(PATIENCE, shown.wait_for(is)).await;
        shown.expect(what).unwrap().clone()
    }

    /// Waits until what was handed out is on the disk.
    async fn saved(&self) {
        soon("saved", || {
            let current = self.board.read().current;
            self.disk.read().unwrap().as_ref() == current.as_deref()
        })
        .await;
    }

    fn drain(&self) -> Drain {
        self.board.read().current.unwrap().drain
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn is_released(shown: &Shown) -> bool {
    let current = shown.current.as_ref();
    current.is_some_and(|current| current.drain != Drain::Hold)
}

#[tokio::test]
async fn a_change_is_held_for_its_proxy_and_released_when_it_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start(
        &folder,
        "rebalance: {settle: 10ms, ack_wait: 1m, finish_wait: 1m}\n",
        &[1, 2],
    )
    .await;
    let first = scene.taken_over().await.current.unwrap().epoch;
    scene.report(0, 0);

    scene.rosters.send_replace(Some(roster(&[1, 2, 3]).into()));
    let shown = scene
        .shown("holding", |shown| shown.stage == Stage::Holding)
        .await;
    let held = shown.current.unwrap();
    assert!(held.epoch > first && held.drain == Drain::Hold);
    scene.saved().await;
    scene.accept();
    scene.report(3, 0);
    let shown = scene.shown("released", is_released).await;
    assert_eq!(shown.current.unwrap().epoch, held.epoch);
    scene.accept();
    scene.report(0, 3);
    let shown = scene
        .shown("planned and over", |shown| {
            let newest = shown.last.front();
            newest.is_some_and(|record| record.epoch == held.epoch && record.plan.is_some())
        })
        .await;
    let record = &shown.last[0];
    assert_eq!(record.outcome, Some(Outcome::Done));
    assert_eq!(record.drained, 3);
    assert!((record.plan.unwrap().moved - 1.0 / 3.0).abs() < 0.02);
    assert_eq!(shown.last[1].epoch, first);
    assert_eq!(shown.past.len(), 1);
}

#[tokio::test]
async fn a_restart_with_the_same_roster_serves_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start(&folder, "", &[1, 2]).await;
    scene.taken_over().await;
    let before = scene.snapshots.borrow().clone();
    scene.saved().await;
    drop(scene);
    let scene = Scene::start(&folder, "", &[2, 1]).await;
    let after = scene.snapshots.borrow().clone();
    for kind in ResourceType::ALL {
        for (name, resource) in before.of(kind) {
            assert_eq!(resource.version(), after.of(kind)[name].version());
        }
    }
    assert_eq!(scene.board.read().stage, Stage::Stable);
}

#[tokio::test]
async fn a_restart_in_the_middle_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let slow = "rebalance: {settle: 0, ack_wait: 1m}\n";
    let scene = Scene::start(&folder, slow, &[1]).await;
    scene.taken_over().await;
    scene.rosters.send_replace(Some(roster(&[1, 2]).into()));
    scene
        .shown("holding", |shown| {
            let current = shown.current.as_ref().unwrap();
            shown.stage == Stage::Holding && current.members == Some(roster(&[1, 2]))
        })
        .await;
    let held = scene.board.read().current.unwrap();
    scene.saved().await;
    drop(scene);
    let scene = Scene::start(&folder, slow, &[1, 2]).await;
    assert_eq!(scene.drain(), Drain::Hold);
    assert_eq!(scene.board.read().stage, Stage::Holding);
    let shown = scene.shown("released", is_released).await;
    assert_eq!(shown.current.unwrap().epoch, held.epoch);
}

#[tokio::test]
async fn without_a_roster_the_last_good_one_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start(&folder, "", &[1, 2]).await;
    let shown = scene.taken_over().await;
    scene.saved().await;
    drop(scene);
    let mut config = config("");
    config.state_file = folder.path().join("state.json");
    let board = Arc::new(Board::default());
    let (_rosters, receiver) = watch::channel(None);
    let (_in_force, settings) = watch::channel(in_force(config));
    let mut driver = Driver::restore(Parts {
        in_force: settings,
        fleet: Arc::default(),
        board: Arc::clone(&board),
        metrics: Metrics::register(&mut Registry::default()),
        serving: receiver,
    });
    timeout(PATIENCE, driver.start()).await.unwrap();
    assert_eq!(board.read().current, shown.current);
}

#[tokio::test]
async fn a_proxy_that_was_restarted_does_not_hold_up_a_rebalance() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start(&folder, "rebalance: {settle: 0}\n", &[1, 2]).await;
    scene.taken_over().await;
    scene.report(0, 0);
    // Envoy is restarted: another stream, another VM of the same node.
    let proxy = Proxy::new(None, None, Mode::Delta);
    scene.fleet.disconnected(STREAM, &proxy);
    scene.connect();
    scene.accept();
    let report = |vm| {
        let current = scene.board.read().current.unwrap();
        let phase = match current.drain {
            Drain::Hold => Phase::Hold,
            Drain::Release { .. } => Phase::Released,
        };
        scene
            .fleet
            .report(
                Report {
                    vm,
                    epoch: current.epoch,
                    phase: phase.into(),
                    ..Report::default()
                },
                Instant::now(),
            )
            .unwrap();
    };
    report(8);
    scene
        .shown("stable", |shown| shown.stage == Stage::Stable)
        .await;
    scene.rosters.send_replace(Some(roster(&[1, 2, 3]).into()));
    scene
        .shown("holding", |shown| shown.stage == Stage::Holding)
        .await;
    let held = scene.board.read().current.unwrap().epoch;
    tokio::time::sleep(Duration::from_millis(20)).await;
    scene.accept();
    report(8);
    scene
        .shown("released", |shown| {
            is_released(shown) && shown.current.as_ref().unwrap().epoch == held
        })
        .await;
    scene.accept();
    report(8);
    let shown = scene
        .shown("over", |shown| {
            shown.last.front().is_some_and(|r| r.epoch == held)
        })
        .await;
    let record = &shown.last[0];
    assert!(
        record.outcome == Some(Outcome::Done) && record.hold_ms < Some(500),
        "{record:?}"
    );
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_no_rebalance_and_a_restart_takes_no_epoch_twice() {
    let disk = Arc::new(BadDisk::default());
    let settings = "rebalance: {settle: 0, ack_wait: 1m, finish_wait: 1m}\n";
    let scene = Scene::start_on(disk.clone(), settings, &[1, 2]).await;
    let first = scene.taken_over().await.current.unwrap();
    scene.saved().await;
    scene.report(0, 0);
    let hanging = disk.hang();
    let mut given = vec![first.epoch];
    for ids in [&[1, 2, 3][..], &[2, 3], &[1, 3]] {
        scene.rosters.send_replace(Some(roster(ids).into()));
        let shown = scene
            .shown("holding", |shown| {
                let current = shown.current.as_ref().unwrap();
                shown.stage == Stage::Holding && current.members == Some(roster(ids))
            })
            .await;
        let epoch = shown.current.unwrap().epoch;
        scene.accept();
        scene.report(1, 0);
        scene.shown("released", is_released).await;
        scene.accept();
        scene.report(0, 1);
        let shown = scene
            .shown("over", |shown| {
                shown.last.front().is_some_and(|last| last.epoch == epoch)
            })
            .await;
        assert!(shown.last[0].hold_ms < Some(5000), "{:?}", shown.last[0]);
        given.push(epoch);
    }
    assert_eq!(disk.held().as_ref(), Some(&*first), "nothing was saved");

    // What is written late is the old process's business.
    let at_restart = Arc::new(BadDisk::default());
    at_restart.write(&first).unwrap();
    drop(scene);
    drop(hanging);
    let scene = Scene::start_on(at_restart, settings, &[1, 2, 4]).await;
    let epoch = scene.board.read().current.unwrap().epoch;
    assert!(
        given.iter().all(|&given| given < epoch),
        "{given:?} {epoch}"
    );
}

#[tokio::test]
async fn an_epoch_ahead_of_the_clock_is_handed_out_once_it_is_saved() {
    let disk = Arc::new(BadDisk::default());
    let ahead = FilterConfig {
        epoch: now().unix_ms + 3_600_000,
        members: Some(roster(&[1, 2])),
        drain: Drain::Release { window_ms: 0 },
        ..FilterConfig::new(0, "yorkie")
    };
    disk.write(&ahead).unwrap();
    let scene = Scene::start_on(disk.clone(), "rebalance: {settle: 0}\n", &[1, 2]).await;
    scene.shown("released", is_released).await;
    scene.saved().await;
    let before = scene.board.read().current;
    let hanging = disk.hang();
    scene.rosters.send_replace(Some(roster(&[1, 2, 3]).into()));
    soon("being written", || {
        disk.begun().last() > before.as_ref().map(|before| &before.epoch)
    })
    .await;
    sleep(store::PATIENCE * 3).await;
    assert_eq!(scene.board.read().current, before);
    drop(hanging);
    let shown = scene
        .shown("handed out", |shown| shown.current != before)
        .await;
    assert!(shown.current.unwrap().epoch > ahead.epoch);
}

#[tokio::test]
async fn a_lost_state_file_ends_no_stream_before_all_proxies_may_be_back() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start(&folder, "rebalance: {settle: 0}\n", &[1, 2]).await;
    sleep(LOOK_AGAIN).await;
    assert_eq!(scene.drain(), Drain::Hold, "nobody has come");
    scene.connect();
    scene.holds(true);
    scene.report(3, 0);
    let shown = scene.shown("released", is_released).await;
    assert_eq!(shown.current.unwrap().members, Some(roster(&[1, 2])));
    scene.accept();
    scene.report(0, 3);
    let shown = scene.shown("over", |shown| !shown.last.is_empty()).await;
    let record = &shown.last[0];
    assert_eq!(record.outcome, Some(Outcome::Done));
    assert!(record.hold_ms >= Some(6000), "{record:?}");
}
