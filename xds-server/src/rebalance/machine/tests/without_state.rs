//! A start that finds no state.

use super::*;

/// Its first assignment is `m1`, for nobody yet.
fn scene() -> (Scene, u64) {
    let mut scene = Scene::new(settings(), None);
    let (epoch, drain) = published(&scene.roster(&[1]), Some(&[1]));
    assert_eq!(drain, Drain::Hold);
    (scene, epoch)
}

#[test]
fn a_fresh_proxy_ends_the_wait_at_once() {
    let (mut scene, epoch) = scene();
    assert_eq!(scene.pass(60_000), [], "nobody is there");
    assert_eq!(scene.machine.deadline(), None);
    scene.view.proxies = vec![proxy("a", false)];
    assert_eq!(scene.pass(10), []);
    scene.view.proxies[0].covers = true;
    scene.view.vms = vec![vm("a", epoch, Phase::Hold, 0)];
    assert_eq!(published(&scene.pass(10), Some(&[1])).0, epoch);
}

#[test]
fn a_fresh_proxy_that_does_not_keep_up_is_waited_for_as_ever() {
    let (mut scene, _) = scene();
    scene.pass(60_000);
    scene.view.proxies = vec![proxy("a", false)];
    assert_eq!(scene.look(), []);
    assert_eq!(scene.pass(1999), []);
    published(&scene.pass(1), Some(&[1]));
}

#[test]
fn a_proxy_that_is_back_shows_that_others_may_be_on_their_way() {
    let (mut scene, epoch) = scene();
    scene.pass(1000);
    let mut back = proxy("a", true);
    back.is_back = true;
    scene.view.proxies = vec![back];
    assert_eq!(scene.look(), []);
    scene.view.vms = vec![vm("a", epoch, Phase::Hold, 0)];
    assert_eq!(scene.pass(3000), []);
    scene.view.proxies.push(proxy("b", false));
    scene.view.vms.push(vm("b", E0 - 1, Phase::Released, 0));
    assert_eq!(scene.pass(999), []);
    scene.view.proxies[1].covers = true;
    scene.view.vms[1].epoch = epoch;
    published(&scene.pass(1), Some(&[1]));
}

#[test]
fn so_does_a_vm_with_an_epoch_that_was_not_given() {
    let (mut scene, epoch) = scene();
    scene.pass(1000);
    scene.view.vms = vec![vm("a", E0 - 1, Phase::Released, 0)];
    assert_eq!(scene.pass(10), []);
    scene.view.proxies = vec![proxy("b", true)];
    scene.view.vms = vec![vm("b", epoch, Phase::Hold, 0)];
    assert_eq!(scene.pass(3999), []);
    published(&scene.pass(1), Some(&[1]));
}

#[test]
fn while_nobody_has_come_a_change_does_not_wait() {
    let (mut scene, first) = scene();
    assert_eq!(scene.roster(&[1, 2]), []);
    assert!(scene.machine.deadline().is_some());
    let effects = scene.pass(250);
    assert_eq!(finished(&effects).outcome, Some(Outcome::Superseded));
    let (second, _) = published(&effects, Some(&[1, 2]));
    // It was given the first one meanwhile, so that is no sign.
    scene.view.proxies = vec![proxy("a", true)];
    scene.view.vms = vec![vm("a", first, Phase::Hold, 0)];
    assert_eq!(scene.look(), []);
    scene.view.vms[0].epoch = second;
    published(&scene.pass(10), Some(&[1, 2]));
}

#[test]
fn after_the_first_release_a_broken_stream_means_nothing() {
    let (mut scene, epoch) = scene();
    scene.view.proxies = vec![proxy("a", true)];
    scene.view.vms = vec![vm("a", epoch, Phase::Hold, 0)];
    published(&scene.look(), None);
    scene.view.vms[0].phase = Phase::Released;
    finished(&scene.pass(10));
    scene.view.proxies[0].is_back = true;
    let epoch = scene.hold(&[2]);
    scene.view.vms[0] = vm("a", epoch, Phase::Hold, 0);
    published(&scene.look(), Some(&[2]));
}

#[test]
fn where_nothing_is_drained_nobody_is_awaited() {
    let without = Settings {
        pace: None,
        ..settings()
    };
    let mut scene = Scene::new(without, None);
    published(&scene.roster(&[1]), Some(&[1]));
    assert_eq!(finished(&scene.look()).outcome, Some(Outcome::Held));
}
