//! What can be wrong with a message or its caller, and what else than a message
//! can have the key.

use super::call::{Call, JSON, Outcome, WIRES, routed};
use super::*;

const PUSH: &str = "/yorkie.v1.YorkieService/PushPullChanges";
const GET_DOCUMENT: &str = "/yorkie.v1.ClusterService/GetDocument";
const KEY: &str = "change_pack=3.document_key=1";

fn router(extra: &str) -> Router {
    let json = format!(r#"{{"format":1,"epoch":7,"cluster":"c"{extra}}}"#);
    Router::new(&json)
}

#[test]
fn a_message_that_cannot_be_read_is_refused_with_its_reason() {
    let router = router("");
    let push = |content_type: &str, body: &[u8]| {
        router.refused(&Call::new(PUSH, &[]).with_body(content_type, &[body]))
    };
    assert!(push("application/json", b"{\"a\"").contains("the body ends within JSON"));
    assert!(push("application/proto", b"\xff\xff").contains("the body ends within protobuf"));
    assert!(push("application/json", b"{}").contains("no shard key"));
    assert!(push("text/plain", b"doc").contains("no shard key"));
    let key = router.refused(&Call::new(PUSH, &[]).with(JSON, &[(KEY, "a\nb")]));
    assert!(key.contains("the message: shard key"), "{key}");
    let long = router.refused(&Call::new(PUSH, &[]).with(JSON, &[(KEY, &"a".repeat(2049))]));
    assert!(long.contains("too long"), "{long}");
    assert_eq!(router.counted("yorkies.bodies.failed"), 2);
    assert_eq!(router.counted("yorkies.requests.refused.unreadable"), 2);
    assert_eq!(router.counted("yorkies.requests.refused.malformed"), 2);
}

#[test]
fn an_unknown_encoding_is_unimplemented() {
    let router = router("");
    let call = Call::new(PUSH, &[("content-encoding", "br")]).with(JSON, &[(KEY, "doc")]);
    assert!(router.refused(&call).contains("unimplemented"));
}

#[test]
fn a_key_beyond_the_limit_is_refused_and_no_more_than_the_limit_is_read() {
    let router = router(r#","max_body":100"#);
    for wire in WIRES {
        let call = Call::new(PUSH, &[]).with(wire, &[("before=9", &"x".repeat(200)), (KEY, "doc")]);
        let message = router.refused(&call);
        assert!(message.contains("too large"), "{message}");
        // JSON is built in the order of names.
        let call = Call::new(PUSH, &[]).with(wire, &[(KEY, "doc"), ("later=9", &"x".repeat(200))]);
        let outcome = router.call(&call);
        assert_eq!(outcome, routed("/doc"), "{wire:?}");
    }
    assert!(router.counted("yorkies.bodies.bytes") <= 16 * 101);
    assert_eq!(router.counted("yorkies.requests.refused.too_large"), 8);
}

#[test]
fn trailers_end_a_body() {
    let router = router("");
    let start = |body: &[u8]| {
        let call = Call::new(PUSH, &[]).with_body("application/json", &[]);
        let mut headers = vec![(":path", PUSH.as_bytes().to_vec())];
        headers.extend(call.headers);
        router.host.request(&headers);
        let mut stream = Stream::new(2, 1, false);
        let flow = stream.request_headers(&router.vm, &router.host, false);
        assert_eq!(flow, Flow::Wait);
        let size = router.host.body(body);
        let flow = stream.request_body(&router.vm, &router.host, size, false);
        assert_eq!(flow, Flow::Wait);
        stream.request_trailers(&router.vm, &router.host)
    };
    assert_eq!(start(b"{"), Flow::Answered);
    assert_eq!(start(b"{}"), Flow::Answered);
}

#[test]
fn an_assignment_that_comes_while_a_body_is_read_is_the_one_that_counts() {
    let router = Router::new(MEMBERS);
    let body = JSON.body(&[(call::field(KEY), "doc")]);
    router
        .host
        .request(&[(":path", PUSH), ("content-type", "application/json")]);
    let mut stream = Stream::new(2, 1, false);
    stream.request_headers(&router.vm, &router.host, false);
    router.host.configuration(
        r#"{"format":1,"epoch":8,"cluster":"c","members":[{"id":"z","address":"127.0.0.1:3","weight":1}]}"#,
    );
    assert!(router.vm.configure(&router.host, 2).can_serve);
    let size = router.host.body(&body);
    let flow = stream.request_body(&router.vm, &router.host, size, true);
    assert_eq!(flow, Flow::Continue);
    assert_eq!(router.host.values("x-shard-epoch"), ["8"]);
    assert_eq!(router.host.values("x-shard-owner"), ["z"]);
}

#[test]
fn several_resources_in_one_message_are_refused_where_messages_are_compared() {
    let router = router(r#","verify":"body""#);
    let watch = |json: &str| {
        let length = (json.len() as u32).to_be_bytes();
        let body = [&[0], length.as_slice(), json.as_bytes()].concat();
        router.call(
            &Call::new(WATCH, &[("x-shard-key", "p/a")])
                .with_body("application/connect+json", &[&body]),
        )
    };
    let a = r#"{"channel":{"channelKey":"a.x"}}"#;
    assert_eq!(
        watch(&format!(r#"{{"resources":[{a},{a}]}}"#)),
        routed("p/a")
    );
    for other in [
        r#"{"channel":{"channelKey":"b"}}"#,
        r#"{"document":{"documentId":"i"}}"#,
    ] {
        let outcome = watch(&format!(r#"{{"resources":[{a},{other}]}}"#));
        assert!(matches!(outcome, Outcome::Refused(_)), "{other}");
    }
    let list = Call::new(
        "/yorkie.v1.AdminService/GetDocuments",
        &[("x-shard-key", "p/b")],
    )
    .with_body("application/json", &[br#"{"documentKeys":["a","b"]}"#]);
    assert_eq!(router.call(&list), routed("p/b"));
    let text = Call::new(PUSH, &[("x-shard-key", "p/a")]).with_body("text/plain", &[b"x"]);
    assert!(router.refused(&text).contains("content type is unknown"));
}

#[test]
fn servers_alone_call_the_cluster_service() {
    let json = [("project=1.public_key=3", "p"), ("document_key=2", "doc")];
    // Of "secret".
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let router = router(&format!(r#","cluster_secret_sha256":"{hash}""#));
    let call =
        |headers: &[(&'static str, &str)]| Call::new(GET_DOCUMENT, headers).with(JSON, &json);
    assert_eq!(
        router.call(&call(&[("x-cluster-secret", "secret")])),
        routed("p/doc")
    );
    for headers in [
        &[][..],
        &[("x-cluster-secret", "")],
        &[("x-cluster-secret", "guess")],
        &[
            ("x-cluster-secret", "secret"),
            ("x-cluster-secret", "secret"),
        ],
        &[("x-cluster-secret", "guess"), ("x-shard-key", "p/doc")],
    ] {
        assert!(
            router.refused(&call(headers)).contains("permission_denied"),
            "{headers:?}"
        );
    }
    let inside = Call {
        internal: true,
        ..call(&[])
    };
    assert_eq!(router.call(&inside), routed("p/doc"));
    assert_eq!(router.counted("yorkies.requests.refused.outsider"), 5);
}

#[test]
fn without_a_secret_nobody_calls_it_from_outside() {
    let message = router("").refused(&Call::new(GET_DOCUMENT, &[("x-cluster-secret", "")]));
    assert!(
        message.contains("configure cluster_secret_sha256"),
        "{message}"
    );
}

#[test]
fn plain_requests_have_their_key_in_path_query_or_header() {
    let router = router(
        r#","key_rules":[{"path":"/v1/{p}/docs/{d}","resource":"document","keys":[{"path":"d"}],"projects":[{"path":"p"}]},
        {"path":"/q","resource":"document","keys":[{"query":"doc"},{"header":"X-Doc"},{"document":"doc=1"}],"projects":[{"query":"p"}]}]"#,
    );
    for (path, key) in [
        ("/v1/a%20b/docs/x%2Fy?z", "a%20b/x%2Fy"),
        ("/q?doc=x+y&p=a&doc=x%20y", "a/x%20y"),
    ] {
        assert_eq!(router.call(&Call::new(path, &[])), routed(key));
    }
    let by_header = Call::new("/q", &[("x-doc", "h"), ("x-api-key", "k")]);
    assert_eq!(router.call(&by_header), routed("k/h"));
    let by_body = Call::new("/q?p=a", &[]).with(JSON, &[("doc=1", "b")]);
    assert_eq!(router.call(&by_body), routed("a/b"));
    for path in ["/q?doc=x&doc=y", "/q?doc=x&p=a&p=b"] {
        assert!(
            router.refused(&Call::new(path, &[])).contains("twice"),
            "{path}"
        );
    }
    assert_eq!(router.counted("yorkies.requests.source.request_line"), 3);
}

#[test]
fn a_key_in_the_header_has_to_be_that_of_path_query_and_other_headers() {
    let rules = r#","key_rules":[{"path":"/v1/{p}/docs/{d}","resource":"document","keys":[{"path":"d"}],"projects":[{"path":"p"}]},
        {"path":"/q","resource":"channel","keys":[{"query":"room"},{"header":"x-room"}]}]"#;
    let verified = format!(r#"{rules},"verify":"body""#);
    for router in [router(rules), router(&verified)] {
        let send = |path, key, other: &[(&'static str, &str)]| {
            let mut headers = vec![("x-shard-key", key)];
            headers.extend(other);
            router.call(&Call::new(path, &headers))
        };
        assert_eq!(send("/v1/p/docs/a%20b", "p/a b", &[]), routed("p/a%20b"));
        assert_eq!(send("/v1/p/docs/a", "/a", &[]), routed("p/a"));
        assert_eq!(send("/q?room=a.x", "p/a.y", &[]), routed("p/a"));
        assert_eq!(send("/q", "p/b", &[]), routed("p/b"));
        // As without the header, the first place that has one counts.
        assert_eq!(send("/q?room=a", "p/a", &[("x-room", "b")]), routed("p/a"));
        for (path, key, other) in [
            ("/v1/p/docs/a", "p/b", &[][..]),
            ("/q?room=a", "p/b", &[]),
            ("/q", "p/b", &[("x-room", "a")]),
        ] {
            let Outcome::Refused(message) = send(path, key, other) else {
                panic!("{path} got through");
            };
            assert!(
                message.contains("but the request line or a header names"),
                "{message}"
            );
        }
        assert_eq!(router.counted("yorkies.requests.refused.mismatch"), 3);
    }
}

#[test]
fn an_unknown_id_is_a_passing_condition_and_is_quoted_in_short() {
    let router = router("");
    let list = |id: &str| {
        let call = Call::new("/yorkie.v1.YorkieService/ListRevisions", &[])
            .with(JSON, &[("document_id=2", id)]);
        router.refused(&call);
        router.host.reply().unwrap()
    };
    let reply = list("000000000000000000000002");
    assert_eq!(
        (reply.status, reply.grpc_status, reply.details),
        (503, 14, "yorkies_unknown_id")
    );
    assert_eq!(
        text(reply),
        r#"{"code":"unavailable","message":"document id \"000000000000000000000002\" is not known to this proxy: expected header x-shard-key with project/resource, or that the document is attached again"}"#
    );
    let long = text(list(&"é".repeat(41)));
    assert!(long.contains(&format!("{}...", "é".repeat(40))), "{long}");
    // No id is no passing condition.
    assert_eq!(list("").status, 400);
    assert_eq!(router.counted("yorkies.requests.refused.unknown_id"), 2);
    assert_eq!(router.counted("yorkies.requests.refused.no_key"), 1);
}

#[test]
fn a_connect_get_has_its_key_in_the_query() {
    let router = router("");
    let path = format!(
        "{PUSH}?connect=v1&encoding=json&message=%7B%22changePack%22:%7B%22documentKey%22:%22g%22%7D%7D"
    );
    router.host.request(&[(":method", "GET"), (":path", &path)]);
    let flow = Stream::new(2, 1, false).request_headers(&router.vm, &router.host, true);
    assert_eq!(flow, Flow::Continue);
    assert_eq!(router.host.values("x-shard-key"), ["/g"]);
}

#[test]
fn a_request_that_only_has_a_project_goes_by_it() {
    let path = "/yorkie.v1.YorkieService/DeactivateClient";
    let keyed = router(r#","default_project":"D""#);
    assert_eq!(
        keyed.call(&Call::new(path, &[("x-api-key", "p")])),
        routed("p/")
    );
    assert_eq!(keyed.call(&Call::new(path, &[])), routed("D/"));
    assert_eq!(keyed.counted("yorkies.requests.source.project"), 2);
    assert!(
        router("")
            .refused(&Call::new(path, &[]))
            .contains("no project")
    );
}

/// What `envoy/key-rules.yaml` says, as it comes to the filter.
const WIKI: &str = r#","default_project":"w","key_rules":[
    {"path":"/wiki.v1.Wiki/Edit","resource":"document","keys":[{"document":"page=2.title=3"}],"projects":[{"public_key":"page=2.space=1"}]},
    {"path":"/wiki.v1.Wiki/Follow","kind":"server_stream","resource":"document","keys":[{"header":"x-wiki-page"}]},
    {"path":"/v1/projects/{project}/documents/{document}","resource":"document","keys":[{"path":"document"}],"projects":[{"path":"project"}]},
    {"path":"/v0/document","resource":"document","keys":[{"query":"id"}]},
    {"path":"/v1/search*","no_key":"any"}]"#;

#[test]
fn another_document_server_is_routed_by_its_own_rules() {
    let router = router(WIKI);
    for wire in WIRES {
        let edit = Call::new("/wiki.v1.Wiki/Edit", &[]).with(
            wire,
            &[
                ("page=2.space=1", "handbook"),
                ("page=2.title=3", "first day"),
            ],
        );
        assert_eq!(router.call(&edit), routed("handbook/first%20day"));
    }
    let follow = Call::new("/wiki.v1.Wiki/Follow", &[("x-wiki-page", "first day")]);
    assert_eq!(router.call(&follow), routed("w/first%20day"));
    for (path, key) in [
        (
            "/v1/projects/handbook/documents/first%20day",
            "handbook/first%20day",
        ),
        ("/v0/document?id=first+day", "w/first%20day"),
    ] {
        assert_eq!(router.call(&Call::new(path, &[])), routed(key));
    }
    let search = Call::new("/v1/search/x", &[]);
    assert_eq!(router.call(&search), Outcome::Routed(vec![]));
}
