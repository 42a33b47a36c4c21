//! Cases, one by one.

use std::time::{Duration, Instant};

use super::deciding::Happened;
use super::*;
use crate::config::{Check, Damping, Readmit};
use crate::health::MemberState;

const SECOND: Duration = Duration::from_secs(1);

fn rules() -> Rules {
    Rules {
        check: Check::Tcp,
        port: None,
        incarnation: None,
        interval: SECOND,
        timeout: SECOND,
        fail_after: 3,
        pass_after: 1,
        quorum: None,
        readmit: None,
        max_ejected: 34,
        damping: Damping {
            first: SECOND * 10,
            longest: SECOND * 30,
            memory: SECOND * 1000,
        },
    }
}

fn roster(ids: &[&str]) -> Roster {
    let members = ids.iter().map(|id| Member::new(*id, address(id, 1), 1));
    Roster::new(members.collect()).unwrap()
}

/// Of the run `run` of that member.
fn address(id: &str, run: u8) -> SocketAddr {
    let last = id.bytes().last().unwrap();
    ([10, 0, run, last], 80).into()
}

struct Scene {
    judge: Judge,
    now: Instant,
}

impl Scene {
    /// All of them serve.
    fn new(rules: Rules, ids: &[&str]) -> Self {
        let mut scene = Self::restarted(rules, ids, ids, Kept::default());
        for id in ids {
            scene.pass(id, None);
        }
        scene.expect(ids);
        scene
    }

    fn restarted(rules: Rules, last: &[&str], listed: &[&str], kept: Kept) -> Self {
        let last = (!last.is_empty()).then(|| roster(last));
        let mut scene = Self {
            judge: Judge::new(Some(rules), last.as_ref(), kept),
            now: Instant::now(),
        };
        scene.list(listed);
        scene
    }

    fn list(&mut self, ids: &[&str]) {
        self.judge.listed(&roster(ids), self.now);
    }

    fn check(&mut self, id: &str, result: Result<Option<&str>, &str>) {
        let result = match result {
            Ok(incarnation) => Ok(incarnation.map(str::to_owned)),
            Err(problem) => Err(problem.to_owned()),
        };
        let address = self.judge.address_of(id).unwrap();
        self.judge.checked(id, address, result, self.now);
    }

    fn pass(&mut self, id: &str, incarnation: Option<&str>) {
        self.check(id, Ok(incarnation));
    }

    /// So many checks in a row fail, a decision after each.
    fn fail(&mut self, id: &str, times: usize) {
        for _ in 0..times {
            self.check(id, Err("refused"));
            self.decide();
        }
    }

    fn see(&mut self, proxies: u32, unreached: &[(&str, u32)]) {
        self.see_slow(proxies, unreached, &[]);
    }

    /// Beside those that requests do not reach, some that are slow.
    fn see_slow(&mut self, proxies: u32, unreached: &[(&str, u32)], slow: &[(&str, u32)]) {
        let by_id = |seen: &[(&str, u32)]| -> BTreeMap<String, u32> {
            let seen = seen.iter();
            seen.map(|(id, count)| ((*id).to_owned(), *count)).collect()
        };
        let unreached = by_id(unreached);
        let mut doubted = unreached.clone();
        doubted.extend(by_id(slow));
        self.judge.seen(Sight {
            proxies,
            unreached,
            doubted,
        });
    }

