//! A start with a state, be it an older one.

use super::*;

#[test]
fn a_restart_with_the_same_roster_sends_nothing() {
    let mut scene = Scene::stable();
    assert_eq!(scene.roster(&[1, 2]), []);
    assert_eq!(scene.pass(60_000), []);
}

#[test]
fn a_restart_in_the_middle_waits_for_proxies_to_come_back_and_releases() {
    let last = FilterConfig {
        members: Some(roster(&[1])),
        ..FilterConfig::new(E0, "c")
    };
    let mut scene = Scene::new(settings(), Some(last));
    assert_eq!(scene.roster(&[1]), []);
    assert_eq!(scene.pass(3999), [], "nobody is back yet");
    scene.view.proxies = vec![proxy("a", false)];
    assert_eq!(published(&scene.pass(1), None).0, E0);
    scene.view.proxies[0].covers = true;
    let effects = scene.pass(1);
    let record = finished(&effects);
    assert_eq!(record.changes, [Change::of(Cause::Resumed)]);
    assert_eq!(record.left_behind.len(), 1);
}

#[test]
fn another_policy_after_a_restart_goes_the_same_way() {
    let last = FilterConfig {
        members: Some(roster(&[1])),
        drain: Drain::Release { window_ms: 0 },
        policy: "maglev:251".parse().unwrap(),
        ..FilterConfig::new(E0, "c")
    };
    let mut scene = Scene::new(settings(), Some(last));
    let (epoch, drain) = published(&scene.roster(&[1]), Some(&[1]));
    assert!(epoch > E0 && drain == Drain::Hold);
    let record = scene.machine.underway(&scene.view, scene.now.instant);
    assert_eq!(record.unwrap().changes, [Change::of(Cause::Policy)]);
}

#[test]
fn without_draining_nothing_is_ever_released_and_a_release_is_taken_back() {
    let without = Settings {
        pace: None,
        ..settings()
    };
    let last = FilterConfig {
        members: Some(roster(&[1])),
        drain: Drain::Release { window_ms: 0 },
        ..FilterConfig::new(E0, "c")
    };
    let mut scene = Scene::new(without.clone(), Some(last));
    let (epoch, drain) = published(&scene.roster(&[1]), Some(&[1]));
    assert!(epoch > E0 && drain == Drain::Hold);
    let effects = scene.pass(4000);
    assert_eq!(finished(&effects).outcome, Some(Outcome::Held));
    assert_eq!(effects.len(), 1);
    let held = scene.machine.current().cloned();
    let mut again = Scene::new(without, held);
    assert_eq!(again.roster(&[1]), []);
    assert_eq!(again.pass(60_000), []);
}

#[test]
fn an_older_state_is_overtaken_by_what_proxies_already_have() {
    let mut scene = Scene::stable();
    let ahead = E0 + 60_000;
    scene.view.proxies = vec![proxy("a", true)];
    scene.view.vms = vec![vm("a", ahead, Phase::Released, 0)];
    let effects = scene.look();
    let (epoch, drain) = published(&effects, Some(&[1, 2]));
    assert_eq!((epoch, drain), (ahead + 1, Drain::Hold));
    assert_eq!(scene.pass(10), [], "once is enough");
    scene.view.vms = vec![vm("a", epoch, Phase::Hold, 0)];
    published(&scene.pass(10), None);
    scene.view.vms = vec![vm("a", epoch, Phase::Released, 0)];
    let effects = scene.pass(10);
    assert_eq!(finished(&effects).changes[0].cause, Cause::Outdated);
}

#[test]
fn nothing_is_released_by_the_view_of_what_an_older_state_had() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("covers-what-was", true)];
    scene.view.vms = vec![vm("away", E0 + 60_000, Phase::Released, 0)];
    let roster = roster(&[1, 2, 3]);
    let urgent = false;
    let event = Event::Roster { roster, urgent };
    let effects = scene.machine.step(event, &scene.view, scene.now);
    assert_eq!(published(&effects, Some(&[1, 2, 3])).1, Drain::Hold);
    assert_eq!(scene.machine.stage(), Stage::Holding);
    assert_eq!(effects.len(), 2, "{effects:?}");
}

#[test]
fn an_older_state_in_the_middle_of_a_change_takes_the_change_along() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("a", false)];
    scene.hold(&[1, 2, 3]);
    assert_eq!(scene.roster(&[1, 2, 4]), []);
    scene.view.vms = vec![vm("a", E0 + 60_000, Phase::Released, 0)];
    let effects = scene.look();
    published(&effects, Some(&[1, 2, 4]));
    assert_eq!(finished(&effects).outcome, Some(Outcome::Superseded));
}

#[test]
fn an_epoch_that_nobody_can_have_given_is_not_believed() {
    let mut scene = Scene::stable();
    scene.view.vms = vec![vm("a", u64::MAX, Phase::Released, 0)];
    assert_eq!(scene.pass(10), []);
    scene.hold(&[1, 2, 3]);
}

#[test]
fn the_highest_epoch_breaks_nothing() {
    let last = FilterConfig {
        members: Some(roster(&[1, 2])),
        drain: Drain::Release { window_ms: 0 },
        ..FilterConfig::new(u64::MAX, "c")
    };
    let mut scene = Scene::new(settings(), Some(last));
    scene.view.vms = vec![vm("a", 5, Phase::Released, 0)];
    assert_eq!(scene.roster(&[1, 2]), []);
}
