//! Assignments that are wrong.

use super::*;

impl Scene {
    /// A stream that Envoy sends elsewhere than predicted.
    fn watch_elsewhere(&self, id: u32, key: &str) -> Stream {
        let mut stream = self.send(id, WATCH, key);
        self.goes_to(id, "c", "127.0.0.1:9");
        self.answer(id, &mut stream);
        stream
    }

    fn is_stopped(&self) -> bool {
        self.host.gauge("yorkies.drain_stopped") == 1
    }
}

#[test]
fn while_requests_go_elsewhere_than_predicted_nothing_ends() {
    let scene = Scene::new("a");
    let _streams = scene.watches(40);
    scene.assign(2, "b", AT_ONCE);
    assert_eq!(scene.resets().len(), 32);
    let mut wrong = scene.watch_elsewhere(10, "p/d");
    scene.tick(Duration::from_millis(1));
    scene.tick(SECOND);
    scene.expect_no_resets();
    assert!(!scene.is_stopped());
    // It was a moment's confusion.
    wrong.end(&scene.vm);
    scene.tick(SECOND);
    assert_eq!(scene.resets().len(), 8);
}

#[test]
fn a_wrong_assignment_ends_each_stream_once_at_most_and_stops() {
    let scene = Scene::new("a");
    let _streams = scene.watches(5);
    scene.assign(2, "b", AT_ONCE);
    assert_eq!(scene.resets().len(), 5);
    // They come back to where they were.
    let mut again: Vec<_> = (0..5)
        .map(|n| scene.watch_elsewhere(200 + n, &key(n)))
        .collect();
    for second in 1..=10 {
        scene.tick(SECOND);
        assert_eq!(scene.is_stopped(), second >= 3, "{second}");
    }
    scene.expect_no_resets();
    assert_eq!(scene.counted("yorkies.prediction_mismatches"), 5);
    let told = scene.host.logged(LogLevel::Error);
    assert_eq!(told.len(), 1, "{told:?}");

    // For this assignment nothing heals it.
    for stream in &mut again {
        stream.end(&scene.vm);
    }
    let _right = scene.watch(300, "p/d");
    scene.tick(SECOND);
    assert!(scene.is_stopped());
}

#[test]
fn after_a_stop_another_assignment_drains_once_a_request_proves_it() {
    let scene = Scene::new("a");
    let _stays = scene.watches(3);
    scene.assign(2, "a", AT_ONCE);
    let _wrong = scene.watch_elsewhere(10, "p/d");
    for _ in 0..5 {
        scene.tick(SECOND);
    }
    assert!(scene.is_stopped());
    scene.assign(3, "b", AT_ONCE);
    scene.tick(SECOND);
    scene.expect_no_resets();
    let mut call = scene.send(20, PUSH, "p/d");
    scene.answer(20, &mut call);
    scene.tick(SECOND);
    assert_eq!(scene.resets(), [10, 100, 101, 102]);
    assert!(!scene.is_stopped());
}

#[test]
fn a_wrong_assignment_shows_without_streams() {
    let scene = Scene::new("a");
    let _streams = scene.watches(2);
    scene.assign(2, "b", HOLD);
    for id in 10..14 {
        let mut call = scene.send(id, PUSH, "p/d");
        scene.goes_to(id, "c", "127.0.0.1:9");
        scene.answer(id, &mut call);
        call.end(&scene.vm);
        scene.tick(SECOND);
    }
    assert!(scene.is_stopped());
    scene.assign(2, "b", AT_ONCE);
    scene.tick(SECOND);
    scene.expect_no_resets();
}

#[test]
fn calls_that_overtake_an_assignment_are_forgiven_by_it() {
    let scene = Scene::new("a");
    let _streams = scene.watches(2);
    // Envoy knows the new member already.
    let mut early = scene.send(10, WATCH, "p/d");
    scene.goes_to(10, "c", &address('b'));
    scene.answer(10, &mut early);
    scene.assign(2, "b", AT_ONCE);
    assert_eq!(scene.resets(), [100, 101]);
    for _ in 0..5 {
        scene.tick(SECOND);
    }
    assert!(!scene.is_stopped());
    scene.expect_no_resets();
}
