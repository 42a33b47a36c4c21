//! What people want.

use super::*;

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

#[test]
fn that_nobody_serves_of_those_that_are_listed_is_said_once() {
    let mut scene = Scene::new(rules(), &["a", "b"]);
    scene.judge.order("b", Order::Drain).unwrap();
    scene.expect(&["a"]);
    // Only the drained one is left.
    scene.list(&["b"]);
    assert_eq!(scene.decide(), [Happened::KeepsLast]);
    assert!(scene.judge.shown().keeps_last);
    scene.list(&["b"]);
    assert_eq!(scene.decide(), []);
    scene.expect(&["a"]);
    scene.list(&["b", "c"]);
    scene.pass("c", None);
    let id = "c".to_owned();
    let happened = [Happened::Entered { id }, Happened::NoLongerKeepsLast];
    assert_eq!(scene.decide(), happened);
    assert!(!scene.judge.shown().keeps_last);
}

#[test]
fn an_id_that_comes_back_drained_is_told() {
    let mut scene = Scene::new(rules(), &["a", "b"]);
    scene.judge.order("b", Order::Drain).unwrap();
    scene.decide();
    scene.list(&["a"]);
    assert_eq!(scene.decide(), []);
    scene.list(&["a", "b"]);
    let id = "b".to_owned();
    assert_eq!(scene.decide(), [Happened::StillDrained { id }]);
}
