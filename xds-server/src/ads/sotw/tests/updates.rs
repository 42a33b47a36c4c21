//! What is sent when the snapshot changes.

use super::*;

#[test]
fn clusters_come_whole_and_endpoints_only_where_they_changed() {
    let now = snapshot(&[
        (CDS, "a", "1"),
        (CDS, "b", "1"),
        (EDS, "a", "1"),
        (EDS, "b", "1"),
    ]);
    let mut session = session();
    accepted(&mut session, CDS, &[], &now);
    accepted(&mut session, EDS, &["a", "b"], &now);
    let later = snapshot(&[
        (CDS, "a", "1"),
        (CDS, "b", "1"),
        (EDS, "a", "1"),
        (EDS, "b", "2"),
    ]);
    assert_eq!(told(&session.on_snapshot(&later)), [texts(EDS, &["2"])]);
    let later = snapshot(&[(CDS, "a", "1"), (EDS, "a", "1")]);
    assert_eq!(told(&session.on_snapshot(&later)), [texts(CDS, &["1"])]);
}

#[test]
fn an_equal_snapshot_sends_nothing() {
    let resources = [(CDS, "a", "a1"), (EDS, "a", "e1")];
    let mut session = session();
    accepted(&mut session, CDS, &[], &snapshot(&resources));
    accepted(&mut session, EDS, &["a"], &snapshot(&resources));
    assert_eq!(told(&session.on_snapshot(&snapshot(&resources))), []);
}

#[test]
fn endpoints_follow_a_changed_cluster_even_if_they_did_not_change() {
    let mut session = session();
    let now = snapshot(&[
        (CDS, "a", "1"),
        (CDS, "b", "1"),
        (EDS, "a", "ea"),
        (EDS, "b", "eb"),
    ]);
    accepted(&mut session, CDS, &[], &now);
    accepted(&mut session, EDS, &["a", "b"], &now);
    let now = snapshot(&[
        (CDS, "a", "2"),
        (CDS, "b", "1"),
        (EDS, "a", "ea"),
        (EDS, "b", "eb"),
    ]);
    let told = told(&session.on_snapshot(&now));
    assert_eq!(told, [texts(CDS, &["2", "1"]), texts(EDS, &["ea"])]);
}

/// The requests in between may never come, or be ignored as stale.

#[test]
fn a_cluster_that_was_removed_and_added_again_gets_its_endpoints() {
    let mut session = session();
    let with = snapshot(&[(CDS, "a", "1"), (EDS, "a", "e")]);
    accepted(&mut session, CDS, &[], &with);
    accepted(&mut session, EDS, &["a"], &with);
    let without = snapshot(&[]);
    assert_eq!(told(&session.on_snapshot(&without)), [texts(CDS, &[])]);
    let told = told(&session.on_snapshot(&with));
    assert_eq!(told, [texts(CDS, &["1"]), texts(EDS, &["e"])]);
}

#[test]
fn two_quick_changes_arrive_as_the_second() {
    let mut session = session();
    accepted(&mut session, ECDS, &["f"], &snapshot(&[(ECDS, "f", "1")]));
    // The one with "2" was replaced before the stream had a look.
    let told = told(&session.on_snapshot(&snapshot(&[(ECDS, "f", "3")])));
    assert_eq!(told, [texts(ECDS, &["3"])]);
}

#[test]
fn everything_of_a_snapshot_goes_out_at_once_and_in_order() {
    let all = |v| {
        snapshot(&[
            (CDS, "x", v),
            (EDS, "x", v),
            (LDS, "x", v),
            (RDS, "x", v),
            (ECDS, "x", v),
        ])
    };
    let mut session = session();
    for kind in ResourceType::ALL.into_iter().rev() {
        session.on_request(ask(kind, &["x"]), &all("1"));
    }
    let responses = told(&session.on_snapshot(&all("2")));
    let kinds: Vec<_> = responses.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ResourceType::ALL);
    // Also when a request is what brings the stream to look.
    let turn = session.on_request(ask(RDS, &["x"]), &all("3"));
    assert_eq!(turn.responses.len(), 5);
}

#[test]
fn a_cluster_leaves_after_the_routes_that_named_it() {
    let mut session = session();
    let now = snapshot(&[(CDS, "a", "a"), (RDS, "r", "to a")]);
    accepted(&mut session, CDS, &[], &now);
    accepted(&mut session, RDS, &["r"], &now);
    let now = snapshot(&[(CDS, "b", "b"), (RDS, "r", "to b")]);
    let responses = session.on_snapshot(&now);
    let expected = [
        texts(CDS, &["b", "a"]),
        texts(RDS, &["to b"]),
        texts(CDS, &["b"]),
    ];
    assert_eq!(told(&responses), expected);
    settled(&mut session, &responses[2], &[], &now);
    assert_eq!(
        told(&session.on_snapshot(&snapshot(&[(RDS, "r", "to b")]))),
        [texts(CDS, &[])]
    );
}

/// Every order of states in which a route leads to one of its clusters.
#[test]
fn a_route_never_leads_to_a_cluster_that_is_not_there() {
    type State = (&'static [&'static str], &'static str);
    const STATES: [State; 4] = [
        (&["a"], "a"),
        (&["b"], "b"),
        (&["a", "b"], "a"),
        (&["a", "b"], "b"),
    ];
    let snapshot_of = |(clusters, route): State| {
        let clusters = clusters.iter().map(|&name| (CDS, name, name));
        snapshot(&clusters.chain([(RDS, "r", route)]).collect::<Vec<_>>())
    };
    for number in 0..4_usize.pow(4) {
        let states = [1, 4, 16, 64].map(|place| STATES[number / place % 4]);
        let mut session = session();
        accepted(&mut session, CDS, &[], &snapshot_of(states[0]));
        accepted(&mut session, RDS, &["r"], &snapshot_of(states[0]));
        let (mut clusters, mut route) = (strings(states[0].0), states[0].1.to_owned());
        for state in states {
            for (kind, contents) in told(&session.on_snapshot(&snapshot_of(state))) {
                match kind {
                    CDS => clusters = contents,
                    _ => route.clone_from(&contents[0]),
                }
                assert!(clusters.contains(&route), "{states:?}");
            }
            clusters.sort();
            assert_eq!((&clusters, &*route), (&strings(state.0), state.1));
        }
    }
}
