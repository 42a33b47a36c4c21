//! What the control plane hears of it.

use prost::Message;
use sharding::{MemberStreams, Phase, Report};

use super::*;

impl Scene {
    fn reports(&self) -> Vec<Report> {
        let calls = self.host.take_grpc_calls().into_iter();
        calls
            .map(|call| {
                assert_eq!(call.context, Some(ROOT));
                Report::decode(call.message.as_slice()).unwrap()
            })
            .collect()
    }

    /// The only one since last asked: epoch, phase, open and misplaced streams.
    pub(super) fn reported(&self) -> (u64, Phase, u64, u64) {
        let reports = self.reports();
        let [report] = &reports[..] else {
            panic!("{reports:#?}");
        };
        (report.epoch, report.phase(), report.open, report.misplaced)
    }
}

#[test]
fn a_vm_without_requests_says_nothing() {
    let scene = Scene::new("a");
    scene.tick(SECOND);
    scene.assign(2, "ab", HOLD);
    assert_eq!(scene.reports(), []);
}

#[test]
fn every_step_of_a_rebalance_is_told_as_it_happens() {
    let scene = Scene::new("a");
    let _streams = scene.watches(40);
    scene.tick(SECOND);
    assert_eq!(scene.reported(), (1, Phase::Released, 40, 0));
    scene.assign(2, "b", HOLD);
    assert_eq!(scene.reported(), (2, Phase::Hold, 40, 40));
    scene.assign(2, "b", AT_ONCE);
    assert_eq!(scene.reported(), (2, Phase::Released, 8, 8));
    scene.tick(Duration::from_millis(1));
    assert_eq!(scene.reported(), (2, Phase::Released, 0, 0));
    scene.assign(3, "b", HOLD);
    assert_eq!(scene.reported(), (3, Phase::Hold, 0, 0));
    scene.assign(3, "b", AT_ONCE);
    assert_eq!(scene.reported(), (3, Phase::Released, 0, 0));
}

#[test]
fn a_report_says_who_has_how_many_and_what_was_refused_and_ended() {
    let scene = Scene::new("a");
    let _streams = scene.watches(3);
    scene.host.request(&[(":path", WATCH)]);
    let mut refused = Stream::new(10, ROOT, false);
    assert_eq!(
        refused.request_headers(&scene.vm, &scene.host, true),
        Flow::Answered
    );
    scene.assign(2, "b", AT_ONCE);
    let _again: Vec<_> = (0..2).map(|n| scene.watch(200 + n, &key(n))).collect();
    scene.reports();
    scene.tick(SECOND);
    let report = scene.reports().remove(0);
    let members = [MemberStreams {
        id: "b".to_owned(),
        open: 2,
        ..MemberStreams::default()
    }];
    assert_eq!(report.members, members);
    assert_eq!((report.drained, report.refused, report.open), (3, 1, 2));
}

#[test]
fn a_stop_is_told() {
    let scene = Scene::new("a");
    let mut stream = scene.send(10, WATCH, "p/d");
    scene.goes_to(10, "c", "127.0.0.1:9");
    scene.answer(10, &mut stream);
    for _ in 0..4 {
        scene.tick(SECOND);
    }
    let last = scene.reports().pop().unwrap();
    assert_eq!((last.phase(), last.mismatched), (Phase::Stopped, 1));
}