    fn decide(&mut self) -> Vec<Happened> {
        self.judge.decide(self.now).happened
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    #[track_caller]
    fn expect(&mut self, ids: &[&str]) {
        let decision = self.judge.decide(self.now);
        let members = decision.roster.as_ref().map_or(&[][..], Roster::members);
        let serving: Vec<_> = members.iter().map(|member| member.id.as_str()).collect();
        assert_eq!(serving, ids);
    }

    fn state(&self, id: &str) -> (MemberState, String) {
        let shown = self.judge.shown();
        let member = shown.members.into_iter().find(|member| member.id == id);
        let member = member.unwrap();
        (member.state, member.why.unwrap_or_default())
    }
}

#[test]
fn a_member_serves_once_a_check_has_passed() {
    let mut scene = Scene::new(rules(), &["a", "b"]);
    scene.list(&["a", "b", "c"]);
    scene.expect(&["a", "b"]);
    assert_eq!(scene.state("c").0, MemberState::Awaited);
    scene.fail("c", 9);
    scene.expect(&["a", "b"]);
    scene.pass("c", None);
    scene.expect(&["a", "b", "c"]);
    let mut careful = Scene::new(
        Rules {
            pass_after: 2,
            ..rules()
        },
        &["a"],
    );
    careful.list(&["a", "b"]);
    careful.pass("b", None);
    careful.expect(&["a"]);
    careful.pass("b", None);
    careful.expect(&["a", "b"]);
}

#[test]
fn the_very_first_roster_waits_for_all_to_be_checked_but_not_for_ever() {
    let mut scene = Scene::restarted(rules(), &[], &["a", "b", "c"], Kept::default());
    scene.pass("a", None);
    scene.expect(&[]);
    scene.fail("b", 1);
    scene.expect(&[]);
    let due = scene.judge.decide(scene.now).due.unwrap();
    scene.now = due;
    scene.expect(&["a"]);
    scene.pass("c", None);
    scene.expect(&["a", "c"]);
}

#[test]
fn after_a_restart_members_of_the_last_assignment_serve_until_they_fail() {
    let mut scene = Scene::restarted(
        rules(),
        &["a", "b", "c"],
        &["a", "b", "c", "d"],
        Kept::default(),
    );
    scene.expect(&["a", "b", "c"]);
    scene.fail("b", 3);
    scene.expect(&["a", "c"]);
}

#[test]
fn a_member_that_fails_is_ejected_and_nobody_before_the_last_failure() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.fail("b", 2);
    scene.pass("b", None);
    scene.fail("b", 2);
    scene.expect(&["a", "b", "c"]);
    scene.check("b", Err("refused"));
    let why = "refused".to_owned();
    let id = "b".to_owned();
    let proxies = [0, 0];
    assert_eq!(scene.decide(), [Happened::Ejected { id, why, proxies }]);
    scene.expect(&["a", "c"]);
    assert_eq!(scene.judge.decide(scene.now).ejections, 1);
}

#[test]
fn while_proxies_report_one_of_them_has_to_agree() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.see(2, &[]);
    scene.fail("b", 9);
    scene.expect(&["a", "b", "c"]);
    let why = "refused; kept, since 1 of 2 observers find it dead";
    assert_eq!(scene.state("b"), (MemberState::Failing, why.to_owned()));
    scene.see(2, &[("b", 1)]);
    scene.expect(&["a", "c"]);
}

#[test]
fn proxies_alone_eject_a_member_if_most_of_them_do_not_reach_it() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.see(1, &[("b", 1)]);
    scene.expect(&["a", "b", "c"]);
    scene.see(4, &[("b", 2)]);
    scene.expect(&["a", "b", "c"]);
    scene.see(4, &[("b", 3)]);
    scene.expect(&["a", "c"]);
}

#[test]
fn who_is_only_slow_is_ejected_when_the_checks_fail_too() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.see_slow(2, &[], &[("b", 2)]);
    scene.expect(&["a", "b", "c"]);
    scene.fail("b", 3);
    scene.expect(&["a", "c"]);
}

#[test]
fn one_proxy_of_several_that_reaches_nobody_holds_back_no_ejection() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.see(5, &[("a", 1), ("b", 1), ("c", 5)]);
    scene.fail("c", 3);
    scene.expect(&["a", "b"]);
}

#[test]
fn whom_proxies_alone_ejected_waits_from_then_on_however_long_its_checks_have_passed() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.after(SECOND * 3600).pass("b", None);
    scene.see(3, &[("b", 3)]);
    scene.expect(&["a", "c"]);
    scene.see(3, &[]);
    scene.after(SECOND * 29).expect(&["a", "c"]);
    scene.after(SECOND).expect(&["a", "b", "c"]);
}

#[test]
fn a_quorum_of_one_takes_the_word_of_the_checks() {
    let quorum = Some(1);
    let mut scene = Scene::new(Rules { quorum, ..rules() }, &["a", "b", "c"]);
    scene.see(2, &[]);
    scene.fail("b", 3);
    scene.expect(&["a", "c"]);
}

