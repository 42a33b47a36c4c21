//! What becomes of a change, and of the next one.

use super::*;

#[test]
fn a_change_is_held_until_all_route_and_done_when_nothing_is_misplaced() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("a", false), proxy("b", true)];
    scene.view.vms = vec![vm("a", E0, Phase::Released, 0)];
    let epoch = scene.hold(&[1, 2, 3]);
    assert!(epoch > E0);
    assert_eq!(scene.machine.current().unwrap().drain, Drain::Hold);
    assert_eq!(scene.pass(10), [], "a has not accepted");
    scene.view.proxies[0].covers = true;
    assert_eq!(scene.pass(10), [], "a VM of a is at the earlier epoch");
    scene.view.vms[0] = vm("a", epoch, Phase::Hold, 30);
    let (released, drain) = published(&scene.pass(10), Some(&[1, 2, 3]));
    assert_eq!(released, epoch);
    assert_eq!(drain, Drain::Release { window_ms: 30 });
    assert_eq!(scene.machine.stage(), Stage::Draining);

    assert_eq!(scene.pass(10), []);
    scene.view.vms[0] = vm("a", epoch, Phase::Released, 3);
    scene.view.drained = 27;
    assert_eq!(scene.pass(10), []);
    scene.view.vms[0].misplaced = 0;
    scene.view.drained = 30;
    let effects = scene.pass(10);
    let record = finished(&effects);
    assert_eq!(record.outcome, Some(Outcome::Done));
    assert_eq!((record.settle_ms, record.hold_ms), (250, Some(30)));
    assert_eq!((record.drain_ms, record.drained), (Some(30), 30));
    assert_eq!(record.to_zero_misplaced_ms(), Some(60));
    assert_eq!(record.changes[0].to_string(), "added m3");
    assert!(record.left_behind.is_empty() && record.missing.is_empty());
    assert_eq!(scene.machine.stage(), Stage::Stable);
    assert_eq!(scene.machine.deadline(), None);
}

#[test]
fn further_changes_restart_the_settle_window_but_not_for_ever() {
    let mut scene = Scene::stable();
    assert_eq!(scene.roster(&[1, 2, 3]), []);
    assert_eq!(scene.pass(200), []);
    assert_eq!(scene.roster(&[1, 2, 4]), []);
    assert_eq!(scene.pass(200), []);
    assert_eq!(scene.roster(&[1, 2, 4]), [], "no change");
    published(&scene.pass(50), Some(&[1, 2, 4]));

    let mut scene = Scene::stable();
    for round in 0..10 {
        assert_eq!(scene.roster(&[1, 2, 3 + round % 2]), []);
        if round < 9 {
            assert_eq!(scene.pass(200), []);
        }
    }
    published(&scene.pass(200), None);
}

#[test]
fn what_reverts_while_it_settles_never_was() {
    let mut scene = Scene::stable();
    assert_eq!(scene.roster(&[1, 2, 3]), []);
    assert_eq!(scene.machine.stage(), Stage::Settling);
    scene.pass(100);
    assert_eq!(scene.roster(&[2, 1]), []);
    assert_eq!(scene.machine.stage(), Stage::Stable);
    assert_eq!(scene.pass(10_000), []);
}

#[test]
fn ordinary_changes_wait_for_the_one_under_way_and_merge() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("a", false)];
    let first = scene.hold(&[1]);
    assert_eq!(scene.roster(&[2]), []);
    assert_eq!(scene.pass(1000), []);
    assert_eq!(scene.roster(&[3]), []);
    scene.view.proxies[0].covers = true;
    published(&scene.pass(900), Some(&[1]));
    let effects = scene.look();
    assert_eq!(finished(&effects).epoch, first);
    let (second, drain) = published(&effects, Some(&[3]));
    assert!(second > first);
    assert_eq!(drain, Drain::Hold);
}

#[test]
fn an_urgent_change_takes_over_at_once_in_every_stage() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("a", false)];
    scene.roster(&[1, 2, 3]);
    let (settling, _) = published(&scene.take(&[1, 3], true), Some(&[1, 3]));
    let effects = scene.take(&[1], true);
    assert_eq!(finished(&effects).epoch, settling);
    assert_eq!(finished(&effects).outcome, Some(Outcome::Superseded));
    let (holding, _) = published(&effects, Some(&[1]));
    scene.view.proxies[0].covers = true;
    published(&scene.look(), None);
    scene.view.proxies[0].covers = false;
    let effects = scene.take(&[2], true);
    assert_eq!(finished(&effects).epoch, holding);
    assert_eq!(published(&effects, Some(&[2])).1, Drain::Hold);
}

#[test]
fn the_streams_of_a_member_that_is_lost_end_all_at_once_and_those_after_it_as_usual() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("a", true)];
    let (epoch, _) = published(&scene.take(&[1], true), Some(&[1]));
    scene.view.vms = vec![vm("a", epoch, Phase::Hold, 1000)];
    let (_, drain) = published(&scene.look(), None);
    assert_eq!(drain, Drain::Release { window_ms: 0 });
    scene.view.vms = vec![vm("a", epoch, Phase::Released, 0)];
    assert_eq!(finished(&scene.look()).outcome, Some(Outcome::Done));
    let epoch = scene.hold(&[1, 2]);
    scene.view.vms = vec![vm("a", epoch, Phase::Hold, 1000)];
    let (_, drain) = published(&scene.look(), None);
    assert_eq!(drain, Drain::Release { window_ms: 1000 });
}

#[test]
fn the_window_follows_the_number_of_streams_up_to_its_limit() {
    let pace = Pace {
        rate: 2000,
        max_window_ms: 2000,
    };
    for (streams, window) in [(0, 0), (1, 0), (100, 50), (4000, 2000), (u64::MAX, 2000)] {
        assert_eq!(pace.window_ms(streams), window);
    }
    let at_once = Pace {
        max_window_ms: 0,
        ..pace
    };
    assert_eq!(at_once.window_ms(1_000_000), 0);
}

#[test]
fn what_is_taken_back_while_it_holds_ends_no_stream() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("a", false)];
    scene.view.vms = vec![vm("a", E0, Phase::Released, 0)];
    let epoch = scene.hold(&[1, 2, 3]);
    assert_eq!(scene.roster(&[1, 2]), []);
    // All route by it now, but it is about to be taken back.
    scene.view.proxies[0].covers = true;
    scene.view.vms[0] = vm("a", epoch, Phase::Hold, 700);
    assert_eq!(scene.pass(10), []);
    let effects = scene.pass(240);
    assert_eq!(finished(&effects).outcome, Some(Outcome::Superseded));
    let (later, drain) = published(&effects, Some(&[1, 2]));
    assert!(later > epoch && drain == Drain::Hold);
}
