use proptest::prelude::*;
use sharding::{Resource, ShardKey};

use super::*;
use crate::mock::MockHost;
use crate::rpc::Reply;

mod anything;
mod bugs;
mod call;
mod corpus;
mod matrix;
mod messages;
mod notes;
mod waiting;

const MEMBERS: &str = r#"{"format":1,"epoch":7,"cluster":"c","members":[
    {"id":"a","address":"127.0.0.1:1","weight":1},
    {"id":"b","address":"127.0.0.1:2","weight":1}]}"#;
const KEY_ONLY: &str = r#"{"format":1,"epoch":7,"cluster":"c"}"#;
const NO_MEMBERS: &str = r#"{"format":1,"epoch":7,"cluster":"c","members":[]}"#;

const WATCH: &str = "/yorkie.v1.YorkieService/Watch";
const HEALTH: &str = "/yorkie.v1.YorkieService/health";

struct Router {
    host: MockHost,
    vm: Vm,
}

impl Router {
    fn new(json: &str) -> Self {
        let host = MockHost::default();
        let vm = Vm::new();
        host.configuration(json);
        assert!(vm.configure(&host, 1).can_serve);
        // The first request costs more.
        vm.wake(&host, 1);
        Self { host, vm }
    }

    /// Sends a request that has to be routed.
    fn route(&self, path: &str, headers: &[(&str, &str)]) {
        let flow = self.send(path, headers);
        assert_eq!(flow, Flow::Continue, "{:?}", self.host.reply());
        assert_eq!(self.host.reply(), None);
    }

    /// Sends a request that has to be refused.
    fn refuse(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        assert_eq!(self.send(path, headers), Flow::Answered);
        self.host.reply().unwrap()
    }

    fn send(&self, path: &str, headers: &[(&str, &str)]) -> Flow {
        let first = [(":method", "POST"), (":path", path)];
        self.host.request(&[first.as_slice(), headers].concat());
        Stream::new(2, 1, false).request_headers(&self.vm, &self.host, true)
    }

    fn counted(&self, name: &str) -> u64 {
        self.vm.tick(&self.host, 1);
        self.host.counter(name)
    }
}

fn text(reply: Reply) -> String {
    String::from_utf8(reply.body).unwrap()
}

#[test]
fn a_canonical_key_is_annotated_with_four_host_calls() {
    let router = Router::new(MEMBERS);
    router.route(WATCH, &[("x-shard-key", "p/d"), ("x-api-key", "p")]);
    assert_eq!(router.host.calls(), 4);
    assert_eq!(router.host.values("x-shard-key"), ["p/d"]);
    assert_eq!(router.host.values("x-shard-epoch"), ["7"]);
    let owner = router.vm.current().unwrap();
    let owner = owner.assignment.as_ref().unwrap().owner(b"p/d").unwrap();
    assert_eq!(
        router.host.values("x-shard-owner"),
        [owner.member.id.as_str()]
    );
    assert_eq!(router.host.filter_state("shard_key").unwrap(), "p/d");
    assert_eq!(router.counted("yorkies.requests.source.header"), 1);
    assert_eq!(router.counted("yorkies.requests.mended.spelling"), 0);
}

#[test]
fn an_odd_key_is_replaced_by_one_canonical_key() {
    let router = Router::new(MEMBERS);
    let headers = [
        ("x-shard-key", "/a b"),
        ("x-shard-key", "/a%20b"),
        ("x-api-key", "p"),
    ];
    router.route(WATCH, &headers);
    assert_eq!(router.host.values("x-shard-key"), ["p/a%20b"]);
    assert_eq!(router.host.filter_state("shard_key").unwrap(), "p/a%20b");
    for mended in ["spelling", "repeated", "project"] {
        let name = format!("yorkies.requests.mended.{mended}");
        assert_eq!(router.counted(&name), 1, "{mended}");
    }
}

#[test]
fn equal_repeated_keys_become_one_header() {
    let router = Router::new(MEMBERS);
    router.route(WATCH, &[("x-shard-key", "p/d"), ("x-shard-key", "p/d")]);
    assert_eq!(router.host.values("x-shard-key"), ["p/d"]);
    router.route(WATCH, &[("x-shard-key", ""), ("x-shard-key", "p/d")]);
    assert_eq!(router.host.values("x-shard-key"), ["p/d"]);
}

#[test]
fn channels_meet_at_their_first_segment() {
    let router = Router::new(MEMBERS);
    for key in ["p/room", "p/room.lobby", "p/room%2elobby"] {
        router.route(
            "/yorkie.v1.YorkieService/Broadcast",
            &[("x-shard-key", key)],
        );
        assert_eq!(router.host.values("x-shard-key"), ["p/room"]);
    }
}

