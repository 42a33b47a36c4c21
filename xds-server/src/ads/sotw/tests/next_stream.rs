//! What a proxy brings along from an earlier stream.

use super::*;

#[test]
fn what_was_refused_is_sent_again_on_the_next_stream() {
    let now = snapshot(&[(EDS, "a", "bad")]);
    let mut session_1 = session();
    let bad = only(session_1.on_request(ask(EDS, &["a", "b"]), &now).responses);
    session_1.on_request(nack(&bad, &["a", "b"], ""), &now);
    let now = snapshot(&[(EDS, "a", "bad"), (EDS, "b", "good")]);
    let good = only(session_1.on_snapshot(&now));
    settled(&mut session_1, &good, &["a", "b"], &now);
    let turn = session().on_request(again(&good, &["a", "b"]), &now);
    assert_eq!(told(&turn.responses), [texts(EDS, &["bad", "good"])]);
}

#[test]
fn a_restarted_server_sends_nothing_that_the_proxy_has() {
    let resources = [
        (CDS, "a", "a1"),
        (EDS, "a", "e1"),
        (LDS, "l", "l1"),
        (RDS, "r", "r1"),
        (ECDS, "f", "f1"),
    ];
    let names: [&[&str]; 5] = [&[], &["a"], &[], &["r"], &["f"]];
    let (mut before, mut after) = (session(), session());
    for (kind, names) in ResourceType::ALL.into_iter().zip(names) {
        let response = accepted(&mut before, kind, names, &snapshot(&resources));
        let turn = after.on_request(again(&response, names), &snapshot(&resources));
        assert_eq!(told(&turn.responses), [], "{kind}");
        assert_eq!(
            before.progress(kind).confirmed,
            after.progress(kind).confirmed
        );
    }
    let later = snapshot(&[(CDS, "a", "a1"), (EDS, "a", "e2"), (LDS, "l", "l1")]);
    assert_eq!(told(&after.on_snapshot(&later)), [texts(EDS, &["e2"])]);
}

#[test]
fn a_proxy_that_lacks_something_gets_it_on_a_new_stream() {
    let now = snapshot(&[(EDS, "a", "a1"), (EDS, "b", "b1")]);
    let had = accepted(&mut session(), EDS, &["a"], &now);
    let turn = session().on_request(again(&had, &["a", "b"]), &now);
    assert_eq!(told(&turn.responses), [texts(EDS, &["a1", "b1"])]);
    let turn = session().on_request(ask(EDS, &["a"]), &now);
    assert_eq!(told(&turn.responses), [texts(EDS, &["a1"])]);
}

#[test]
fn a_stream_lost_between_a_cluster_and_its_endpoints_loses_nothing() {
    let before = snapshot(&[(CDS, "a", "1"), (EDS, "a", "e")]);
    let after = snapshot(&[(CDS, "a", "2"), (EDS, "a", "e")]);
    let mut first = session();
    accepted(&mut first, CDS, &[], &before);
    let endpoints = accepted(&mut first, EDS, &["a"], &before);
    let [cluster, _lost] = first.on_snapshot(&after).try_into().unwrap();
    let mut second = session();
    let turn = second.on_request(again(&cluster, &[]), &after);
    assert_eq!(told(&turn.responses), []);
    let turn = second.on_request(again(&endpoints, &["a"]), &after);
    assert_eq!(told(&turn.responses), [texts(EDS, &["e"])]);
    // And the same where the cluster went back meanwhile.
    let mut second = session();
    let turn = second.on_request(again(&cluster, &[]), &before);
    assert_eq!(told(&turn.responses), [texts(CDS, &["1"])]);
    let turn = second.on_request(again(&endpoints, &["a"]), &before);
    assert_eq!(told(&turn.responses), [texts(EDS, &["e"])]);
}

#[test]
fn only_who_shows_a_version_was_here_before() {
    let now = snapshot(&[(CDS, "c", "1"), (ECDS, "f", "1")]);
    let mut first = session();
    let filter = accepted(&mut first, ECDS, &["f"], &now);
    assert!(!first.progress(ECDS).is_back);
    let mut second = session();
    second.on_request(ask(CDS, &[]), &now);
    let changed = snapshot(&[(ECDS, "f", "2")]);
    second.on_request(again(&filter, &["f"]), &changed);
    assert!(second.progress(ECDS).is_back && !second.progress(CDS).is_back);
}

#[test]
fn a_proxy_that_goes_over_to_another_replica_is_sent_the_difference_only() {
    let one = snapshot(&[(CDS, "a", "1"), (CDS, "b", "1")]);
    let had = accepted(&mut session(), CDS, &[], &one);
    let same = snapshot(&[(CDS, "b", "1"), (CDS, "a", "1")]);
    let turn = session().on_request(again(&had, &[]), &same);
    assert_eq!(told(&turn.responses), [], "they agree");
    // One that is behind, and comes to know the same.
    let behind = snapshot(&[(CDS, "a", "0")]);
    let mut other = session();
    let old = only(other.on_request(again(&had, &[]), &behind).responses);
    assert_eq!(told(std::slice::from_ref(&old)), [texts(CDS, &["0"])]);
    settled(&mut other, &old, &[], &behind);
    let new = only(other.on_snapshot(&same));
    assert_eq!(told(std::slice::from_ref(&new)), [texts(CDS, &["1", "1"])]);
    assert_eq!(new.version_info, had.version_info);
}
