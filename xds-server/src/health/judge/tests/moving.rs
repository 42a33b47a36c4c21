//! Members whose address changes.

use super::*;

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
