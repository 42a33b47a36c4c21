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