#[test]
fn a_request_without_a_key_is_refused_where_one_is_needed() {
    let router = Router::new(MEMBERS);
    for headers in [&[][..], &[("x-shard-key", "")], &[("x-api-key", "p")]] {
        let reply = router.refuse(WATCH, headers);
        assert_eq!(reply.status, 400);
        assert_eq!(
            text(reply),
            "no shard key: expected header x-shard-key with project/resource, or a request that names its resource\n"
        );
    }
    assert_eq!(router.counted("yorkies.requests.refused.no_key"), 3);
}

#[test]
fn any_member_will_do_for_health_whatever_its_headers_say() {
    let router = Router::new(MEMBERS);
    for key in ["p/d", "nonsense", ""] {
        router.route(
            HEALTH,
            &[
                ("x-shard-key", key),
                ("x-shard-key", "p/e"),
                ("x-shard-owner", "a"),
                ("x-shard-epoch", "99"),
            ],
        );
        assert!(router.host.values("x-shard-key").is_empty());
        assert!(router.host.values("x-shard-owner").is_empty());
        assert_eq!(router.host.values("x-shard-epoch"), ["7"]);
        assert_eq!(router.host.filter_state("shard_key"), None);
    }
    assert_eq!(router.counted("yorkies.requests.source.none"), 3);
}

#[test]
fn an_admin_call_without_a_key_may_go_anywhere_but_not_with_a_wrong_one() {
    let router = Router::new(MEMBERS);
    let path = "/yorkie.v1.AdminService/UpdateDocument";
    router.route(path, &[("x-shard-key", "")]);
    assert!(router.host.values("x-shard-key").is_empty());
    router.route(path, &[("x-shard-key", "p/d")]);
    assert_eq!(router.host.values("x-shard-key"), ["p/d"]);
    router.refuse(path, &[("x-shard-key", "d")]);
}

#[test]
fn a_fixed_key_is_written_as_it_stands() {
    let router = Router::new(MEMBERS);
    router.route(
        "/auth/login?x=1",
        &[("x-shard-key", "p/d"), ("x-api-key", "q")],
    );
    assert_eq!(router.host.values("x-shard-key"), ["auth-session"]);
    assert_eq!(router.host.values("x-shard-owner").len(), 1);
    assert_eq!(
        router.host.filter_state("shard_key").unwrap(),
        "auth-session"
    );
    assert_eq!(router.counted("yorkies.requests.source.fixed"), 1);
}

