//! What clients of Yorkie are known to send, each a document, channel or client
//! that would be on two servers.

use super::call::{Call, GRPC, JSON, Outcome, WIRES, routed};
use super::*;

const PUSH: &str = "/yorkie.v1.YorkieService/PushPullChanges";
const ATTACH: &str = "/yorkie.v1.YorkieService/AttachDocument";
const ACTIVATE: &str = "/yorkie.v1.YorkieService/ActivateClient";
const CHANNEL: (&str, &str) = ("resources=2.channel=2.channel_key=1", "room.lobby");

fn config(extra: &str) -> String {
    format!(
        r#"{{"format":1,"epoch":7,"cluster":"c","policy":"maglev:251","default_project":"PUB","members":[
        {{"id":"a","address":"127.0.0.1:1","weight":1}}],{extra}
        "projects":[{{"name":"n","public_key":"ADM","secret_key_sha256":"{}"}}]}}"#,
        // Of "secret".
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    )
}

#[test]
fn the_full_channel_key_of_android_meets_the_first_segment_of_the_others() {
    let router = Router::new(&config(""));
    for wire in WIRES {
        let watch = |key| Call::new(WATCH, &[("x-shard-key", key)]).with(wire, &[CHANNEL]);
        assert_eq!(router.call(&watch("p/room.lobby")), routed("p/room"));
        assert_eq!(router.call(&watch("p/room")), routed("p/room"));
    }
    let attach = Call::new(
        "/yorkie.v1.YorkieService/AttachChannel",
        &[("x-shard-key", "p/room.lobby")],
    );
    assert_eq!(router.call(&attach), routed("p/room"));
}

#[test]
fn a_document_with_a_dot_is_never_cut() {
    let router = Router::new(&config(""));
    let document = ("resources=2.document=1.document_id=1", "id");
    for wire in WIRES {
        let watch = Call::new(WATCH, &[("x-shard-key", "p/a.b")]).with(wire, &[document]);
        assert_eq!(router.call(&watch), routed("p/a.b"));
    }
}

#[test]
fn without_an_api_key_all_spellings_are_of_the_default_project() {
    let router = Router::new(&config(""));
    let document = [("change_pack=3.document_key=1", "doc")];
    for headers in [
        &[("x-shard-key", "/doc")][..],
        &[("x-shard-key", "/doc"), ("x-api-key", "")],
        &[("x-shard-key", "PUB/doc")],
        &[("x-shard-key", "PUB/doc"), ("x-api-key", "PUB")],
        &[],
    ] {
        let call = Call::new(PUSH, headers).with(JSON, &document);
        assert_eq!(router.call(&call), routed("PUB/doc"), "{headers:?}");
    }
}

#[test]
fn administrators_writes_go_to_the_owner() {
    let router = Router::new(&config(""));
    for method in ["UpdateDocument", "CreateDocument", "CompactDocumentByAdmin"] {
        let path = format!("/yorkie.v1.AdminService/{method}");
        let call = |secret| {
            Call::new(&path, &[("authorization", secret)]).with(JSON, &[("document_key=1", "doc")])
        };
        assert_eq!(router.call(&call("api-key  secret ")), routed("ADM/doc"));
        let mut half = call("API-Key secret");
        half.headers.push(("x-shard-key", b"/doc".to_vec()));
        assert_eq!(router.call(&half), routed("ADM/doc"));
        // Not the default project's: whose it is is not known, and the rule lets it go anywhere.
        assert_eq!(router.call(&call("API-Key other")), Outcome::Routed(vec![]));
    }
    let restore = Call::new("/yorkie.v1.AdminService/RestoreRevisionByAdmin", &[])
        .with(JSON, &[("project_name=1", "n"), ("document_key=2", "doc")]);
    assert_eq!(router.call(&restore), routed("ADM/doc"));
}

