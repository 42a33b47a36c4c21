//! Members of slices as an API server tells them.

use serde_json::{Value, json};
use sharding::Member;

use super::*;
use crate::config::{Config, Health, Kubernetes};

fn kubernetes(more: &str) -> Kubernetes {
    serde_saphyr::from_str(&format!("{{service: yorkie{more}}}")).unwrap()
}

fn health(more: &str) -> Health {
    let text =
        format!("registry: {{file: m}}\nfilter: {{module: f}}\nhealth: {{check: tcp{more}}}\n");
    let config: Config = serde_saphyr::from_str(&text).unwrap();
    config.health.unwrap()
}

fn slices(more: &str, health: Option<&Health>, all: &[Value]) -> Slices {
    let mut slices = Slices::new(Reading::new(&kubernetes(more), health));
    let all = all
        .iter()
        .map(|slice| serde_json::from_value(slice.clone()).unwrap());
    slices.replace(all.collect()).unwrap();
    slices
}

/// What they say, by a port of 80.
fn found(all: &[Value]) -> Found {
    slices(", port: 80", None, all).found().unwrap()
}

fn slice(name: &str, version: u64, endpoints: impl Into<Value>) -> Value {
    let endpoints = endpoints.into();
    json!({
        "metadata": { "name": name, "resourceVersion": version.to_string() },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{ "name": "rpc", "port": 8080 }, { "name": "metrics", "port": 8081 }],
    })
}

fn pod(name: &str, uid: &str, address: &str) -> Value {
    json!({
        "addresses": [address],
        "conditions": { "ready": true, "serving": true, "terminating": false },
        "targetRef": { "kind": "Pod", "name": name, "uid": uid },
    })
}

/// The same, but for that condition.
fn but(mut pod: Value, condition: &str, is: Value) -> Value {
    pod["conditions"][condition] = is;
    pod
}

fn shown(found: &Found) -> Vec<String> {
    let show = |member: &Member| {
        let run = member.incarnation.as_deref().unwrap_or("?");
        format!("{}={} {run}", member.id, member.address)
    };
    found.roster.members().iter().map(show).collect()
}

fn reasons(found: &Found) -> Vec<String> {
    let shown = |refused: &Refused| format!("{}: {}", refused.slice, refused.reason);
    found.refused.iter().map(shown).collect()
}

#[test]
fn a_pod_is_a_member_by_its_name_and_anything_else_by_its_address() {
    let node = json!({ "addresses": ["10.0.0.3"], "targetRef": { "kind": "Node", "name": "n", "uid": "u" } });
    let bare = json!({ "addresses": ["10.0.0.2"] });
    let found = found(&[slice(
        "s",
        1,
        json!([pod("a", "u1", "10.0.0.1"), bare, node]),
    )]);
    let expected = [
        "10.0.0.2:80=10.0.0.2:80 ?",
        "10.0.0.3:80=10.0.0.3:80 ?",
        "a=10.0.0.1:80 u1",
    ];
    assert_eq!(shown(&found), expected);
    assert!(found.refused.is_empty());
}

#[test]
fn a_member_is_in_the_zone_of_its_endpoint() {
    let mut pod = pod("a", "u", "10.0.0.1");
    pod["zone"] = "eu-west-1a".into();
    let found = found(&[slice("s", 1, json!([pod]))]);
    assert_eq!(
        found.roster.members()[0].zone.as_deref(),
        Some("eu-west-1a")
    );
}

