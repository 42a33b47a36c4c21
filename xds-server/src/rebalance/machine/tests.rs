//! Single rebalances, step by step.

mod reload;

use sharding::{Member, Phase};

use super::*;
use crate::rebalance::record::PlanSummary;
use crate::rebalance::view::{ProxyView, Reason, VmView};

const E0: u64 = 1_000_000;

fn settings() -> Settings {
    Settings {
        settle: Duration::from_millis(250),
        settle_max: Duration::from_secs(2),
        ack_wait: Duration::from_secs(2),
        finish_wait: Duration::from_secs(5),
        return_wait: Duration::from_secs(4),
        pace: Some(Pace {
            rate: 1000,
            max_window_ms: 2000,
        }),
    }
}

fn roster(ids: &[u16]) -> Roster {
    let members = ids
        .iter()
        .map(|&n| Member::new(format!("m{n}"), ([127, 0, 0, 1], n).into(), 1));
    Roster::new(members.collect()).unwrap()
}

fn proxy(node: &str, covers: bool) -> ProxyView {
    ProxyView {
        node: node.into(),
        covers,
        is_back: false,
    }
}

fn vm(node: &str, epoch: u64, phase: Phase, misplaced: u64) -> VmView {
    VmView {
        node: node.into(),
        vm: 1,
        epoch,
        phase,
        misplaced,
        is_suspect: false,
    }
}

/// A machine with a clock and a view.
struct Scene {
    machine: Machine,
    now: Now,
    view: View,
}

impl Scene {
    fn new(settings: Settings, last: Option<FilterConfig>) -> Self {
        let now = Now {
            instant: Instant::now(),
            unix_ms: E0,
        };
        let is_return = last.is_some();
        let template = FilterConfig::new(0, "c");
        Self {
            machine: Machine::new(settings, template, last, is_return, now),
            now,
            view: View::default(),
        }
    }

    /// One that is stable at `m1` and `m2`.
    fn stable() -> Self {
        let last = FilterConfig {
            members: Some(roster(&[1, 2])),
            drain: Drain::Release { window_ms: 0 },
            ..FilterConfig::new(E0, "c")
        };
        let mut scene = Self::new(settings(), Some(last));
        assert_eq!(scene.roster(&[1, 2]), []);
        scene.pass(5000);
        assert_eq!(scene.machine.stage(), Stage::Stable);
        scene.look();
        scene
    }

    fn pass(&mut self, ms: u64) -> Vec<Effect> {
        self.now.instant += Duration::from_millis(ms);
        self.now.unix_ms += ms;
        self.look()
    }

    fn look(&mut self) -> Vec<Effect> {
        self.machine.step(Event::Look, &self.view, self.now)
    }

    fn take(&mut self, ids: &[u16], urgent: bool) -> Vec<Effect> {
        let roster = roster(ids);
        let event = Event::Roster { roster, urgent };
        self.machine.step(event, &self.view, self.now)
    }

    fn roster(&mut self, ids: &[u16]) -> Vec<Effect> {
        self.take(ids, false)
    }

    /// Starts a rebalance to these and returns its epoch.
    fn hold(&mut self, ids: &[u16]) -> u64 {
        assert_eq!(self.roster(ids), []);
        published(&self.pass(250), Some(ids)).0
    }
}

/// Epoch and drain of what is published among `effects`, of these members.
fn published(effects: &[Effect], ids: Option<&[u16]>) -> (u64, Drain) {
    let config = effects.iter().find_map(|effect| match effect {
        Effect::Publish(config) => Some(config),
        _ => None,
    });
    let config = config.unwrap_or_else(|| panic!("nothing is published: {effects:?}"));
    if let Some(ids) = ids {
        assert_eq!(config.members, Some(roster(ids)));
    }
    (config.epoch, config.drain)
}

fn finished(effects: &[Effect]) -> &Record {
    let record = effects.iter().find_map(|effect| match effect {
        Effect::Finished(record) => Some(record),
        _ => None,
    });
    record.unwrap_or_else(|| panic!("nothing is finished: {effects:?}"))
}

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

/// A start that finds no state.
mod without_state {
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
}