#[test]
fn a_rule_can_close_a_path() {
    let router =
        Router::new(r#"{"format":1,"epoch":7,"cluster":"c","key_rules":[{"path":"/mcp/*"}]}"#);
    let reply = router.refuse("/mcp/x", &[("x-shard-key", "p/d")]);
    assert_eq!(
        text(reply),
        "no shard key: the key rule of this path refuses every request\n"
    );
}

#[test]
fn a_cors_preflight_has_no_key_and_goes_anywhere() {
    let router = Router::new(MEMBERS);
    let preflight = [
        (":method", "OPTIONS"),
        (":path", WATCH),
        ("access-control-request-method", "POST"),
    ];
    router.host.request(&preflight);
    assert_eq!(
        Stream::new(2, 1, false).request_headers(&router.vm, &router.host, true),
        Flow::Continue
    );
    router.host.request(&preflight[..2]);
    assert_eq!(
        Stream::new(2, 1, false).request_headers(&router.vm, &router.host, true),
        Flow::Answered
    );
}

#[test]
fn inbound_annotations_do_not_survive() {
    let spoofed = [
        ("x-shard-key", "p/d"),
        ("x-shard-epoch", "1"),
        ("x-shard-epoch", "2"),
        ("x-shard-owner", "evil"),
        ("x-shard-owner", "eviler"),
    ];
    for json in [MEMBERS, KEY_ONLY, NO_MEMBERS] {
        let router = Router::new(json);
        router.route(WATCH, &spoofed);
        assert_eq!(router.host.values("x-shard-epoch"), ["7"]);
        let owners = router.host.values("x-shard-owner");
        assert_eq!(owners.len(), usize::from(json == MEMBERS));
        assert!(!owners.iter().any(|owner| owner.starts_with("evil")));
    }
}

#[test]
fn without_members_there_is_no_owner_and_no_call_for_one() {
    for json in [KEY_ONLY, NO_MEMBERS] {
        let router = Router::new(json);
        router.route(WATCH, &[("x-shard-key", "p/d")]);
        assert!(router.host.values("x-shard-owner").is_empty());
        assert_eq!(router.host.calls(), 3);
    }
}

#[test]
fn a_malformed_key_is_refused_with_its_reason_and_place() {
    let router = Router::new(MEMBERS);
    let reply = router.refuse(WATCH, &[("x-shard-key", "abc")]);
    assert_eq!(
        (reply.status, reply.details),
        (400, "yorkies_malformed_key")
    );
    assert_eq!(
        text(reply),
        "header x-shard-key: shard key \"abc\" has no \"/\": expected project/resource\n"
    );
    assert_eq!(router.counted("yorkies.requests.refused.malformed"), 1);
}

#[test]
fn keys_that_differ_are_refused() {
    let router = Router::new(MEMBERS);
    let reply = router.refuse(WATCH, &[("x-shard-key", "p/a"), ("x-shard-key", "p/b")]);
    assert_eq!(
        text(reply),
        "header x-shard-key is given twice, as \"p/a\" and as \"p/b\": expected one key\n"
    );
    assert_eq!(router.counted("yorkies.requests.refused.conflicting"), 1);
}

#[test]
fn the_key_of_another_project_is_refused() {
    let router = Router::new(MEMBERS);
    let reply = router.refuse(WATCH, &[("x-shard-key", "p/d"), ("x-api-key", "q")]);
    assert_eq!((reply.status, reply.grpc_status), (400, 3));
    assert_eq!(
        text(reply),
        "header x-shard-key names project \"p\", but header x-api-key is \"q\"\n"
    );
    assert_eq!(router.counted("yorkies.requests.refused.forged"), 1);
}

#[test]
fn a_refusal_speaks_the_protocol_of_its_caller() {
    let router = Router::new(MEMBERS);
    for (content_type, status, answer) in [
        ("application/proto", 400, "application/json"),
        (
            "application/connect+proto",
            200,
            "application/connect+proto",
        ),
        ("application/grpc", 200, "application/grpc"),
        (
            "application/grpc-web+proto",
            200,
            "application/grpc-web+proto",
        ),
        ("text/plain", 400, "text/plain; charset=utf-8"),
    ] {
        let reply = router.refuse(WATCH, &[("content-type", content_type)]);
        assert_eq!(reply.status, status, "{content_type}");
        assert_eq!(reply.headers[0], ("content-type", answer.into()));
    }
}

#[test]
fn without_a_configuration_nothing_is_routed() {
    let router = Router {
        host: MockHost::default(),
        vm: Vm::new(),
    };
    let reply = router.refuse(HEALTH, &[("x-shard-key", "p/d")]);
    assert_eq!((reply.status, reply.grpc_status), (503, 14));
    assert_eq!(router.counted("yorkies.requests.refused.unconfigured"), 1);
}

#[test]
fn a_host_that_fails_gets_no_request_through() {
    let router = Router::new(MEMBERS);
    router.host.fail_with(HostError::BadArgument);
    let reply = router.refuse(WATCH, &[("x-shard-key", "p/d")]);
    assert_eq!((reply.status, reply.grpc_status), (503, 14));
    router.host.recover();
    assert_eq!(router.counted("yorkies.requests.refused.host"), 1);
}

proptest! {
    #[test]
    fn whatever_a_client_sends_only_one_canonical_key_or_none_gets_through(
        path in prop_oneof![
            Just(WATCH), Just("/yorkie.v1.YorkieService/Broadcast"),
            Just("/yorkie.v1.AdminService/CreateDocument"), Just(HEALTH), Just("/auth/x"),
        ],
        keys in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                r"[ab]?/?[ab.%2 ]{0,6}".prop_map(String::into_bytes),
            ],
            0..4,
        ),
        api_key in proptest::option::of(r"[ab%. ]{0,3}"),
        content_type in proptest::collection::vec(any::<u8>(), 0..30),
        members: bool,
    ) {
        let router = Router::new(if members { MEMBERS } else { KEY_ONLY });
        let mut headers = vec![
            (":path", path.as_bytes().to_vec()),
            ("x-shard-owner", b"evil".to_vec()),
            ("content-type", content_type),
        ];
        headers.extend(keys.into_iter().map(|key| ("x-shard-key", key)));
        headers.extend(api_key.map(|key| ("x-api-key", key.into_bytes())));
        router.host.request(&headers);
        match Stream::new(2, 1, false).request_headers(&router.vm, &router.host, true) {
            Flow::Wait => prop_assert!(false, "there is nothing to wait for"),
            Flow::Answered => prop_assert!(router.host.reply().is_some()),
            Flow::Continue => {
                prop_assert_eq!(router.host.reply(), None);
                prop_assert_eq!(router.host.values("x-shard-epoch"), ["7"]);
                prop_assert!(!router.host.values("x-shard-owner").contains(&"evil".to_owned()));
                let left = router.host.values("x-shard-key");
                if path == "/auth/x" {
                    prop_assert_eq!(left, ["auth-session"]);
                } else if let [key] = left.as_slice() {
                    let resource = if path.ends_with("Broadcast") { Resource::Channel } else { Resource::Document };
                    let again = ShardKey::from_header(key.as_bytes(), resource).unwrap();
                    prop_assert_eq!(again.as_str(), key);
                    prop_assert_eq!(router.host.values("x-shard-owner").len(), usize::from(members));
                } else {
                    prop_assert!(left.is_empty());
                    prop_assert!(path == HEALTH || path.contains("AdminService"));
                }
            }
        }
    }
}