#[test]
fn the_port_is_a_number_or_a_name_or_the_only_one() {
    let by = |port: &str, ports: Value| {
        let mut slice = slice("s", 1, json!([pod("a", "u", "10.0.0.1")]));
        slice["ports"] = ports;
        let found = slices(port, None, &[slice]).found().unwrap();
        let port = found
            .roster
            .members()
            .first()
            .map(|member| member.address.port());
        port.ok_or_else(|| found.refused[0].reason.clone())
    };
    let two = json!([{ "name": "rpc", "port": 8080 }, { "name": "metrics", "port": 8081 }]);
    assert_eq!(by(", port: rpc", two.clone()), Ok(8080));
    assert_eq!(by(", port: metrics", two.clone()), Ok(8081));
    assert_eq!(by(", port: 9", two.clone()), Ok(9));
    assert_eq!(by(", port: 9", Value::Null), Ok(9));
    assert_eq!(by("", json!([{ "port": 7 }])), Ok(7));
    assert_eq!(
        by("", json!([{ "port": 7 }, { "port": 8, "protocol": "UDP" }])),
        Ok(7)
    );
    for (port, ports, reason) in [
        ("", two.clone(), "expected one, or registry.kubernetes.port"),
        ("", json!([{ "port": null }]), "TCP ports {\"\": any}"),
        (
            ", port: grpc",
            two,
            "no TCP port is named \"grpc\": there are {\"rpc\": 8080, \"metrics\": 8081}",
        ),
        (
            ", port: rpc",
            json!([{ "name": "rpc", "port": 70000 }]),
            "no TCP port",
        ),
    ] {
        let error = by(port, ports).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn who_is_not_ready_is_no_member_unless_members_are_checked() {
    let pods = json!([
        pod("ready", "u1", "10.0.0.1"),
        but(pod("starting", "u2", "10.0.0.2"), "ready", false.into()),
        but(pod("unknown", "u3", "10.0.0.3"), "ready", Value::Null),
    ]);
    let all = [slice("s", 1, pods)];
    let only = found(&all);
    assert_eq!(
        shown(&only),
        ["ready=10.0.0.1:80 u1", "unknown=10.0.0.3:80 u3"]
    );
    assert_eq!(only.unready, 1);
    let checked = slices(", port: 80", Some(&health("")), &all)
        .found()
        .unwrap();
    assert_eq!(checked.roster.members().len(), 3);
    assert_eq!(shown(&checked)[0], "ready=10.0.0.1:80 u1");
    // Servers that are asked which run they are tell more than the pod does.
    let asked = slices(", port: 80", Some(&health(", incarnation: {}")), &all);
    assert_eq!(shown(&asked.found().unwrap())[0], "ready=10.0.0.1:80 ?");
}

#[test]
fn who_terminates_leaves_at_once_whatever_else_is_said() {
    // As a service with publishNotReadyAddresses has it.
    let leaving = but(pod("b", "u2", "10.0.0.2"), "terminating", true.into());
    let all = [slice("s", 1, json!([pod("a", "u1", "10.0.0.1"), leaving]))];
    for health in [None, Some(&health(""))] {
        let found = slices(", port: 80", health, &all).found().unwrap();
        assert_eq!(shown(&found), ["a=10.0.0.1:80 u1"]);
        assert_eq!(
            (found.terminating, found.leaving),
            (1, ["b".to_owned()].into())
        );
    }
}

#[test]
fn a_pod_in_several_slices_counts_once_and_as_terminating_if_one_says_so() {
    let a = || pod("a", "u", "10.0.0.1");
    for (first, second, expected) in [
        (a(), a(), 1),
        (a(), but(a(), "ready", false.into()), 1),
        (
            but(a(), "ready", false.into()),
            but(a(), "ready", false.into()),
            0,
        ),
        (but(a(), "terminating", true.into()), a(), 0),
        (a(), but(a(), "terminating", true.into()), 0),
    ] {
        for versions in [(1, 2), (2, 1)] {
            let slices = [
                slice("one", versions.0, json!([first])),
                slice("two", versions.1, json!([second])),
            ];
            let found = found(&slices);
            assert_eq!(found.roster.members().len(), expected, "{first} {second}");
            assert!(found.refused.is_empty());
        }
    }
}

#[test]
fn of_pods_with_one_name_or_address_that_of_the_last_slice_counts() {
    let first = pod("a", "u1", "10.0.0.1");
    for (second, expected) in [
        (pod("a", "u2", "10.0.0.2"), "a=10.0.0.2:80 u2"),
        (pod("b", "u2", "10.0.0.1"), "b=10.0.0.1:80 u2"),
    ] {
        let old = slice("z", 9, json!([first]));
        let new = slice("y", 10, json!([second]));
        let found = found(&[old, new]);
        assert_eq!(shown(&found), [expected]);
        let reason = "z: \"a\" at 10.0.0.1:80: y is newer and has one of both";
        assert_eq!(reasons(&found), [reason]);
    }
    // As a StatefulSet does it, the old one terminates first: nothing to say of that.
    let old = slice("z", 11, json!([but(first, "terminating", true.into())]));
    let found = found(&[old, slice("y", 10, json!([pod("a", "u2", "10.0.0.2")]))]);
    assert_eq!(shown(&found), ["a=10.0.0.2:80 u2"]);
    assert!(found.refused.is_empty());
}

#[test]
fn addresses_of_one_version_count_and_names_never() {
    let mut six = slice("six", 1, json!([pod("a", "u", "fd00::1")]));
    six["addressType"] = "IPv6".into();
    let four = slice("four", 1, json!([pod("a", "u", "10.0.0.1")]));
    let mut name = slice("name", 1, json!([pod("b", "u", "b.example")]));
    name["addressType"] = "FQDN".into();
    let all = [six, four, name];
    let version_4 = found(&all);
    assert_eq!(shown(&version_4), ["a=10.0.0.1:80 u"]);
    assert_eq!(
        reasons(&version_4),
        ["name: address type \"FQDN\": expected IPv4 or IPv6"]
    );
    let version_6 = slices(", port: 80, addresses: ipv6", None, &all)
        .found()
        .unwrap();
    assert_eq!(shown(&version_6), ["a=[fd00::1]:80 u"]);
}

#[test]
fn an_endpoint_that_is_no_member_is_refused_and_the_others_stay() {
    let mut nowhere = pod("c", "u", "");
    nowhere["addresses"] = json!([]);
    let endpoints = json!([
        pod("a", "u", "10.0.0.1"),
        pod("b", "u", "10.0.0.256"),
        nowhere,
        pod("d", "u", "0.0.0.0"),
        pod("e e", "u", "10.0.0.5"),
    ]);
    let found = found(&[slice("s", 1, endpoints)]);
    assert_eq!(shown(&found), ["a=10.0.0.1:80 u"]);
    let reasons = reasons(&found);
    for (reason, expected) in reasons.iter().zip([
        "s: address \"10.0.0.256\": expected an IP address",
        "s: address \"\": expected an IP address",
        "s: member \"d\" has address 0.0.0.0:80, which cannot be connected to",
        "s: member id \"e e\" is not usable",
    ]) {
        assert!(reason.starts_with(expected), "{reason}");
    }
    assert_eq!(reasons.len(), 4);
}

#[test]
fn a_slice_without_endpoints_needs_no_ports() {
    let mut empty = slice("empty", 1, json!([]));
    empty["ports"] = json!([]);
    let found = slices("", None, &[empty]).found().unwrap();
    assert!(found.roster.members().is_empty() && found.refused.is_empty());
}

#[test]
fn events_change_what_is_known_and_tell_where_the_history_stands() {
    let mut slices = slices(
        ", port: 80",
        None,
        &[slice("s", 5, json!([pod("a", "u", "10.0.0.1")]))],
    );
    let mut tell = |event: Value| {
        let version = slices.apply(serde_json::from_value(event).unwrap());
        let version = version.map_err(|error| error.to_string());
        (version, shown(&slices.found().unwrap()))
    };
    let t = slice("t", 6, json!([pod("b", "u", "10.0.0.2")]));
    let (a, b) = ("a=10.0.0.1:80 u".to_owned(), "b=10.0.0.2:80 u".to_owned());
    let both = vec![a.clone(), b.clone()];
    assert_eq!(
        tell(json!({ "type": "ADDED", "object": t })),
        (Ok("6".to_owned()), both.clone())
    );
    let bookmark = json!({ "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": { "resourceVersion": "9" } });
    assert_eq!(
        tell(json!({ "type": "BOOKMARK", "object": bookmark })),
        (Ok("9".to_owned()), both)
    );
    let gone = slice("s", 10, json!([pod("a", "u", "10.0.0.1")]));
    assert_eq!(
        tell(json!({ "type": "DELETED", "object": gone })),
        (Ok("10".to_owned()), vec![b.clone()])
    );
    let changed = slice("t", 11, json!([pod("c", "u", "10.0.0.3")]));
    let c = "c=10.0.0.3:80 u".to_owned();
    assert_eq!(
        tell(json!({ "type": "MODIFIED", "object": changed })),
        (Ok("11".to_owned()), vec![c.clone()])
    );
    for (metadata, reason) in [
        (json!({ "resourceVersion": "12" }), "a slice has no name"),
        (json!({ "name": "t" }), "an event has no version"),
        (
            json!({ "name": "t", "resourceVersion": "" }),
            "an event has no version",
        ),
    ] {
        let object = json!({ "metadata": metadata, "addressType": "IPv4", "endpoints": [] });
        let refused = (Err(reason.to_owned()), vec![c.clone()]);
        assert_eq!(
            tell(json!({ "type": "MODIFIED", "object": object })),
            refused
        );
    }
}

#[test]
fn a_list_with_a_slice_that_has_no_name_changes_nothing() {
    let mut slices = slices(
        ", port: 80",
        None,
        &[slice("s", 5, json!([pod("a", "u", "10.0.0.1")]))],
    );
    let nameless = json!({ "metadata": {}, "addressType": "IPv4", "endpoints": [] });
    let refused = slices.replace(vec![serde_json::from_value(nameless).unwrap()]);
    assert!(matches!(refused, Err(ClusterError::Garbage(_))));
    assert_eq!(slices.found().unwrap().roster.members().len(), 1);
}
