//! Who was ejected, or away, and comes back.

use super::*;

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
    scene.decide();
    scene.list(&["a", "b", "c"]);
    scene.pass("b", Some("1"));
    scene.expect(&["a", "c"]);
}

#[test]
fn who_is_back_before_proxies_route_without_it_was_never_away() {
    let run = Some("7");
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.pass("b", run);
    scene.expect(&["a", "b", "c"]);
    for is_published in [false, true] {
        scene.list(&["a", "c"]);
        let decision = scene.judge.decide(scene.now);
        assert_eq!(decision.roster, Some(roster(&["a", "c"])));
        if is_published {
            scene.judge.assigned(decision.roster);
        }
        scene.list(&["a", "b", "c"]);
        let there: &[_] = if is_published {
            &["a", "c"]
        } else {
            &["a", "b", "c"]
        };
        scene.pass("b", run);
        scene.expect(there);
    }
    assert_eq!(scene.state("b").0, MemberState::Ejected);
}

#[test]
fn who_leaves_before_proxies_know_is_remembered_over_a_restart() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.pass("b", Some("7"));
    scene.decide();
    scene.list(&["a", "c"]);
    assert!(scene.judge.kept().gone.contains_key("b"));
}

#[test]
fn a_member_that_fails_and_leaves_before_proxies_know_stays_out() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    for _ in 0..3 {
        scene.check("b", Err("refused"));
    }
    let decision = scene.judge.decide(scene.now);
    assert_eq!(decision.roster, Some(roster(&["a", "c"])));
    scene.list(&["a", "c"]);
    scene.list(&["a", "b", "c"]);
    assert_eq!(scene.state("b").0, MemberState::Ejected);
}

#[test]
fn who_is_back_after_a_restart_before_proxies_route_without_it_was_never_away() {
    let all = ["a", "b", "c"];
    let mut scene = Scene::restarted(rules(), &all, &["a"], Kept::default());
    scene.list(&all);
    scene.expect(&all);
}

#[test]
fn who_comes_back_and_does_not_tell_its_incarnation_may_be_the_same() {
    let mut scene = Scene::new(rules(), &["a", "b", "c"]);
    scene.pass("b", Some("7"));
    scene.decide();
    scene.list(&["a", "c"]);
    scene.decide();
    scene.list(&["a", "b", "c"]);
    scene.pass("b", None);
    scene.expect(&["a", "c"]);
    scene.pass("b", Some("8"));
    scene.expect(&["a", "b", "c"]);
}
