//! Who is ejected, and who finds it dead.

use super::*;

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
