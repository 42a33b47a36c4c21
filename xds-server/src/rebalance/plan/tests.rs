//! Plans against what really moves.

use std::net::SocketAddr;

use super::*;
use crate::rebalance::machine::{Pace, Past};

fn assignment(policy: &str, members: &[(&str, u16, u32)]) -> Assignment {
    let members = members
        .iter()
        .map(|&(id, port, weight)| Member::new(id, ([127, 0, 0, 1], port).into(), weight));
    let roster = Roster::new(members.collect()).unwrap();
    Assignment::new(0, policy.parse().unwrap(), roster)
}

const THREE: [(&str, u16, u32); 3] = [("a", 1, 1), ("b", 2, 1), ("c", 3, 1)];

#[test]
fn a_fourth_member_takes_its_share_and_little_else_moves() {
    for (policy, tolerance) in [("maglev", 0.01), ("ring_hash:65536", 0.12)] {
        let before = assignment(policy, &THREE);
        let after = assignment(policy, &[&THREE[..], &[("d", 4, 1)]].concat());
        let plan = Plan::between(&before, &after);
        assert!((plan.ideal - 0.25).abs() < 1e-9, "{plan:?}");
        // Envoy's rings renumber some entries of everybody when the scale changes.
        assert!((0.24..0.25 + tolerance).contains(&plan.moved), "{plan:?}");
        let to_d: f64 = plan
            .moves
            .iter()
            .filter(|m| m.to == "d")
            .map(|m| m.share)
            .sum();
        assert!((to_d - plan.shares["d"]).abs() < 1e-9, "{plan:?}");
        let all: f64 = plan.shares.values().sum();
        assert!((all - 1.0).abs() < 1e-9, "{plan:?}");
    }
}

/// The plan's arithmetic against asking for many keys.
#[test]
fn the_moved_share_is_that_of_real_keys() {
    for policy in ["maglev:251", "ring_hash:64"] {
        let before = assignment(policy, &THREE);
        let after = assignment(policy, &[("a", 1, 3), ("c", 3, 1), ("d", 4, 2)]);
        let keys = 0..20_000_u32;
        let moved = keys.clone().filter(|n| {
            let key = format!("project/document-{n}");
            let id = |a: &Assignment| a.owner(key.as_bytes()).unwrap().member.id.clone();
            id(&before) != id(&after)
        });
        let observed = moved.count() as f64 / keys.len() as f64;
        let planned = Plan::between(&before, &after).moved;
        assert!(
            (observed - planned).abs() < 0.02,
            "{policy}: {observed} {planned}"
        );
    }
}

#[test]
fn another_address_moves_no_key_and_is_named() {
    let before = assignment("maglev:251", &THREE);
    let after = assignment("maglev:251", &[("a", 1, 1), ("b", 9, 1), ("c", 3, 1)]);
    let plan = Plan::between(&before, &after);
    assert!(plan.moved == 0.0 && plan.ideal == 0.0 && plan.moves.is_empty());
    assert_eq!(plan.readdressed, ["b"]);
}

#[test]
fn slots_are_counted_where_both_tables_have_the_same() {
    let before = assignment("maglev:251", &THREE);
    let after = assignment("maglev:251", &THREE[..2]);
    let plan = Plan::between(&before, &after);
    let slots = plan.slots.unwrap();
    assert_eq!(slots.of, 251);
    assert!((slots.moved as f64 / 251.0 - plan.moved).abs() < 1e-9);
    assert!(!plan.sampled);
}

#[test]
fn another_policy_is_compared_by_samples() {
    let keys = 0..20_000_u32;
    for (one, other) in [
        ("maglev:251", "ring_hash:64"),
        ("ring_hash:64", "maglev:251"),
        ("maglev:251", "maglev:65537"),
        ("ring_hash:64", "ring_hash:64:128:murmur2"),
    ] {
        let (before, after) = (assignment(one, &THREE), assignment(other, &THREE));
        let id = |a: &Assignment, key: &str| a.owner(key.as_bytes()).unwrap().member.id.clone();
        let moved = keys.clone().filter(|n| {
            let key = format!("project/document-{n}");
            id(&before, &key) != id(&after, &key)
        });
        let observed = moved.count() as f64 / keys.len() as f64;
        let plan = Plan::between(&before, &after);
        assert!(
            (observed - plan.moved).abs() < 0.02,
            "{one} {other}: {observed} {plan:?}"
        );
        assert!(plan.ideal.abs() < 1e-9 && plan.slots.is_none());
    }
}

