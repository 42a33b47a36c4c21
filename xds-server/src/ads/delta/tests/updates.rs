//! What is sent when the snapshot changes.

use super::*;

#[test]
fn a_proxy_that_goes_over_to_another_replica_is_sent_the_difference_only() {
    let one = snapshot(&[(CDS, "a", "1"), (CDS, "b", "1")]);
    let same = snapshot(&[(CDS, "b", "1"), (CDS, "a", "1")]);
    let both = || again(CDS, &[], &["a", "b"], &one);
    assert_eq!(tell(&mut session(), both(), &same), [], "they agree");
    // One that is behind, and comes to know the same.
    let behind = snapshot(&[(CDS, "a", "0"), (CDS, "b", "1")]);
    let mut other = session();
    assert_eq!(tell(&mut other, both(), &behind), [texts(CDS, &["0"])]);
    assert_eq!(told(&other.on_snapshot(&same)), [texts(CDS, &["1"])]);
}

#[test]
fn two_quick_changes_arrive_as_the_second() {
    let mut session = session();
    tell(
        &mut session,
        ask(ECDS, &["f"], &[]),
        &snapshot(&[(ECDS, "f", "1")]),
    );
    // The one with "2" was replaced before the stream had a look.
    let told = told(&session.on_snapshot(&snapshot(&[(ECDS, "f", "3")])));
    assert_eq!(told, [texts(ECDS, &["3"])]);
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
        let first = snapshot_of(states[0]);
        tell(&mut session, ask(CDS, &[], &[]), &first);
        tell(&mut session, ask(RDS, &["r"], &[]), &first);
        let (mut clusters, mut route) = (strings(states[0].0), states[0].1.to_owned());
        for state in states {
            for (kind, contents) in told(&session.on_snapshot(&snapshot_of(state))) {
                for content in contents {
                    match (kind, content.strip_prefix('-')) {
                        (CDS, Some(gone)) => clusters.retain(|name| name != gone),
                        (CDS, None) => clusters.push(content),
                        _ => route = content,
                    }
                }
                assert!(clusters.contains(&route), "{states:?}");
            }
            clusters.sort();
            assert_eq!((&clusters, &*route), (&strings(state.0), state.1));
        }
    }
}
