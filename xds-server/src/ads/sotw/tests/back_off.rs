//! What is refused, and sent again.

use super::*;
use crate::ads::support::{proxy, snapshot_of_variable};

#[test]
fn what_was_refused_is_sent_again_after_a_pause_until_it_is_accepted() {
    let now = snapshot(&[(EDS, "a", "1"), (EDS, "b", "1")]);
    let mut session = session();
    let first = only(session.on_request(ask(EDS, &["a"]), &now).responses);
    assert_eq!(session.progress(EDS).pause(), None);
    session.on_request(nack(&first, &["a"], ""), &now);
    let mut pauses = Vec::new();
    for _ in 0..3 {
        pauses.push(session.progress(EDS).pause().unwrap().as_secs());
        let again = only(session.on_back_off(EDS, &now));
        assert_eq!(told(std::slice::from_ref(&again)), [texts(EDS, &["1"])]);
        let turn = session.on_request(nack(&again, &["a"], ""), &now);
        assert!(matches!(turn.verdict, Some(Verdict::Nacked { .. })));
        assert_eq!(told(&turn.responses), []);
    }
    assert_eq!(pauses, [5, 10, 20]);
    let again = only(session.on_back_off(EDS, &now));
    settled(&mut session, &again, &["a"], &now);
    assert_eq!(session.progress(EDS).pause(), None);
    assert_eq!(told(&session.on_back_off(EDS, &now)), []);
}

#[test]
fn a_pause_ends_with_the_content_and_the_next_one_begins_anew() {
    let mut session = session();
    let bad = snapshot(&[(EDS, "a", "bad")]);
    let first = only(session.on_request(ask(EDS, &["a"]), &bad).responses);
    session.on_request(nack(&first, &["a"], ""), &bad);
    let again = only(session.on_back_off(EDS, &bad));
    session.on_request(nack(&again, &["a"], ""), &bad);
    let worse = snapshot(&[(EDS, "a", "worse")]);
    let changed = only(session.on_snapshot(&worse));
    assert_eq!(
        session.progress(EDS).pause(),
        None,
        "nothing is known of it"
    );
    session.on_request(nack(&changed, &["a"], ""), &worse);
    assert_eq!(session.progress(EDS).pause().unwrap().as_secs(), 5);
    session.on_snapshot(&snapshot(&[]));
    assert_eq!(session.progress(EDS).pause(), None, "it is gone");
}

#[test]
fn nothing_is_sent_again_while_an_answer_is_to_come() {
    let mut session = session();
    let bad = snapshot(&[(EDS, "a", "bad")]);
    let first = only(session.on_request(ask(EDS, &["a"]), &bad).responses);
    session.on_request(nack(&first, &["a"], ""), &bad);
    only(session.on_back_off(EDS, &bad));
    assert_eq!(told(&session.on_back_off(EDS, &bad)), []);
}

#[test]
fn a_refused_listener_is_sent_again_with_all_the_others() {
    let now = snapshot(&[(LDS, "a", "good"), (LDS, "b", "bad")]);
    let mut session = session();
    let both = only(session.on_request(ask(LDS, &[]), &now).responses);
    session.on_request(nack(&both, &[], ""), &now);
    assert_eq!(session.progress(LDS).pause().unwrap().as_secs(), 5);
    let again = only(session.on_back_off(LDS, &now));
    assert_eq!(
        told(std::slice::from_ref(&again)),
        [texts(LDS, &["good", "bad"])]
    );
    settled(&mut session, &again, &[], &now);
    assert_eq!(session.progress(LDS).pause(), None);
}

#[test]
fn an_extension_never_comes_in_bytes_that_were_refused() {
    let now = snapshot_of_variable(&[(ECDS, "f", "1")]);
    let mut seen = BTreeSet::new();
    for salt in [7 << 32, 9 << 32] {
        let mut session = session();
        session.introduce(&proxy("p"), salt);
        let mut latest = only(session.on_request(ask(ECDS, &["f"]), &now).responses);
        for _ in 0..3 {
            assert!(seen.insert(latest.resources[0].clone()), "sent before");
            session.on_request(nack(&latest, &["f"], ""), &now);
            latest = only(session.on_back_off(ECDS, &now));
        }
        // Dropped and asked for again.
        session.on_request(nack(&latest, &["f"], ""), &now);
        seen.insert(latest.resources[0].clone());
        let fewer = only(session.on_request(ack(&latest, &["g"]), &now).responses);
        let back = only(session.on_request(ack(&fewer, &["f"]), &now).responses);
        assert!(seen.insert(back.resources[0].clone()), "sent before");
    }
}

#[test]
fn an_accepted_extension_is_the_same_bytes_for_all() {
    let now = snapshot_of_variable(&[(ECDS, "f", "1")]);
    let mut session = session();
    accepted(&mut session, ECDS, &["f"], &now);
    let later = snapshot_of_variable(&[(ECDS, "f", "2")]);
    let response = only(session.on_snapshot(&later));
    assert_eq!(
        response.resources[0].as_ptr(),
        later.of(ECDS)["f"].any().as_ptr()
    );
}

#[test]
fn a_cluster_that_is_sent_again_brings_its_endpoints_as_it_warms_if_it_is_accepted() {
    let mut session = session();
    let now = snapshot(&[(CDS, "a", "1"), (EDS, "a", "ea")]);
    accepted(&mut session, CDS, &[], &now);
    accepted(&mut session, EDS, &["a"], &now);
    let now = snapshot(&[(CDS, "a", "2"), (EDS, "a", "ea")]);
    let responses = session.on_snapshot(&now);
    let both = [texts(CDS, &["2"]), texts(EDS, &["ea"])];
    assert_eq!(told(&responses), both);
    session.on_request(nack(&responses[0], &[], "1"), &now);
    session.on_request(ack(&responses[1], &["a"]), &now);
    assert_eq!(told(&session.on_back_off(CDS, &now)), both);
}
