//! What is refused, and sent again.

use std::collections::BTreeSet;

use super::*;
use crate::ads::support::{proxy, snapshot_of_variable};

#[test]
fn what_was_refused_is_sent_again_after_a_pause_until_it_is_accepted() {
    let now = snapshot(&[(CDS, "a", "1"), (CDS, "b", "1")]);
    let mut session = session();
    let both = only(session.on_request(ask(CDS, &[], &[]), &now).responses);
    let one = only(session.on_request(nack(&both), &now).responses);
    let other = only(session.on_request(nack(&one), &now).responses);
    assert_eq!(session.progress(CDS).pause().unwrap().as_secs(), 5);
    session.on_request(ack(&other), &now);
    for pause in [5, 10, 20] {
        assert_eq!(session.progress(CDS).pause().unwrap().as_secs(), pause);
        let again = only(session.on_back_off(CDS, &now));
        assert_eq!(told(std::slice::from_ref(&again)), [texts(CDS, &["1"])]);
        assert_eq!(
            told(&session.on_back_off(CDS, &now)),
            [],
            "not answered yet"
        );
        session.on_request(nack(&again), &now);
    }
    let again = only(session.on_back_off(CDS, &now));
    session.on_request(ack(&again), &now);
    assert_eq!(session.progress(CDS).pause(), None);
    assert_eq!(told(&session.on_back_off(CDS, &now)), []);
}

#[test]
fn an_extension_never_comes_in_bytes_that_were_refused() {
    let now = snapshot_of_variable(&[(ECDS, "f", "1")]);
    let mut seen = BTreeSet::new();
    for salt in [7 << 32, 9 << 32] {
        let mut session = session();
        session.introduce(&proxy("p"), salt);
        let mut latest = only(session.on_request(ask(ECDS, &["f"], &[]), &now).responses);
        for _ in 0..3 {
            assert!(seen.insert(latest.resources[0].clone()), "sent before");
            session.on_request(nack(&latest), &now);
            latest = only(session.on_back_off(ECDS, &now));
        }
        assert!(seen.insert(latest.resources[0].clone()), "sent before");
        session.on_request(nack(&latest), &now);
        let back = only(session.on_request(ask(ECDS, &["f"], &[]), &now).responses);
        assert!(seen.insert(back.resources[0].clone()), "sent before");
    }
}
