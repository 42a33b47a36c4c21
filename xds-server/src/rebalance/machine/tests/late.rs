//! Who does not keep up, or is gone.

use super::*;
use crate::rebalance::record::PlanSummary;
use crate::rebalance::view::Reason;

#[test]
fn a_proxy_that_is_late_or_gone_is_named_and_left_behind() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("late", false), proxy("leaves", false)];
    scene.view.vms = vec![
        vm("leaves", E0, Phase::Released, 0),
        vm("unknown", E0, Phase::Released, 4),
    ];
    let epoch = scene.hold(&[1]);
    scene.look();
    scene.view.proxies.pop();
    for vm in &mut scene.view.vms {
        vm.is_suspect = true;
    }
    assert_eq!(scene.pass(1999), []);
    let event = Event::Planned {
        epoch,
        plan: PlanSummary {
            streams: 500,
            ..PlanSummary::default()
        },
    };
    assert_eq!(scene.machine.step(event, &scene.view, scene.now), []);
    let (_, drain) = published(&scene.pass(1), None);
    assert_eq!(
        drain,
        Drain::Release { window_ms: 500 },
        "the plan is all that is known"
    );
    assert_eq!(scene.pass(5499), []);
    let effects = scene.pass(1);
    let record = finished(&effects);
    assert_eq!(record.outcome, Some(Outcome::Incomplete));
    let behind = |node: &str, reason| Behind {
        node: node.to_owned(),
        reason,
    };
    let both = [
        behind("late", Reason::NotAccepted),
        behind("leaves", Reason::Gone),
    ];
    assert_eq!(record.left_behind, both);
    assert_eq!(record.missing, both);
}

#[test]
fn a_stopped_drain_is_told_in_the_end() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("a", true)];
    let epoch = scene.hold(&[1]);
    scene.view.vms = vec![vm("a", epoch, Phase::Stopped, 7)];
    published(&scene.look(), None);
    let effects = scene.pass(60_000);
    let record = finished(&effects);
    assert_eq!(record.missing[0].to_string(), "a (drain stopped)");
}

#[test]
fn a_vm_that_reports_between_two_streams_of_its_proxy_is_waited_for() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("a", true), proxy("b", false)];
    scene.view.vms = vec![
        vm("a", E0, Phase::Released, 0),
        vm("b", E0, Phase::Released, 0),
    ];
    let epoch = scene.hold(&[1]);
    scene.look();
    scene.view.proxies.pop();
    scene.view.vms[0].epoch = epoch;
    assert_eq!(scene.pass(10), [], "b still routes by the earlier epoch");
    scene.view.vms[1] = vm("b", epoch, Phase::Hold, 4);
    published(&scene.pass(10), Some(&[1]));
    scene.view.vms[0] = vm("a", epoch, Phase::Released, 0);
    scene.view.vms[1] = vm("b", epoch, Phase::Released, 4);
    let effects = scene.pass(60_000);
    let record = finished(&effects);
    assert_eq!(record.outcome, Some(Outcome::Incomplete));
    assert_eq!(record.missing[0].to_string(), "b (4 misplaced)");
}

#[test]
fn a_proxy_that_left_in_silence_holds_nobody() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("b", false)];
    scene.view.vms = vec![vm("b", E0, Phase::Released, 4)];
    scene.hold(&[1]);
    scene.look();
    scene.view.proxies.clear();
    scene.view.vms[0].is_suspect = true;
    published(&scene.pass(10), Some(&[1]));
    let effects = scene.pass(10);
    let record = finished(&effects);
    assert_eq!(record.outcome, Some(Outcome::Done));
    assert_eq!(record.missing[0].to_string(), "b (gone)");
}

#[test]
fn a_vm_that_cannot_be_overtaken_is_named_and_waited_for_no_longer_than_others() {
    let mut scene = Scene::stable();
    scene.view.proxies = vec![proxy("a", true)];
    scene.view.vms = vec![vm("a", u64::MAX, Phase::Released, 0)];
    scene.hold(&[1]);
    assert_eq!(scene.pass(1999), []);
    published(&scene.pass(1), Some(&[1]));
    assert_eq!(scene.pass(4999), []);
    let effects = scene.pass(1);
    let record = finished(&effects);
    assert_eq!(record.outcome, Some(Outcome::Incomplete));
    assert_eq!(record.missing[0].to_string(), "a (at a later epoch)");
    assert_eq!(record.left_behind, record.missing);
}
