//! What the access log is told beside the key.

use super::call::{Call, JSON};
use super::*;

const PUSH: &str = "/yorkie.v1.YorkieService/PushPullChanges";
const KEY: &str = "change_pack=3.document_key=1";

#[test]
fn only_a_key_that_was_not_right_in_the_header_has_a_note() {
    let router = Router::new(KEY_ONLY);
    let note = |call: &Call<'_>| {
        router.call(call);
        router.host.filter_state("shard_note")
    };
    for (call, expected) in [
        (Call::new(PUSH, &[("x-shard-key", "p/d")]), None),
        (
            Call::new(PUSH, &[("x-shard-key", "/d e"), ("x-api-key", "p")]),
            Some("source:header,mended:spelling+project"),
        ),
        (
            Call::new(PUSH, &[("x-api-key", "p")]).with(JSON, &[(KEY, "d")]),
            Some("source:body,inspected:34"),
        ),
        (Call::new(HEALTH, &[]), Some("source:none")),
        (Call::new("/auth/x", &[]), Some("source:fixed")),
        // Refused, the first before and the second after a look at the message.
        (Call::new(PUSH, &[]), None),
        (Call::new(PUSH, &[]).with(JSON, &[]), Some("inspected:2")),
    ] {
        assert_eq!(note(&call).as_deref(), expected, "{call:?}");
    }
}

#[test]
fn a_key_that_was_compared_with_the_message_has_a_note() {
    let router = Router::new(&KEY_ONLY.replace("\"epoch\"", "\"verify\":\"body\",\"epoch\""));
    router.call(&Call::new(PUSH, &[("x-shard-key", "p/d")]).with(JSON, &[(KEY, "d")]));
    assert_eq!(
        router.host.filter_state("shard_note").as_deref(),
        Some("source:header,inspected:34")
    );
}

#[test]
fn a_message_in_the_query_is_inspected_too() {
    let router = Router::new(KEY_ONLY);
    let path = format!(
        "{PUSH}?connect=v1&encoding=json&message=%7B%22changePack%22:%7B%22documentKey%22:%22g%22%7D%7D"
    );
    router.host.request(&[(":method", "GET"), (":path", &path)]);
    Stream::new(2, 1, false).request_headers(&router.vm, &router.host, true);
    assert_eq!(
        router.host.filter_state("shard_note").as_deref(),
        Some("source:body,inspected:34")
    );
}
