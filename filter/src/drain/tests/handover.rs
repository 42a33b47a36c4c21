//! VMs of an older module, and the root contexts that they are left with.

use sharding::Phase;

use super::*;

/// A second VM of the same process.
fn newer(scene: &Scene, epoch: u64, members: &str, drain: &str) -> Vm {
    let vm = Vm::new();
    scene.host.configuration(&config(epoch, members, drain));
    assert!(vm.configure(&scene.host, 99).can_serve);
    vm
}

#[test]
fn streams_of_an_older_module_end_too() {
    let scene = Scene::new("ab");
    let before = scene.assignment();
    let _streams = scene.watches(40);
    let _newer = newer(&scene, 2, "abc", HOLD);
    scene.tick(SECOND);
    assert_eq!(scene.vm.current().unwrap().config.epoch, 1);
    scene.tick(SECOND);
    assert_eq!(scene.vm.current().unwrap().config.epoch, 2);
    scene.expect_no_resets();
    let _newer = newer(&scene, 2, "abc", AT_ONCE);
    scene.tick(SECOND);
    assert_eq!(scene.resets(), scene.moved(&before, 40));
}

#[test]
fn an_older_module_that_has_stopped_drains_under_the_next_assignment() {
    let scene = Scene::new("a");
    let _streams = scene.watches(2);
    let mut wrong = scene.send(10, WATCH, "p/d");
    scene.goes_to(10, "c", "127.0.0.1:9");
    scene.answer(10, &mut wrong);
    for _ in 0..5 {
        scene.tick(SECOND);
    }
    assert_eq!(scene.host.gauge("yorkies.drain_stopped"), 1);
    let _newer = newer(&scene, 2, "b", AT_ONCE);
    scene.tick(SECOND);
    scene.tick(SECOND);
    assert_eq!(scene.resets(), [10, 100, 101]);
}

#[test]
fn a_format_that_it_cannot_read_is_refused_and_told_once() {
    let scene = Scene::new("ab");
    let _streams = scene.watches(3);
    let head = crate::handover::Head {
        epoch: 2,
        is_released: false,
    };
    crate::handover::publish(&scene.host, head, br#"{"format":2}"#).unwrap();
    for _ in 0..5 {
        scene.tick(SECOND);
    }
    assert_eq!(
        scene.host.logged(LogLevel::Error),
        [
            "yorkies: configuration rejected, epoch 1 stays: filter configuration has format 2: this filter understands format 1"
        ]
    );
    assert_eq!(scene.counted("yorkies.config.rejected"), 1);
    // The next one that it can read it takes over.
    let _newer = newer(&scene, 3, "ab", HOLD);
    scene.tick(SECOND);
    assert_eq!(scene.vm.current().unwrap().config.epoch, 3);
}

#[test]
fn a_vm_that_is_left_without_streams_follows_too_and_says_so() {
    let scene = Scene::new("ab");
    // Its root stays: of requests to another cluster nothing else is known.
    let mut elsewhere = scene.send(10, WATCH, "p/d");
    scene.goes_to(10, "other", &address('a'));
    scene.answer(10, &mut elsewhere);
    scene.tick(SECOND);
    assert_eq!(scene.reported(), (1, Phase::Released, 0, 0));
    scene.tick(SECOND);
    assert_eq!(scene.reported(), (1, Phase::Released, 0, 0));
    let _newer = newer(&scene, 2, "abc", HOLD);
    scene.tick(SECOND);
    scene.tick(SECOND);
    assert_eq!(scene.reported(), (2, Phase::Hold, 0, 0));
    let _newer = newer(&scene, 2, "abc", AT_ONCE);
    scene.tick(SECOND);
    assert_eq!(scene.reported(), (2, Phase::Released, 0, 0));
}

#[test]
fn the_last_root_gives_back_what_the_gauges_show() {
    let scene = Scene::new("a");
    let _streams = scene.watches(2);
    scene.tick(SECOND);
    assert_eq!(scene.host.gauge("yorkies.open_streams"), 2);
    assert!(scene.vm.done(&scene.host, ROOT));
    assert_eq!(scene.host.gauge("yorkies.open_streams"), 0);
    assert_eq!(scene.host.tick_period(), Some(Duration::ZERO));
}
