//! Slices as the API server has them, and a control plane that follows them.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use yorkies_tests::{ControlPlane, KubernetesApi, Member, Settings, TestEnvironment};

/// The source's name, in the log and in metrics.
pub(crate) const KUBERNETES: &str = "kubernetes";

/// How far a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    /// It was told to end and still serves.
    Terminating,
}

/// A pod as a slice of its own has it: members of a test have ports of their
/// own, and a slice has one port for all its endpoints.
pub(crate) fn slice_of(name: &str, uid: &str, address: SocketAddr, phase: Phase) -> Value {
    slice(
        name,
        address.port(),
        &[endpoint(name, uid, &address.ip().to_string(), phase)],
    )
}

pub(crate) fn slice(name: &str, port: u16, endpoints: &[Value]) -> Value {
    json!({
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": format!("slice-of-{name}"),
            "namespace": "yorkies",
            "labels": { "kubernetes.io/service-name": "yorkie" },
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [
            { "name": "rpc", "port": port, "protocol": "TCP" },
            { "name": "metrics", "port": 8081, "protocol": "TCP" },
        ],
    })
}

pub(crate) fn endpoint(name: &str, uid: &str, address: &str, phase: Phase) -> Value {
    json!({
        "addresses": [address],
        "conditions": {
            "ready": phase == Phase::Ready,
            "serving": phase != Phase::Starting,
            "terminating": phase == Phase::Terminating,
        },
        "targetRef": { "kind": "Pod", "namespace": "yorkies", "name": name, "uid": uid },
        "nodeName": "node-a1",
        "zone": "eu-west-1a",
    })
}

/// A member as a pod that is ready, in its first run.
pub(crate) fn pod(member: &Member) -> Value {
    let entry = member.entry(1);
    slice_of(
        &entry.id,
        &format!("first-{}", entry.id),
        entry.address,
        Phase::Ready,
    )
}

/// A control plane that follows the service `yorkie` by its port `rpc`.
pub(crate) async fn start(env: &mut TestEnvironment, api: &KubernetesApi) -> Result<ControlPlane> {
    let more = "service: yorkie, port: rpc";
    env.control_plane(settings(&api.kubeconfig(None)?, more))
        .await
}

pub(crate) fn settings(kubeconfig: &Path, more: &str) -> Settings {
    let kubeconfig = kubeconfig.display();
    Settings {
        registry: format!("{{ kubernetes: {{ kubeconfig: '{kubeconfig}', {more} }} }}"),
        ..Settings::default()
    }
}

/// All of weight 1.
pub(crate) fn members(all: &[&str]) -> Vec<String> {
    all.iter().map(|member| format!("{member}*1")).collect()
}
