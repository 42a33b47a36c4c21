//! Another configuration while it runs.

use super::*;
use crate::config::Applied;

const BEFORE: &str = "rebalance: {settle: 10ms}\nlistener: {address: '127.0.0.1:80'}\n";

type Versions = Vec<(ResourceType, String, String)>;

fn versions(snapshot: &Snapshot) -> Versions {
    let of = |kind: ResourceType| {
        let all = snapshot.of(kind).values();
        all.map(move |one| (kind, one.name().to_string(), one.version().to_string()))
    };
    ResourceType::ALL.into_iter().flat_map(of).collect()
}

impl Scene {
    fn served(&self) -> Versions {
        versions(&self.snapshots.borrow())
    }

    /// Whether filters and proxies have what a start with that configuration would
    /// tell them, for the present members.
    fn is_as_restarted(&self, by: &InForce) -> bool {
        let current = self.board.read().current.unwrap();
        let told = FilterConfig {
            epoch: current.epoch,
            drain: current.drain,
            members: current.members.clone(),
            ..by.config.filter_config(0)
        };
        let right = resources::snapshot(&by.config, &by.module, &told);
        *current == told && self.served() == versions(&right)
    }
}

/// The point of it: nobody has to know which setting ends up where.
#[tokio::test]
async fn a_reload_hands_out_what_a_restart_would() {
    for (setting, text) in [
        ("policy", "policy: ring_hash:1024:4096\n"),
        ("max_body", "max_body: 1000\n"),
        ("verify", "verify: body\n"),
        ("key_rules", "key_rules: [{path: /a, no_key: any}]\n"),
        ("projects", "projects: [{name: n, public_key: p}]\n"),
        ("default_project", "default_project: p\n"),
        ("drain.unary_grace", "drain: {unary_grace: 1s}\n"),
        ("reports.cluster", "reports: {cluster: other}\n"),
        ("upstream.max_requests", "upstream: {max_requests: 77}\n"),
        (
            "cors.allow_origins",
            "cors: {allow_origins: ['https://a']}\n",
        ),
        (
            "grpc_clients",
            "policy: ring_hash:1024:4096\ngrpc_clients: {target: docs}\n",
        ),
        ("filter.module", ""),
    ] {
        assert_eq!(Applied::of(setting), Applied::ByReload);
        let folder = tempfile::tempdir().unwrap();
        let scene = Scene::start(&folder, BEFORE, &[1, 2]).await;
        let mut other = config(&format!("{BEFORE}{text}"));
        if text.is_empty() {
            other.filter.module = "g.wasm".into();
        }
        let other = in_force(other);
        assert!(!scene.is_as_restarted(&other), "{setting}");
        scene.in_force.send_replace(Arc::clone(&other));
        soon(setting, || scene.is_as_restarted(&other)).await;
    }
}

#[tokio::test]
async fn what_filters_are_not_told_needs_no_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start(&folder, BEFORE, &[1, 2]).await;
    let before = scene.taken_over().await;
    scene.report(0, 0);
    let other = in_force(config("rebalance: {settle: 10ms}\n"));
    scene.in_force.send_replace(other);
    soon("without a listener", || {
        let snapshot = scene.snapshots.borrow().clone();
        snapshot.of(ResourceType::Listener).is_empty()
    })
    .await;
    let after = scene.board.read();
    assert_eq!(after.current, before.current);
}