#[test]
fn streams_end_with_the_share_of_their_members_keys_that_leaves() {
    let before = assignment("maglev:65537", &THREE);
    let open = BTreeMap::from([
        ("a".to_owned(), 900),
        ("b".to_owned(), 600),
        ("x".to_owned(), 7),
    ]);
    let pace = Some(Pace {
        rate: 100,
        max_window_ms: 60_000,
    });
    let ending = |members: &[(&str, u16, u32)]| {
        let after = assignment("maglev:65537", members);
        Plan::between(&before, &after).streams(&open, pace, 40)
    };
    // A fourth of everybody's keys goes to the fourth member.
    let added = ending(&[&THREE[..], &[("d", 4, 1)]].concat());
    assert!((215..=240).contains(&added.by_member["a"]), "{added:?}");
    assert!((140..=165).contains(&added.by_member["b"]), "{added:?}");
    assert_eq!(
        added.by_member["x"], 7,
        "it is no member and should have none"
    );
    assert_eq!(added.open, 1507);
    assert_eq!(added.window_ms, Some(added.ending * 10));
    assert_eq!(added.split_ms, Some(added.ending * 10 + 40));
    assert_eq!(ending(&THREE).split_ms, Some(0), "nothing moves");
    let removed = ending(&[("b", 2, 1), ("c", 3, 1)]);
    assert_eq!(removed.by_member["a"], 900);
    let of_b = removed.by_member.get("b").copied().unwrap_or_default();
    assert!(of_b <= 20, "{removed:?}");
    let readdressed = ending(&[("a", 9, 1), ("b", 2, 1), ("c", 3, 1)]);
    assert_eq!(readdressed.by_member["a"], 900);
    assert!(!readdressed.by_member.contains_key("b"));
}

#[test]
fn who_gets_keys_back_in_the_same_incarnation_is_named() {
    let past = |members: &[(&str, u16, u32)]| {
        let assignment = assignment("maglev:251", members);
        Past {
            epoch: 0,
            policy: assignment.policy(),
            members: assignment.roster().clone(),
        }
    };
    let two = &THREE[..2];
    let (before, after) = (
        assignment("maglev:251", two),
        assignment("maglev:251", &THREE),
    );
    let returning = |past: &[Past], after: &Assignment| returning(&before, after, past);
    let back = returning(&[past(&THREE)], &after);
    let moved = Plan::between(&before, &after).moved;
    assert_eq!(back.len(), 1);
    assert_eq!(back[0].member, "c");
    assert!((back[0].share - moved).abs() < 0.02, "{back:?}");
    assert_eq!(returning(&[past(two)], &after), []);

    let elsewhere: Vec<_> = [two, &[("c", 9, 1)]].concat();
    assert_eq!(
        returning(&[past(&elsewhere)], &after),
        [],
        "at another address it is another run"
    );
    let with_run = |run: &str, port: u16| {
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        let mut members = assignment("maglev:251", two).roster().members().to_vec();
        let incarnation = Some(run.to_owned());
        members.push(Member {
            incarnation,
            ..Member::new("c", address, 1)
        });
        Roster::new(members).unwrap()
    };
    let policy = after.policy();
    let after = Assignment::new(0, policy, with_run("1", 3));
    let past = |run, port| {
        [Past {
            epoch: 0,
            policy,
            members: with_run(run, port),
        }]
    };
    assert_eq!(returning(&past("2", 3), &after), []);
    assert_eq!(
        returning(&past("1", 9), &after).len(),
        1,
        "the same run at another address"
    );
}

#[test]
fn what_was_had_under_another_policy_counts_too() {
    let (before, after) = (
        assignment("maglev:251", &THREE[..2]),
        assignment("maglev:251", &THREE),
    );
    let old = assignment("ring_hash:64", &THREE);
    let past = [Past {
        epoch: 0,
        policy: old.policy(),
        members: old.roster().clone(),
    }];
    let back = returning(&before, &after, &past);
    assert!(back[0].member == "c" && back[0].share > 0.02, "{back:?}");
}
