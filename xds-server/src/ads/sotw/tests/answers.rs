//! What a proxy says of responses.

use super::*;

#[test]
fn every_response_has_a_nonce_of_its_own() {
    let now = snapshot(&[(CDS, "a", "a1"), (EDS, "a", "e1"), (LDS, "l", "l1")]);
    let mut session = session();
    let mut nonces = BTreeSet::new();
    for kind in [CDS, EDS, LDS] {
        assert!(nonces.insert(accepted(&mut session, kind, &["*"], &now).nonce));
    }
    let later = snapshot(&[(CDS, "a", "a2"), (EDS, "a", "e2"), (LDS, "l", "l2")]);
    for response in session.on_snapshot(&later) {
        assert!(nonces.insert(response.nonce));
        assert_eq!(response.control_plane.unwrap().identifier, "replica-1");
    }
    assert_eq!(nonces.len(), 6);
}

#[test]
fn what_is_refused_is_not_sent_again_at_once_but_when_it_changes() {
    let mut session = session();
    let good = accepted(
        &mut session,
        ECDS,
        &["f"],
        &snapshot(&[(ECDS, "f", "good")]),
    );
    let now = snapshot(&[(ECDS, "f", "bad")]);
    let bad = only(session.on_snapshot(&now));
    let turn = session.on_request(nack(&bad, &["f"], &good.version_info), &now);
    assert_eq!(
        turn.verdict,
        Some(Verdict::Nacked {
            version: bad.version_info.as_str().into(),
            message: "no good".to_owned()
        })
    );
    assert_eq!(told(&turn.responses), []);
    assert_eq!(told(&session.on_snapshot(&now)), []);
    let held = &session.progress(ECDS).confirmed["f"];
    assert_eq!(
        held,
        snapshot(&[(ECDS, "f", "good")]).of(ECDS)["f"].version()
    );
    let mended = session.on_snapshot(&snapshot(&[(ECDS, "f", "mended")]));
    assert_eq!(told(&mended), [texts(ECDS, &["mended"])]);
    let back = session.on_snapshot(&snapshot(&[(ECDS, "f", "good")]));
    assert_eq!(told(&back), [texts(ECDS, &["good"])]);
}

#[test]
fn one_bad_resource_does_not_keep_the_others_of_its_response_away() {
    let now = snapshot(&[(EDS, "a", "bad"), (EDS, "b", "good")]);
    let mut session = session();
    let both = only(session.on_request(ask(EDS, &["a", "b"]), &now).responses);
    let turn = session.on_request(nack(&both, &["a", "b"], ""), &now);
    let bad = only(turn.responses);
    assert_eq!(told(std::slice::from_ref(&bad)), [texts(EDS, &["bad"])]);
    let turn = session.on_request(nack(&bad, &["a", "b"], ""), &now);
    let good = only(turn.responses);
    assert_eq!(told(std::slice::from_ref(&good)), [texts(EDS, &["good"])]);
    settled(&mut session, &good, &["a", "b"], &now);
    let held: Vec<_> = session.progress(EDS).confirmed.keys().cloned().collect();
    assert_eq!(held, ["b".into()]);
}

#[test]
fn an_answer_to_an_earlier_response_is_no_answer_to_the_latest() {
    let mut session = session();
    let one = only(
        session
            .on_request(ask(ECDS, &["f"]), &snapshot(&[(ECDS, "f", "1")]))
            .responses,
    );
    let now = snapshot(&[(ECDS, "f", "2"), (ECDS, "g", "1")]);
    let two = only(session.on_snapshot(&now));
    // The names are ignored as well: it was written before the latest came.
    let turn = session.on_request(ack(&one, &["f", "g"]), &now);
    assert_eq!(
        turn.verdict,
        Some(Verdict::Acked {
            version: one.version_info.as_str().into()
        })
    );
    assert_eq!(told(&turn.responses), []);
    let held = |session: &Session| session.progress(ECDS).confirmed.get("f").cloned();
    assert_ne!(held(&session).as_ref(), Some(now.of(ECDS)["f"].version()));
    let turn = session.on_request(ack(&two, &["f", "g"]), &now);
    assert_eq!(told(&turn.responses), [texts(ECDS, &["1"])]);
    assert_eq!(held(&session).as_ref(), Some(now.of(ECDS)["f"].version()));
}

#[test]
fn a_nonce_that_was_answered_or_never_sent_is_no_answer() {
    let now = snapshot(&[(ECDS, "f", "1")]);
    let mut session = session();
    let one = accepted(&mut session, ECDS, &["f"], &now);
    assert_eq!(session.on_request(ack(&one, &["f"]), &now).verdict, None);
    let foreign = DiscoveryRequest {
        response_nonce: "6-1".to_owned(),
        ..ack(&one, &["f"])
    };
    assert_eq!(session.on_request(foreign, &now).verdict, None);
}

/// Envoy's unified multiplexer goes back to the nonce of the last response that
/// it accepted.

#[test]
fn an_old_nonce_after_the_latest_was_answered_is_a_new_request() {
    let mut session = session();
    let good = accepted(&mut session, EDS, &["a"], &snapshot(&[(EDS, "a", "good")]));
    let now = snapshot(&[(EDS, "a", "bad"), (EDS, "b", "b1")]);
    let bad = only(session.on_snapshot(&now));
    session.on_request(nack(&bad, &["a"], &good.version_info), &now);
    let turn = session.on_request(ack(&good, &["a", "b"]), &now);
    assert_eq!(turn.verdict, None);
    assert_eq!(told(&turn.responses), [texts(EDS, &["b1"])]);
}

#[test]
fn an_answer_to_the_latest_covers_those_before_it() {
    let mut session = session();
    accepted(
        &mut session,
        EDS,
        &["a", "b"],
        &snapshot(&[(EDS, "a", "1"), (EDS, "b", "1")]),
    );
    session.on_snapshot(&snapshot(&[(EDS, "a", "2"), (EDS, "b", "1")]));
    let now = snapshot(&[(EDS, "a", "2"), (EDS, "b", "2")]);
    let latest = only(session.on_snapshot(&now));
    settled(&mut session, &latest, &["a", "b"], &now);
    assert_eq!(
        session.progress(EDS).confirmed["a"],
        *now.of(EDS)["a"].version()
    );
}

/// While a type is paused Envoy keeps the error of a refused response until it
/// answers the next one, which it accepted.

#[test]
fn an_error_with_the_version_of_the_latest_is_about_one_before_it() {
    let mut session = session();
    accepted(
        &mut session,
        EDS,
        &["a", "b"],
        &snapshot(&[(EDS, "a", "1"), (EDS, "b", "1")]),
    );
    session.on_snapshot(&snapshot(&[(EDS, "a", "bad"), (EDS, "b", "1")]));
    let now = snapshot(&[(EDS, "a", "bad"), (EDS, "b", "2")]);
    let latest = only(session.on_snapshot(&now));
    let answer = nack(&latest, &["a", "b"], &latest.version_info);
    let turn = session.on_request(answer, &now);
    assert!(matches!(turn.verdict, Some(Verdict::Nacked { .. })));
    let confirmed = &session.progress(EDS).confirmed;
    assert_eq!(confirmed["b"], *now.of(EDS)["b"].version());
    assert_ne!(confirmed["a"], *now.of(EDS)["a"].version());
}
