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
fn after_a_stop_another_assignment_drains_once_requests_prove_it() {
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
    for id in 20..28 {
        let mut call = scene.send(id, PUSH, "p/d");
        scene.answer(id, &mut call);
    }
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

/// As when the filter is told of other members than Envoy, again and again.
#[test]
fn wrong_assignments_in_quick_succession_are_no_storm() {
    let scene = Scene::new("a");
    let watch = |id: u32, number: u32| (id, scene.watch(id, &key(number)));
    let mut open: Vec<(u32, Stream)> = (0..20).map(|number| watch(100 + number, number)).collect();
    let mut next = 1000;
    let mut ended = 0;
    for epoch in 2..22 {
        scene.assign(epoch, "b", HOLD);
        scene.tick(SECOND / 10);
        scene.assign(epoch, "b", AT_ONCE);
        for _ in 0..15 {
            let resets = scene.resets();
            ended += resets.len();
            for id in resets {
                open.retain(|(other, _)| *other != id);
                // Its client comes back at once, and Envoy brings it where it was.
                let mut stream = scene.send(next, WATCH, &key(next % 20));
                scene.goes_to(next, "c", &address('a'));
                scene.answer(next, &mut stream);
                open.push((next, stream));
                next += 1;
            }
            scene.tick(SECOND / 10);
        }
    }
    assert_eq!(ended, 20, "each of 20 streams ends once");
}

#[test]
fn after_a_stop_one_lucky_request_does_not_prove_a_wrong_assignment() {
    let scene = Scene::new("ab");
    let _open: Vec<_> = (0..30)
        .map(|number| {
            let mut stream = scene.send(100 + number, WATCH, &key(number));
            // Envoy sends everything to `a`, whatever is predicted.
            scene.goes_to(100 + number, "c", &address('a'));
            scene.answer(100 + number, &mut stream);
            stream
        })
        .collect();
    for _ in 0..5 {
        scene.tick(SECOND);
    }
    assert!(scene.is_stopped());
    scene.assign(2, "ab", HOLD);
    let lucky = (0..1000).find(|number| scene.owner(&key(*number)) == 'a');
    let mut call = scene.send(20, PUSH, &key(lucky.unwrap()));
    scene.answer(20, &mut call);
    scene.assign(2, "ab", AT_ONCE);
    scene.tick(SECOND);
    scene.expect_no_resets();
}