#[test]
fn when_all_fail_at_once_nobody_is_ejected() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    for id in ["a", "b", "c", "a", "b", "c", "a"] {
        scene.check(id, Err("refused"));
        scene.expect(&["a", "b", "c"]);
    }
    assert_eq!(scene.judge.shown().held_back, 1);
    let why = "refused; kept, since too many fail";
    assert_eq!(scene.state("a"), (MemberState::Failing, why.to_owned()));
    for id in ["b", "c"] {
        scene.pass(id, None);
    }
    scene.expect(&["b", "c"]);
    assert_eq!(scene.judge.shown().held_back, 0);
}

#[test]
fn of_three_one_may_be_out_and_the_second_is_held_back_with_a_word() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.fail("a", 3);
    scene.expect(&["b", "c"]);
    scene.fail("b", 2);
    scene.check("b", Err("refused"));
    let ids = vec!["b".to_owned()];
    assert_eq!(scene.decide(), [Happened::HeldBack { ids }]);
    assert_eq!(scene.decide(), []);
    scene.expect(&["b", "c"]);
    scene.pass("b", None);
    assert_eq!(scene.decide(), [Happened::NoLongerHeldBack]);
}

#[test]
fn the_last_member_is_never_ejected() {
    let mut scene = Scene::new(
        Rules {
            max_ejected: 100,
            ..rules()
        },
        &["a"],
    );
    scene.fail("a", 9);
    scene.expect(&["a"]);
    assert_eq!(scene.judge.shown().held_back, 1);
}

#[test]
fn in_the_same_incarnation_it_stays_out_until_a_person_says_so() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.pass("b", Some("1"));
    scene.fail("b", 3);
    scene.expect(&["a", "c"]);
    scene.pass("b", Some("1"));
    scene.after(SECOND * 3600).expect(&["a", "c"]);
    let (state, why) = scene.state("b");
    assert_eq!(state, MemberState::Ejected);
    assert_eq!(
        why,
        "refused; waits for another incarnation, or for a person"
    );
    scene.judge.order("b", Order::Readmit).unwrap();
    scene.expect(&["a", "b", "c"]);
    let refused = OrderRefused::NotEjected { id: "b".to_owned() };
    assert_eq!(scene.judge.order("b", Order::Readmit), Err(refused));
}

#[test]
fn in_another_incarnation_it_comes_back_at_once() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.pass("b", Some("1"));
    scene.fail("b", 3);
    assert!(scene.judge.wants_incarnation("b"));
    scene.pass("b", None);
    scene.expect(&["a", "c"]);
    scene.pass("b", Some("2"));
    scene.expect(&["a", "b", "c"]);
    let decision = scene.judge.decide(scene.now);
    let member = decision.roster.unwrap().get("b").cloned().unwrap();
    assert_eq!(member.incarnation.as_deref(), Some("2"));
}

#[test]
fn at_another_address_it_is_another_incarnation() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.fail("b", 3);
    let mut moved = Vec::from(roster(&["a", "b", "c"]));
    moved[1].address = address("b", 2);
    scene.judge.listed(&Roster::new(moved).unwrap(), scene.now);
    scene.expect(&["a", "c"]);
    scene.pass("b", None);
    scene.expect(&["a", "b", "c"]);
}

#[test]
fn where_no_incarnation_is_known_it_waits_with_checks_that_pass() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.fail("b", 3);
    scene.pass("b", None);
    scene.after(SECOND * 20).fail("b", 1);
    scene.pass("b", None);
    let due = scene.judge.decide(scene.now).due;
    assert_eq!(due, Some(scene.now + SECOND * 30));
    scene.after(SECOND * 29).expect(&["a", "c"]);
    scene.after(SECOND).expect(&["a", "b", "c"]);
}

#[test]
fn who_waits_for_a_person_does_so_in_every_incarnation() {
    let readmit = Some(Readmit::Manual);
    let mut scene = Scene::new(Rules { readmit, ..rules() }, &["a", "b", "c"]);
    scene.pass("b", Some("1"));
    scene.fail("b", 3);
    scene.pass("b", Some("2"));
    scene.after(SECOND * 3600).expect(&["a", "c"]);
    scene.judge.order("b", Order::Readmit).unwrap();
    scene.expect(&["a", "b", "c"]);
}

