//! What a proxy asks for.

use super::*;

#[test]
fn without_names_clusters_and_listeners_mean_all_and_the_others_none() {
    let now = snapshot(&[
        (CDS, "a", "a1"),
        (EDS, "a", "e1"),
        (LDS, "l", "l1"),
        (RDS, "r", "r1"),
        (ECDS, "f", "f1"),
    ]);
    let mut session = session();
    let mut first = |kind| told(&session.on_request(ask(kind, &[]), &now).responses);
    assert_eq!(first(CDS), [texts(CDS, &["a1"])]);
    assert_eq!(first(EDS), []);
    assert_eq!(first(LDS), [texts(LDS, &["l1"])]);
    assert_eq!(first(RDS), []);
    assert_eq!(first(ECDS), []);
}

#[test]
fn a_star_means_all_for_every_type() {
    let now = snapshot(&[(CDS, "a", "a1"), (EDS, "a", "e1"), (EDS, "b", "e2")]);
    let mut session = session();
    accepted(&mut session, EDS, &["*"], &now);
    let turn = session.on_request(ask(CDS, &["*"]), &now);
    assert_eq!(told(&turn.responses)[0], texts(CDS, &["a1"]));
}

#[test]
fn nothing_at_all_is_an_answer_for_clusters_and_no_answer_for_endpoints() {
    let now = snapshot(&[]);
    let mut session = session();
    let turn = session.on_request(ask(CDS, &[]), &now);
    assert_eq!(told(&turn.responses), [texts(CDS, &[])]);
    let turn = session.on_request(ask(EDS, &["a"]), &now);
    assert_eq!(told(&turn.responses), []);
}

#[test]
fn once_a_name_was_given_an_empty_list_means_none() {
    let now = snapshot(&[(CDS, "a", "a1"), (CDS, "b", "b1")]);
    let mut session = session();
    let all = accepted(&mut session, CDS, &[], &now);
    let both = only(session.on_request(ack(&all, &["*", "a"]), &now).responses);
    assert_eq!(
        told(std::slice::from_ref(&both)),
        [texts(CDS, &["a1", "b1"])]
    );
    let one = only(session.on_request(ack(&both, &["a"]), &now).responses);
    assert_eq!(told(std::slice::from_ref(&one)), [texts(CDS, &["a1"])]);
    let none = only(session.on_request(ack(&one, &[]), &now).responses);
    assert_eq!(told(std::slice::from_ref(&none)), [texts(CDS, &[])]);
    let later = snapshot(&[(CDS, "a", "a2"), (CDS, "b", "b1")]);
    assert_eq!(told(&session.on_snapshot(&later)), []);
}

#[test]
fn a_name_that_was_dropped_is_sent_when_it_is_asked_for_again() {
    let now = snapshot(&[(EDS, "a", "a1"), (EDS, "b", "b1")]);
    let mut first = session();
    let both = accepted(&mut first, EDS, &["a", "b"], &now);
    let fewer = only(first.on_request(ack(&both, &["a"]), &now).responses);
    assert_eq!(told(std::slice::from_ref(&fewer)), [texts(EDS, &[])]);
    let turn = first.on_request(ack(&fewer, &["a", "b"]), &now);
    assert_eq!(told(&turn.responses), [texts(EDS, &["b1"])]);
    // That response got lost with the stream.
    let turn = session().on_request(again(&fewer, &["a", "b"]), &now);
    assert_eq!(told(&turn.responses), [texts(EDS, &["a1", "b1"])]);
}

#[test]
fn a_name_asked_for_before_it_exists_is_sent_when_it_appears() {
    let mut session = session();
    let turn = session.on_request(ask(EDS, &["a"]), &snapshot(&[]));
    assert_eq!(told(&turn.responses), []);
    let told = told(&session.on_snapshot(&snapshot(&[(EDS, "a", "1"), (EDS, "b", "1")])));
    assert_eq!(told, [texts(EDS, &["1"])]);
}

#[test]
fn a_type_that_is_not_served_is_ignored() {
    let mut session = session();
    for type_url in ["", "type.googleapis.com/envoy.config.nonsense"] {
        let request = DiscoveryRequest {
            type_url: type_url.to_owned(),
            ..DiscoveryRequest::default()
        };
        let turn = session.on_request(request, &snapshot(&[(CDS, "a", "1")]));
        assert_eq!((turn.kind, told(&turn.responses)), (None, vec![]));
    }
}

#[test]
fn a_stream_of_one_type_needs_no_type_and_knows_no_other() {
    let now = snapshot(&[(CDS, "a", "1"), (LDS, "l", "1")]);
    let mut session = Session::new(StreamId(1), "", Some(LDS));
    let turn = session.on_request(DiscoveryRequest::default(), &now);
    assert_eq!(told(&turn.responses), [texts(LDS, &["1"])]);
    let turn = session.on_request(ask(CDS, &[]), &now);
    assert_eq!((turn.kind, told(&turn.responses)), (None, vec![]));
}

#[test]
fn too_many_names_are_counted_and_the_rest_served() {
    let now = snapshot(&[(EDS, "a", "1")]);
    let request = DiscoveryRequest {
        resource_names: vec!["a".to_owned(), "x".repeat(17 << 20)],
        ..ask(EDS, &[])
    };
    let turn = session().on_request(request, &now);
    assert_eq!(
        (turn.refused, told(&turn.responses)),
        (1, vec![texts(EDS, &["1"])])
    );
}

#[test]
fn a_name_dropped_in_a_request_that_came_too_late_is_sent_again_when_asked_for() {
    let mut session = session();
    let one = accepted(
        &mut session,
        EDS,
        &["a", "x"],
        &snapshot(&[(EDS, "a", "1"), (EDS, "x", "1")]),
    );
    let now = snapshot(&[(EDS, "a", "2"), (EDS, "x", "1")]);
    only(session.on_snapshot(&now));
    let dropped = only(session.on_request(ack(&one, &["a"]), &now).responses);
    assert_eq!(told(std::slice::from_ref(&dropped)), [texts(EDS, &[])]);
    let turn = session.on_request(ack(&dropped, &["a", "x"]), &now);
    assert_eq!(told(&turn.responses), [texts(EDS, &["1"])]);
}
