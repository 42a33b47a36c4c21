use super::*;
use crate::ads::message::ErrorDetail;
use crate::ads::progress::Verdict;
use crate::ads::session::Session as _;
use crate::ads::support::{Any, CDS, ECDS, EDS, LDS, RDS, snapshot, strings};
use prost::Message;

fn session() -> Session {
    Session::new(StreamId(7), "replica-1", None)
}

fn ask(kind: ResourceType, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: kind.type_url().to_owned(),
        resource_names: strings(names),
        ..DiscoveryRequest::default()
    }
}

/// A first request on a new stream, by a proxy that accepted `response` before.
fn again(response: &DiscoveryResponse, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: response.type_url.clone(),
        version_info: response.version_info.clone(),
        resource_names: strings(names),
        ..DiscoveryRequest::default()
    }
}

fn ack(response: &DiscoveryResponse, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        response_nonce: response.nonce.clone(),
        ..again(response, names)
    }
}

fn nack(response: &DiscoveryResponse, names: &[&str], held: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: held.to_owned(),
        error_detail: Some(ErrorDetail {
            code: 13,
            message: "no good".to_owned(),
        }),
        ..ack(response, names)
    }
}

/// Type and contents of each response.
fn told(responses: &[DiscoveryResponse]) -> Vec<(ResourceType, Vec<String>)> {
    let contents = |response: &DiscoveryResponse| {
        let kind = ResourceType::from_type_url(&response.type_url).unwrap();
        let content = |bytes: &bytes::Bytes| {
            let any = Any::decode(bytes.clone()).unwrap();
            assert_eq!(any.type_url, response.type_url);
            String::from_utf8(any.value).unwrap()
        };
        (kind, response.resources.iter().map(content).collect())
    };
    responses.iter().map(contents).collect()
}

fn only(mut responses: Vec<DiscoveryResponse>) -> DiscoveryResponse {
    assert_eq!(responses.len(), 1, "{:?}", told(&responses));
    responses.remove(0)
}

/// Asks for `names` and acknowledges what comes.
fn accepted(
    session: &mut Session,
    kind: ResourceType,
    names: &[&str],
    snapshot: &Arc<Snapshot>,
) -> DiscoveryResponse {
    let turn = session.on_request(ask(kind, names), snapshot);
    let response = only(turn.responses);
    settled(session, &response, names, snapshot);
    response
}

/// Acknowledges a response to which there is nothing to add.
fn settled(
    session: &mut Session,
    response: &DiscoveryResponse,
    names: &[&str],
    snapshot: &Arc<Snapshot>,
) {
    let turn = session.on_request(ack(response, names), snapshot);
    assert!(matches!(turn.verdict, Some(Verdict::Acked { .. })));
    assert_eq!(told(&turn.responses), []);
}

fn texts(kind: ResourceType, contents: &[&str]) -> (ResourceType, Vec<String>) {
    (kind, strings(contents))
}

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
fn what_is_refused_is_not_sent_again_until_it_changes() {
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