#[test]
fn without_a_control_plane_to_tell_nothing_is_told() {
    let scene = Scene::new("a");
    let silent = config(2, "ab", AT_ONCE).replace(r#""report_to":"xds","#, "");
    scene.host.configuration(&silent);
    scene.vm.configure(&scene.host, ROOT);
    let _streams = scene.watches(3);
    scene.tick(SECOND);
    assert_eq!(scene.reports(), []);
}

#[test]
fn whoever_sends_a_lower_epoch_is_told_the_one_in_use_at_once() {
    let scene = Scene::new("a");
    let _streams = scene.watches(3);
    scene.assign(7, "a", AT_ONCE);
    assert_eq!(scene.reported(), (7, Phase::Released, 3, 0));
    scene.assign(6, "b", AT_ONCE);
    assert_eq!(scene.reported(), (7, Phase::Released, 3, 0));
}

#[test]
fn while_it_is_not_known_where_a_stream_is_nothing_is_settled() {
    let scene = Scene::new("a");
    let _one = scene.watch(9, "p/x");
    let mut waiting = scene.send(10, WATCH, "p/d");
    scene.goes_to(10, "", "");
    scene.tick(SECOND);
    scene.assign(2, "b", HOLD);
    scene.assign(2, "b", AT_ONCE);
    scene.tick(SECOND);
    assert_eq!(
        scene.reports().last().map(|report| report.misplaced),
        Some(1)
    );
    scene.goes_to(10, "c", &address('a'));
    scene.answer(10, &mut waiting);
    scene.tick(SECOND);
    assert_eq!(scene.resets().last(), Some(&10));
    assert_eq!(
        scene.reports().last().map(|report| report.misplaced),
        Some(0)
    );
}

/// What `unreached` is reported by member, after a second.
fn unreached(scene: &Scene) -> Vec<(String, u64)> {
    reported(scene, |member| member.unreached)
}

/// The like of `unanswered`.
fn unanswered(scene: &Scene) -> Vec<(String, u64)> {
    reported(scene, |member| member.unanswered)
}

fn reported(scene: &Scene, count: impl Fn(&MemberStreams) -> u64) -> Vec<(String, u64)> {
    scene.reports();
    scene.tick(SECOND);
    let last = scene.reports().pop().map(|report| report.members);
    let members = last.into_iter().flatten();
    let counts = members.map(|member| (member.id.clone(), count(&member)));
    counts.filter(|(_, count)| *count > 0).collect()
}

impl Scene {
    /// Envoy answers in place of the member, or the member itself.
    fn answer_with(&self, id: u32, stream: &mut Stream, count: usize, flags: u64) {
        self.host
            .property_of(Some(id), "response.flags", flags.to_le_bytes());
        self.host.in_callback_of(id);
        stream.response_headers(&self.vm, &self.host, count, true);
    }
}

#[test]
fn requests_that_do_not_reach_a_member_are_told_until_it_answers() {
    let scene = Scene::new("ab");
    let keys: Vec<_> = (0..40)
        .map(key)
        .filter(|key| scene.owner(key) == 'b')
        .collect();
    for (id, flag) in [(10, 1 << 5), (11, 1 << 6)] {
        let mut call = scene.send(id, PUSH, &keys[0]);
        scene.answer_with(id, &mut call, 3, flag);
    }
    assert_eq!(unreached(&scene), [("b".to_owned(), 2)]);
    // Of more headers, since it is looked closer at now.
    let mut call = scene.send(13, PUSH, &keys[1]);
    scene.answer_with(13, &mut call, 9, 0);
    assert_eq!(unreached(&scene), []);
    // A member's own refusal, and other faults of Envoy, say nothing of it.
    for (id, flag) in [(14, 0), (15, 1 << 7), (16, 1 << 1)] {
        let mut call = scene.send(id, PUSH, &keys[2]);
        scene.answer_with(id, &mut call, 3, flag);
    }
    assert_eq!(unreached(&scene), []);
}

#[test]
fn what_becomes_of_a_request_of_an_earlier_assignment_says_nothing() {
    let scene = Scene::new("a");
    let mut call = scene.send(10, PUSH, "p/d");
    scene.assign(2, "b", AT_ONCE);
    scene.answer_with(10, &mut call, 3, 1 << 5);
    assert_eq!(unreached(&scene), []);
}

#[test]
fn a_request_that_is_well_costs_no_call_of_the_host() {
    let scene = Scene::new("a");
    // Now and then one is asked where it is.
    let mut first = scene.send(10, PUSH, "p/d");
    scene.answer(10, &mut first);
    let mut call = scene.send(11, PUSH, "p/d");
    let before = scene.host.calls();
    scene.answer(11, &mut call);
    assert_eq!(scene.host.calls(), before);
}

#[test]
fn calls_that_wait_for_an_answer_are_told_and_streams_are_not() {
    let scene = Scene::new("a");
    let _stream = scene.send(10, WATCH, "p/d");
    for _ in 0..6 {
        scene.tick(SECOND);
    }
    assert_eq!(unanswered(&scene), []);
    let mut call = scene.send(11, PUSH, "p/d");
    for _ in 0..3 {
        assert_eq!(unanswered(&scene), []);
    }
    assert_eq!(unanswered(&scene), [("a".to_owned(), 1)]);
    scene.answer(11, &mut call);
    assert_eq!(unanswered(&scene), []);
}

#[test]
fn a_call_that_waited_longer_than_its_route_allows_is_told_as_unanswered() {
    let scene = Scene::new("a");
    let mut call = scene.send(10, PUSH, "p/d");
    scene.answer_with(10, &mut call, 3, 1 << 2);
    assert_eq!(unanswered(&scene), [("a".to_owned(), 1)]);
    let mut call = scene.send(11, PUSH, "p/d");
    scene.answer_with(11, &mut call, 3, 1 << 2);
    assert_eq!(unreached(&scene), []);
    let mut call = scene.send(12, PUSH, "p/d");
    scene.answer_with(12, &mut call, 9, 0);
    assert_eq!(unanswered(&scene), []);
}
