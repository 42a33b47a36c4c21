//! Requests whose body does not come.

use std::time::Duration;

use super::call::JSON;
use super::*;

const PUSH: &str = "/yorkie.v1.YorkieService/PushPullChanges";
const ROOT: u32 = 1;
const LIMIT: Duration = Duration::from_secs(10);
const REFUSED: &str = "yorkies.requests.refused.body_timeout";

impl Router {
    /// A request in that context that waits for its body.
    fn waits(&self, context: u32, content_type: &str) -> Stream {
        let headers = [(":path", PUSH), ("content-type", content_type)];
        self.host.request(&headers);
        let mut stream = Stream::new(context, ROOT, false);
        let flow = stream.request_headers(&self.vm, &self.host, false);
        assert_eq!(flow, Flow::Wait);
        stream
    }

    /// The replies of a tick at which that much more time has passed, in their
    /// contexts.
    fn replies_after(&self, time: Duration) -> Vec<(u32, Reply)> {
        self.host.take_replies();
        self.host.pass(time);
        self.vm.tick(&self.host, ROOT);
        let replies = self.host.take_replies().into_iter();
        let replies: Vec<_> = replies
            .map(|(context, reply)| (context.unwrap(), reply))
            .collect();
        if !replies.is_empty() {
            assert_eq!(self.host.entered(), Some(ROOT), "it has come back");
        }
        replies
    }
}

#[test]
fn a_request_whose_body_never_comes_is_refused_in_its_protocol_once() {
    let router = Router::new(KEY_ONLY);
    let mut unary = router.waits(10, "application/json");
    let _grpc = router.waits(11, "application/grpc");
    assert_eq!(router.replies_after(Duration::ZERO), []);
    assert_eq!(router.replies_after(Duration::from_secs(9)), []);
    let replies = router.replies_after(Duration::from_secs(1));
    let [(10, of_unary), (11, of_grpc)] = &replies[..] else {
        panic!("{replies:?}");
    };
    assert_eq!(
        (of_unary.status, of_unary.details),
        (503, "yorkies_body_timeout")
    );
    assert_eq!(
        text(of_unary.clone()),
        r#"{"code":"unavailable","message":"the message did not come in time: expected the part with its shard key within 10s"}"#
    );
    assert_eq!((of_grpc.status, of_grpc.grpc_status), (200, 14));
    assert_eq!(router.replies_after(LIMIT), []);
    assert_eq!(router.counted(REFUSED), 2);

    // What still comes of it goes nowhere.
    let size = router.host.body(b"{}");
    let flow = unary.request_body(&router.vm, &router.host, size, true);
    assert_eq!(flow, Flow::Answered);
    let flow = unary.request_trailers(&router.vm, &router.host);
    assert_eq!(flow, Flow::Answered);
    assert_eq!(router.host.take_replies(), []);
}

#[test]
fn a_body_that_trickles_in_is_no_excuse() {
    let router = Router::new(KEY_ONLY);
    let mut stream = router.waits(10, "application/json");
    for second in 0..10 {
        assert_eq!(router.replies_after(Duration::from_secs(1)), [], "{second}");
        let size = router.host.body(b" ");
        let flow = stream.request_body(&router.vm, &router.host, size, false);
        assert_eq!(flow, Flow::Wait);
    }
    assert_eq!(router.replies_after(Duration::from_secs(1)).len(), 1);
}

#[test]
fn a_request_that_waits_no_longer_is_left_alone() {
    let router = Router::new(KEY_ONLY);
    let mut complete = router.waits(10, "application/json");
    let size = router
        .host
        .body(&JSON.body(&[(call::field("change_pack=3.document_key=1"), "doc")]));
    let flow = complete.request_body(&router.vm, &router.host, size, true);
    assert_eq!(flow, Flow::Continue);
    let mut refused = router.waits(11, "application/json");
    let flow = refused.request_trailers(&router.vm, &router.host);
    assert_eq!(flow, Flow::Answered);
    let mut gone = router.waits(12, "application/json");
    gone.end(&router.vm);
    assert!(router.vm.waiting.is_empty());
    assert_eq!(router.replies_after(Duration::ZERO), []);
    assert_eq!(router.replies_after(LIMIT), []);
}

#[test]
fn a_context_that_is_gone_harms_no_other() {
    let router = Router::new(KEY_ONLY);
    let _streams = [10, 11].map(|context| router.waits(context, "application/json"));
    router.host.gone(10);
    router.replies_after(Duration::ZERO);
    let replies = router.replies_after(LIMIT);
    assert!(matches!(replies[..], [(11, _)]), "{replies:?}");
    assert_eq!(router.counted("yorkies.host.errors"), 1);
}

#[test]
fn many_are_refused_a_few_at_a_time_but_soon() {
    let router = Router::new(KEY_ONLY);
    let _streams: Vec<_> = (10..60)
        .map(|context| router.waits(context, "application/json"))
        .collect();
    router.replies_after(Duration::ZERO);
    assert_eq!(router.replies_after(LIMIT).len(), 32);
    assert_eq!(router.host.tick_period(), Some(Duration::from_millis(10)));
    assert_eq!(router.replies_after(Duration::from_millis(10)).len(), 18);
    assert_eq!(router.host.tick_period(), Some(Duration::from_secs(1)));
}

#[test]
fn the_limit_is_that_of_the_configuration_under_which_it_began() {
    let router = Router::new(&KEY_ONLY.replace("\"epoch\"", "\"body_timeout_ms\":500,\"epoch\""));
    let _stream = router.waits(10, "application/json");
    router.host.configuration(KEY_ONLY);
    assert!(router.vm.configure(&router.host, ROOT).can_serve);
    router.replies_after(Duration::ZERO);
    assert_eq!(router.replies_after(Duration::from_millis(500)).len(), 1);
}

#[test]
fn a_request_that_does_not_wait_costs_no_look_at_the_clock() {
    let router = Router::new(KEY_ONLY);
    router.route(WATCH, &[("x-shard-key", "p/d")]);
    router.vm.tick(&router.host, ROOT);
    let before = router.host.calls();
    router.vm.tick(&router.host, ROOT);
    assert_eq!(router.host.calls(), before);
}
