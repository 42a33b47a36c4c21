//! Who serves at the start, and who is let in.

use super::*;

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
fn why_somebody_does_not_serve_yet_is_said_once() {
    let mut scene = Scene::new(rules(), &["a", "b"]);
    scene.list(&["a", "b", "c"]);
    scene.check("c", Err("refused"));
    let (id, why) = ("c".to_owned(), "refused".to_owned());
    assert_eq!(scene.decide(), [Happened::NotYet { id, why }]);
    scene.check("c", Err("refused"));
    assert_eq!(scene.decide(), []);
}