#[test]
fn one_client_key_in_header_and_message_is_one_whatever_its_bytes() {
    let verified = config(r#""verify":"body","#);
    for router in [Router::new(&config("")), Router::new(&verified)] {
        for value in [&b"p/caf\xe9"[..], "p/café".as_bytes(), b" p/caf%C3%A9"] {
            let mut call =
                Call::new(ACTIVATE, &[("x-api-key", "p")]).with(JSON, &[("client_key=1", "café ")]);
            call.headers.push(("x-shard-key", value.to_vec()));
            assert_eq!(router.call(&call), routed("p/caf%C3%A9"));
        }
    }
}

#[test]
fn a_client_key_that_its_header_lost_is_the_one_of_the_message() {
    let router = Router::new(&config(r#""verify":"body","#));
    for wire in WIRES {
        let call = Call::new(ACTIVATE, &[("x-shard-key", "PUB/caf?")])
            .with(wire, &[("client_key=1", "café")]);
        assert_eq!(router.call(&call), routed("PUB/caf%C3%A9"));
    }
    assert_eq!(router.counted("yorkies.requests.mended.client"), 8);
    assert_eq!(router.counted("yorkies.requests.source.body"), 8);
    let two = br#"{"clientKey":"a","clientKey":"b"}"#;
    let call =
        Call::new(ACTIVATE, &[("x-shard-key", "PUB/a")]).with_body("application/json", &[two]);
    assert!(router.refused(&call).contains("twice"));
}

#[test]
fn the_key_of_another_project_than_the_servers_is_refused_where_headers_are_not_believed() {
    let verified = config(r#""verify":"body","#);
    let document = [("change_pack=3.document_key=1", "doc")];
    let push = |headers: &[(&'static str, &str)]| Call::new(PUSH, headers).with(JSON, &document);
    let router = Router::new(&verified);
    for headers in [
        &[("x-shard-key", "other/doc")][..],
        &[("x-shard-key", "other/doc"), ("x-api-key", "")],
    ] {
        let message = router.refused(&push(headers));
        assert!(
            message.contains("without header x-api-key the project is"),
            "{message}"
        );
    }
    // No message tells this one's project, and none is waited for.
    let deactivate = |key| {
        Call::new(
            "/yorkie.v1.YorkieService/DeactivateClient",
            &[("x-shard-key", key)],
        )
    };
    assert!(matches!(
        router.call(&deactivate("other/c")),
        Outcome::Refused(_)
    ));
    assert_eq!(router.counted("yorkies.requests.refused.forged"), 3);
    assert_eq!(router.call(&deactivate("PUB/c")), routed("PUB/c"));
    for headers in [
        &[("x-shard-key", "PUB/doc")][..],
        &[("x-shard-key", "/doc")],
        &[],
    ] {
        assert_eq!(router.call(&push(headers)), routed("PUB/doc"));
    }
    // Servers name the project in the message.
    let inside = Call {
        internal: true,
        ..Call::new(
            "/yorkie.v1.ClusterService/GetDocument",
            &[("x-shard-key", "other/doc")],
        )
    }
    .with(
        JSON,
        &[
            ("project=1.public_key=3", "other"),
            ("document_key=2", "doc"),
        ],
    );
    assert_eq!(router.call(&inside), routed("other/doc"));

    let unknown = verified.replace(r#""default_project":"PUB","#, "");
    for config in [config(""), unknown] {
        let router = Router::new(&config);
        let other = push(&[("x-shard-key", "other/doc")]);
        assert_eq!(router.call(&other), routed("other/doc"));
    }
}

#[test]
fn locking_one_document_and_writing_another_is_refused_where_messages_are_compared() {
    let router = Router::new(&config(r#""verify":"body","#));
    let attach = Call::new(ATTACH, &[("x-shard-key", "PUB/mine")])
        .with(JSON, &[("change_pack=2.document_key=1", "mine")]);
    let (mut stream, outcome) = router.stream(&attach);
    assert_eq!(outcome, routed("PUB/mine"));
    router.answer(
        &mut stream,
        "application/json",
        &[br#"{"documentId":"id-of-mine","changePack":{"documentKey":"mine"}}"#],
    );
    for wire in WIRES {
        let push = |key: &str| {
            let fields = [
                ("document_id=2", "id-of-mine"),
                ("change_pack=3.document_key=1", key),
            ];
            router.call(
                &Call::new(PUSH, &[("x-shard-key", &format!("PUB/{key}"))]).with(wire, &fields),
            )
        };
        assert_eq!(push("mine"), routed("PUB/mine"));
        assert!(matches!(push("other"), Outcome::Refused(_)));
    }
    assert!(router.counted("yorkies.requests.refused.conflicting") > 0);
}

#[test]
fn a_key_without_its_header_is_found_in_the_message() {
    let router = Router::new(&config(""));
    for wire in WIRES {
        let push = Call::new(PUSH, &[("x-api-key", "p")]).with(
            wire,
            &[
                ("document_id=2", "id"),
                ("change_pack=3.document_key=1", "doc"),
            ],
        );
        assert_eq!(router.call(&push), routed("p/doc"));
    }
    assert_eq!(router.counted("yorkies.requests.source.body"), 8);
}

#[test]
fn an_id_alone_is_known_once_its_document_was_attached_by_its_message() {
    for wire in WIRES {
        let router = Router::new(&config(""));
        let watch = Call::new(WATCH, &[("x-api-key", "p")])
            .with(GRPC, &[("resources=2.document=1.document_id=1", "the-id")]);
        assert!(router.refused(&watch).contains("not known to this proxy"));
        let attach = |headers: &[(&'static str, &str)], named: &str| {
            let call =
                Call::new(ATTACH, headers).with(wire, &[("change_pack=2.document_key=1", "doc.x")]);
            let (mut stream, _) = router.stream(&call);
            let response = wire.body(&[
                (call::field("document_id=1"), "the-id"),
                (call::field("change_pack=2.document_key=1"), named),
            ]);
            let pieces: Vec<_> = response.chunks(3).collect();
            router.answer(&mut stream, wire.content_type, &pieces);
        };
        // A header teaches nothing: its client could lead those of others astray.
        attach(&[("x-shard-key", "p/wrong")], "doc.x");
        assert!(matches!(router.call(&watch), Outcome::Refused(_)));
        // Nor does a message that the server took for another document's.
        attach(&[("x-api-key", "p")], "doc.y");
        assert!(matches!(router.call(&watch), Outcome::Refused(_)));
        attach(&[("x-api-key", "p")], "doc.x");
        assert_eq!(router.call(&watch), routed("p/doc.x"));
        assert_eq!(router.counted("yorkies.ids.learned"), 1);
        let other = Call::new(WATCH, &[("x-api-key", "q")])
            .with(GRPC, &[("resources=2.document=1.document_id=1", "the-id")]);
        assert!(matches!(router.call(&other), Outcome::Refused(_)));
    }
}

impl Router {
    fn answer(&self, stream: &mut Stream, content_type: &str, pieces: &[&[u8]]) {
        self.host
            .response(&[(":status", "200"), ("content-type", content_type)]);
        stream.response_headers(&self.vm, &self.host, 9, false);
        for piece in pieces {
            self.host.response_piece(piece);
            stream.response_body(&self.vm, &self.host, piece.len(), false);
        }
    }
}