#[test]
fn who_comes_and_goes_waits_longer_each_time() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    for (run, wait) in [0, 10, 20, 30, 30].into_iter().enumerate() {
        scene.pass("b", Some(&run.to_string()));
        scene.fail("b", 3);
        scene.expect(&["a", "c"]);
        scene.pass("b", Some(&(run + 1).to_string()));
        if wait > 0 {
            scene.after(SECOND * (wait - 1)).expect(&["a", "c"]);
            scene.after(SECOND);
        }
        scene.expect(&["a", "b", "c"]);
    }
    scene.after(SECOND * 1000).fail("b", 3);
    scene.pass("b", Some("9"));
    scene.expect(&["a", "b", "c"]);
}

#[test]
fn who_was_ejected_stays_so_over_a_restart() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.pass("b", Some("1"));
    scene.fail("b", 3);
    let kept = scene.judge.kept();
    let all = ["a", "b", "c"];
    let mut scene = Scene::restarted(rules(), &["a", "c"], &all, kept);
    scene.pass("b", Some("1"));
    scene.expect(&["a", "c"]);
    scene.pass("b", Some("2"));
    scene.expect(&["a", "b", "c"]);
}

#[test]
fn who_left_the_registry_and_comes_back_in_the_same_incarnation_stays_out() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.pass("b", Some("1"));
    scene.list(&["a", "c"]);
    scene.expect(&["a", "c"]);
    scene.list(&["a", "b", "c"]);
    scene.pass("b", Some("1"));
    assert_eq!(scene.decide(), [Happened::KeptOut { id: "b".to_owned() }]);
    scene.expect(&["a", "c"]);
    scene.pass("b", Some("2"));
    scene.expect(&["a", "b", "c"]);
    // Where nothing is known of incarnations it is taken for another.
    scene.list(&["a", "b"]);
    scene.list(&["a", "b", "c"]);
    scene.pass("c", None);
    scene.expect(&["a", "b", "c"]);
}

#[test]
fn who_left_before_a_restart_is_remembered_over_it() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.pass("b", Some("1"));
    scene.list(&["a", "c"]);
    let kept = scene.judge.kept();
    let mut scene = Scene::restarted(rules(), &["a", "c"], &["a", "c"], kept);
    scene.list(&["a", "b", "c"]);
    scene.pass("b", Some("1"));
    scene.expect(&["a", "c"]);
    scene.pass("b", Some("2"));
    scene.expect(&["a", "b", "c"]);
}

#[test]
fn who_left_while_nobody_looked_is_remembered_too() {
    let mut before = Vec::from(roster(&["a", "b", "c"]));
    before[1].incarnation = Some("1".to_owned());
    let last = Roster::new(before).unwrap();
    let mut scene = Scene {
        judge: Judge::new(Some(rules()), Some(&last), Kept::default()),
        now: Instant::now(),
    };
    scene.list(&["a", "c"]);
    scene.list(&["a", "b", "c"]);
    scene.pass("b", Some("1"));
    scene.expect(&["a", "c"]);
}

#[test]
fn why_somebody_does_not_serve_yet_is_said_once() {
    let mut scene = Scene::new(rules(), &["a", "b"]);
    scene.list(&["a", "b", "c"]);
    scene.check("c", Err("refused"));
    let (id, why) = ("c".to_owned(), "refused".to_owned());
    assert_eq!(scene.decide(), [Happened::NotYet { id, why }]);
    scene.check("c", Err("refused"));
    assert_eq!(scene.decide(), []);
}

#[test]
fn when_all_have_moved_and_the_checks_fail_they_serve_where_they_are() {
    let ids = ["a", "b", "c"];
    let mut scene = Scene::new(rules(), &ids);
    let mut moved = Vec::from(roster(&ids));
    for member in &mut moved {
        member.address = address(&member.id, 2);
    }
    let moved = Roster::new(moved).unwrap();
    scene.judge.listed(&moved, scene.now);
    for (round, expected) in [(1, roster(&ids)), (2, roster(&ids)), (3, moved)] {
        for id in ids {
            scene.check(id, Err("refused"));
        }
        let roster = scene.judge.decide(scene.now).roster;
        assert_eq!(roster, Some(expected), "{round}");
    }
}

#[test]
fn a_member_that_moves_serves_where_it_was_until_it_passes_where_it_is() {
    let mut scene = Scene::new(rules(), &["a", "b"]);
    let mut moved = Vec::from(roster(&["a", "b"]));
    moved[1].address = address("b", 2);
    scene.judge.listed(&Roster::new(moved).unwrap(), scene.now);
    let at = |scene: &mut Scene| {
        let roster = scene.judge.decide(scene.now).roster.unwrap();
        roster.get("b").map(|member| member.address)
    };
    assert_eq!(at(&mut scene), Some(address("b", 1)));
    // Of a check that was under way.
    scene
        .judge
        .checked("b", address("b", 1), Ok(None), scene.now);
    assert_eq!(at(&mut scene), Some(address("b", 1)));
    scene.pass("b", None);
    assert_eq!(at(&mut scene), Some(address("b", 2)));
}

#[test]
fn two_members_that_swap_their_addresses_are_no_contradiction() {
    let mut scene = Scene::new(rules(), &["a", "b"]);
    let mut swapped = Vec::from(roster(&["a", "b"]));
    (swapped[0].address, swapped[1].address) = (address("b", 1), address("a", 1));
    let swapped = Roster::new(swapped).unwrap();
    scene.judge.listed(&swapped, scene.now);
    scene.pass("a", None);
    assert_eq!(scene.judge.decide(scene.now).roster, Some(swapped));
}

#[test]
fn a_drained_member_is_known_and_does_not_serve_also_after_a_restart() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.judge.order("b", Order::Drain).unwrap();
    scene.expect(&["a", "c"]);
    assert_eq!(scene.state("b").0, MemberState::Drained);
    assert_eq!(
        scene.judge.decide(scene.now).ejections,
        0,
        "that is not urgent"
    );
    let all = ["a", "b", "c"];
    let mut scene = Scene::restarted(rules(), &["a", "c"], &all, scene.judge.kept());
    scene.pass("b", None);
    scene.expect(&["a", "c"]);
    scene.judge.order("b", Order::Undrain).unwrap();
    scene.expect(&all);
    assert_eq!(scene.judge.order("b", Order::Undrain), Ok(()));
}

#[test]
fn after_a_maintenance_a_member_serves_once_it_passes() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.judge.order("b", Order::Drain).unwrap();
    scene.fail("b", 9);
    scene.judge.order("b", Order::Undrain).unwrap();
    scene.expect(&["a", "c"]);
    scene.pass("b", None);
    scene.expect(&["a", "b", "c"]);
}

#[test]
fn somebody_has_to_serve() {
    let mut scene = Scene::new(rules(), &["a", "b"]);
    scene.judge.order("a", Order::Drain).unwrap();
    let last = OrderRefused::Last { id: "b".to_owned() };
    assert_eq!(scene.judge.order("b", Order::Drain), Err(last));
    let unknown = OrderRefused::Unknown { id: "x".to_owned() };
    for order in [Order::Drain, Order::Undrain, Order::Readmit] {
        assert_eq!(scene.judge.order("x", order), Err(unknown.clone()));
    }
    scene.judge.order("a", Order::Undrain).unwrap();
    scene.expect(&["a", "b"]);
    // All others at once: nobody is known to serve yet.
    scene.list(&["c", "d"]);
    scene.expect(&["a", "b"]);
    scene.pass("d", None);
    scene.expect(&["d"]);
}

#[test]
fn without_checks_whoever_is_listed_serves_but_for_the_drained() {
    let mut judge = Judge::new(None, None, Kept::default());
    let now = Instant::now();
    assert_eq!(judge.decide(now).roster, None);
    for ids in [&["a", "b"][..], &["b", "c"], &["b"], &["a", "b"]] {
        judge.listed(&roster(ids), now);
        assert_eq!(judge.decide(now).roster, Some(roster(ids)));
    }
    let mut moved = Vec::from(roster(&["a", "b"]));
    moved[1].address = address("b", 2);
    let moved = Roster::new(moved).unwrap();
    judge.listed(&moved, now);
    assert_eq!(judge.decide(now).roster, Some(moved));
    judge.order("b", Order::Drain).unwrap();
    assert_eq!(judge.decide(now).roster, Some(roster(&["a"])));
    judge.listed(&roster(&["a"]), now);
    judge.listed(&roster(&["a", "b"]), now);
    assert_eq!(judge.decide(now).roster, Some(roster(&["a"])));
}
