use super::*;
use crate::ads::message::ErrorDetail;
use crate::ads::progress::Verdict;
use crate::ads::session::Session as _;
use crate::ads::support::{CDS, ECDS, EDS, LDS, Named, RDS, snapshot, strings};
use prost::Message;

mod audience;
mod back_off;
mod updates;

fn session() -> Session {
    Session::new(StreamId(7), "replica-1", None)
}

fn ask(kind: ResourceType, subscribe: &[&str], unsubscribe: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().to_owned(),
        resource_names_subscribe: strings(subscribe),
        resource_names_unsubscribe: strings(unsubscribe),
        ..DeltaDiscoveryRequest::default()
    }
}

/// A first request by a proxy that has `held` of that snapshot.
fn again(
    kind: ResourceType,
    subscribe: &[&str],
    held: &[&str],
    snapshot: &Snapshot,
) -> DeltaDiscoveryRequest {
    let version = |name: &&str| {
        let version = snapshot.of(kind)[*name].version();
        (name.to_string(), version.to_string())
    };
    DeltaDiscoveryRequest {
        initial_resource_versions: held.iter().map(version).collect(),
        ..ask(kind, subscribe, &[])
    }
}

fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn nack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        error_detail: Some(ErrorDetail {
            code: 13,
            message: "no good".to_owned(),
        }),
        ..ack(response)
    }
}

/// Type, contents, and `-name` for what is removed.
fn told(responses: &[DeltaDiscoveryResponse]) -> Vec<(ResourceType, Vec<String>)> {
    let contents = |response: &DeltaDiscoveryResponse| {
        let kind = ResourceType::from_type_url(&response.type_url).unwrap();
        let content = |bytes: &bytes::Bytes| {
            let named = Named::decode(bytes.clone()).unwrap();
            let any = named.resource.unwrap();
            assert_eq!(any.type_url, response.type_url);
            assert!(!named.name.is_empty() && !named.version.is_empty());
            String::from_utf8(any.value).unwrap()
        };
        let removed = response.removed_resources.iter();
        let removed = removed.map(|name| format!("-{name}"));
        let contents = response.resources.iter().map(content).chain(removed);
        (kind, contents.collect())
    };
    responses.iter().map(contents).collect()
}

fn only(mut responses: Vec<DeltaDiscoveryResponse>) -> DeltaDiscoveryResponse {
    assert_eq!(responses.len(), 1, "{:?}", told(&responses));
    responses.remove(0)
}

fn texts(kind: ResourceType, contents: &[&str]) -> (ResourceType, Vec<String>) {
    (kind, strings(contents))
}

/// Sends a request, acknowledges what comes, and says what it was.
fn tell(
    session: &mut Session,
    request: DeltaDiscoveryRequest,
    snapshot: &Arc<Snapshot>,
) -> Vec<(ResourceType, Vec<String>)> {
    let responses = session.on_request(request, snapshot).responses;
    for response in &responses {
        let turn = session.on_request(ack(response), snapshot);
        assert!(matches!(turn.verdict, Some(Verdict::Acked { .. })));
        assert_eq!(told(&turn.responses), []);
    }
    told(&responses)
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
    let mut first = |kind| tell(&mut session, ask(kind, &[], &[]), &now);
    assert_eq!(first(CDS), [texts(CDS, &["a1"])]);
    assert_eq!(first(EDS), []);
    assert_eq!(first(LDS), [texts(LDS, &["l1"])]);
    assert_eq!(first(RDS), []);
    assert_eq!(first(ECDS), []);
}

#[test]
fn a_wildcard_for_nothing_is_answered_with_nothing() {
    let turn = session().on_request(ask(CDS, &[], &[]), &snapshot(&[]));
    assert_eq!(told(&turn.responses), [texts(CDS, &[])]);
    let turn = session().on_request(ask(EDS, &["*"], &[]), &snapshot(&[]));
    assert_eq!(told(&turn.responses), [texts(EDS, &[])]);
}

/// The example of the protocol's documentation.
#[test]
fn a_wildcard_stays_until_it_is_taken_back() {
    let one = snapshot(&[(CDS, "a", "1"), (CDS, "b", "1")]);
    let mut session = session();
    tell(&mut session, ask(CDS, &[], &[]), &one);
    assert_eq!(
        tell(&mut session, ask(CDS, &["a"], &[]), &one),
        [texts(CDS, &["1"])]
    );
    assert_eq!(tell(&mut session, ask(CDS, &[], &["*"]), &one), []);
    let two = snapshot(&[(CDS, "a", "2"), (CDS, "b", "2")]);
    assert_eq!(told(&session.on_snapshot(&two)), [texts(CDS, &["2"])]);
    assert_eq!(tell(&mut session, ask(CDS, &[], &["a"]), &two), []);
    let three = snapshot(&[(CDS, "a", "3"), (CDS, "b", "3")]);
    assert_eq!(told(&session.on_snapshot(&three)), []);
    assert_eq!(
        tell(&mut session, ask(CDS, &["*"], &[]), &three),
        [texts(CDS, &["3", "3"])]
    );
}

/// Envoy cannot know whether the wildcard covers a name that it drops.
#[test]
fn a_name_dropped_under_a_wildcard_is_told_again() {
    let now = snapshot(&[(CDS, "a", "1")]);
    let mut session = session();
    tell(&mut session, ask(CDS, &["*", "a", "gone"], &[]), &now);
    let told = tell(&mut session, ask(CDS, &[], &["a", "gone"]), &now);
    assert_eq!(told, [texts(CDS, &["1"]), texts(CDS, &["-gone"])]);
}

#[test]
fn only_what_changed_is_sent_and_what_is_gone_is_named() {
    let mut session = session();
    let now = snapshot(&[(CDS, "a", "1"), (CDS, "b", "1"), (CDS, "c", "1")]);
    tell(&mut session, ask(CDS, &[], &[]), &now);
    let now = snapshot(&[(CDS, "a", "1"), (CDS, "b", "2"), (CDS, "d", "1")]);
    let expected = [texts(CDS, &["2", "1"]), texts(CDS, &["-c"])];
    assert_eq!(told(&session.on_snapshot(&now)), expected);
    assert_eq!(told(&session.on_snapshot(&now)), []);
}

#[test]
fn a_name_that_does_not_exist_is_said_so_and_sent_when_it_appears() {
    let mut session = session();
    let told_now = tell(&mut session, ask(EDS, &["a"], &[]), &snapshot(&[]));
    assert_eq!(told_now, [texts(EDS, &["-a"])]);
    assert_eq!(told(&session.on_snapshot(&snapshot(&[]))), []);
    let now = snapshot(&[(EDS, "a", "1")]);
    assert_eq!(told(&session.on_snapshot(&now)), [texts(EDS, &["1"])]);
}

#[test]
fn unsubscribe_then_subscribe_is_answered() {
    let now = snapshot(&[(EDS, "a", "1")]);
    let mut session = session();
    tell(&mut session, ask(EDS, &["a"], &[]), &now);
    assert_eq!(tell(&mut session, ask(EDS, &[], &["a"]), &now), []);
    let changed = snapshot(&[(EDS, "a", "2")]);
    assert_eq!(told(&session.on_snapshot(&changed)), []);
    assert_eq!(
        tell(&mut session, ask(EDS, &["a"], &[]), &now),
        [texts(EDS, &["1"])]
    );
    // Envoy leaves out the first of the two when it had no time to send it.
    assert_eq!(
        tell(&mut session, ask(EDS, &["a"], &[]), &now),
        [texts(EDS, &["1"])]
    );
    assert_eq!(
        tell(&mut session, ask(EDS, &["a"], &["a"]), &now),
        [texts(EDS, &["1"])]
    );
}

#[test]
fn what_a_proxy_brings_along_is_not_sent_again() {
    let before = snapshot(&[(CDS, "a", "1"), (CDS, "b", "1"), (CDS, "c", "1")]);
    let now = snapshot(&[(CDS, "a", "1"), (CDS, "b", "2"), (CDS, "d", "1")]);
    let request = again(CDS, &[], &["a", "b", "c"], &before);
    let told_now = tell(&mut session(), request, &now);
    assert_eq!(told_now, [texts(CDS, &["2", "1"]), texts(CDS, &["-c"])]);

    let before = snapshot(&[(EDS, "a", "1"), (EDS, "b", "1")]);
    let mut session = session();
    let request = again(EDS, &["a", "b"], &["a"], &before);
    assert_eq!(tell(&mut session, request, &before), [texts(EDS, &["1"])]);
    assert_eq!(session.progress(EDS).confirmed.len(), 2);
}

#[test]
fn a_restarted_server_sends_nothing_that_the_proxy_has() {
    let now = snapshot(&[
        (CDS, "x", "1"),
        (EDS, "x", "1"),
        (LDS, "x", "1"),
        (RDS, "x", "1"),
        (ECDS, "x", "1"),
    ]);
    let mut session = session();
    for kind in ResourceType::ALL {
        let names: &[&str] = if kind.is_full_state() { &[] } else { &["x"] };
        assert_eq!(
            tell(&mut session, again(kind, names, &["x"], &now), &now),
            []
        );
    }
}

#[test]
fn only_who_shows_a_version_was_here_before() {
    let now = snapshot(&[(CDS, "c", "1"), (ECDS, "f", "1")]);
    let mut session = session();
    session.on_request(ask(CDS, &["*"], &[]), &now);
    session.on_request(again(ECDS, &["f"], &["f"], &now), &now);
    assert!(session.progress(ECDS).is_back && !session.progress(CDS).is_back);
}

#[test]
fn names_removed_while_a_proxy_was_away_are_named_on_its_return() {
    let before = snapshot(&[(EDS, "a", "1"), (RDS, "r", "1")]);
    let mut session = session();
    let request = again(EDS, &["a"], &["a"], &before);
    assert_eq!(
        tell(&mut session, request, &snapshot(&[])),
        [texts(EDS, &["-a"])]
    );
    let request = again(RDS, &[], &["r"], &before);
    assert_eq!(
        tell(&mut session, request, &snapshot(&[])),
        [],
        "it does not want it"
    );
}

#[test]
fn what_is_refused_is_not_sent_again_at_once_but_when_it_changes() {
    let mut session = session();
    let good = snapshot(&[(ECDS, "f", "good")]);
    tell(&mut session, ask(ECDS, &["f"], &[]), &good);
    let now = snapshot(&[(ECDS, "f", "bad")]);
    let bad = session.on_snapshot(&now).remove(0);
    let turn = session.on_request(nack(&bad), &now);
    let Some(Verdict::Nacked { message, .. }) = turn.verdict else {
        panic!("not refused: {:?}", turn.verdict);
    };
    assert_eq!(message, "no good");
    assert_eq!(told(&turn.responses), []);
    assert_eq!(told(&session.on_snapshot(&now)), []);
    assert_eq!(
        session.progress(ECDS).confirmed["f"],
        *good.of(ECDS)["f"].version()
    );
    assert_eq!(told(&session.on_snapshot(&good)), [texts(ECDS, &["good"])]);
}

#[test]
fn one_bad_resource_does_not_keep_the_others_of_its_response_away() {
    let now = snapshot(&[(EDS, "a", "bad"), (EDS, "b", "good")]);
    let mut session = session();
    let turn = session.on_request(ask(EDS, &["a", "b"], &[]), &now);
    let turn = session.on_request(nack(&turn.responses[0]), &now);
    let bad = only(turn.responses);
    assert_eq!(told(std::slice::from_ref(&bad)), [texts(EDS, &["bad"])]);
    let turn = session.on_request(nack(&bad), &now);
    let good = only(turn.responses);
    assert_eq!(told(std::slice::from_ref(&good)), [texts(EDS, &["good"])]);
    assert_eq!(told(&session.on_request(ack(&good), &now).responses), []);
    let held: Vec<_> = session.progress(EDS).confirmed.keys().cloned().collect();
    assert_eq!(held, ["b".into()]);
}

#[test]
fn a_stale_nonce_is_no_answer_but_its_subscriptions_count() {
    let now = snapshot(&[(EDS, "a", "1"), (EDS, "b", "1")]);
    let mut session = session();
    tell(&mut session, ask(EDS, &["a"], &[]), &now);
    let stale = DeltaDiscoveryRequest {
        response_nonce: "7-1".to_owned(),
        ..ask(EDS, &["b"], &[])
    };
    let turn = session.on_request(stale, &now);
    assert_eq!(turn.verdict, None);
    assert_eq!(told(&turn.responses), [texts(EDS, &["1"])]);
}

#[test]
fn an_answer_to_an_earlier_response_is_no_answer_to_the_latest() {
    let mut session = session();
    let before = snapshot(&[(ECDS, "f", "1")]);
    let one = session
        .on_request(ask(ECDS, &["f"], &[]), &before)
        .responses
        .remove(0);
    let now = snapshot(&[(ECDS, "f", "2")]);
    let two = session.on_snapshot(&now).remove(0);
    session.on_request(ack(&one), &now);
    assert_eq!(
        session.progress(ECDS).confirmed["f"],
        *before.of(ECDS)["f"].version()
    );
    session.on_request(ack(&two), &now);
    assert_eq!(
        session.progress(ECDS).confirmed["f"],
        *now.of(ECDS)["f"].version()
    );
}

#[test]
fn an_answer_does_not_confirm_what_was_asked_for_again_since() {
    let now = snapshot(&[(EDS, "a", "1")]);
    let mut session = session();
    let one = session
        .on_request(ask(EDS, &["a"], &[]), &now)
        .responses
        .remove(0);
    session.on_request(ask(EDS, &[], &["a"]), &now);
    let two = session
        .on_request(ask(EDS, &["a"], &[]), &now)
        .responses
        .remove(0);
    session.on_request(ack(&one), &now);
    assert_eq!(session.progress(EDS).confirmed.len(), 0);
    session.on_request(ack(&two), &now);
    assert_eq!(session.progress(EDS).confirmed.len(), 1);
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
    tell(&mut session, ask(CDS, &[], &[]), &now);
    tell(&mut session, ask(EDS, &["a", "b"], &[]), &now);
    let now = snapshot(&[
        (CDS, "a", "2"),
        (CDS, "b", "1"),
        (EDS, "a", "ea"),
        (EDS, "b", "eb"),
    ]);
    let expected = [texts(CDS, &["2"]), texts(EDS, &["ea"])];
    assert_eq!(told(&session.on_snapshot(&now)), expected);
}

#[test]
fn a_cluster_that_was_removed_and_added_again_gets_its_endpoints() {
    let mut session = session();
    let with = snapshot(&[(CDS, "a", "1"), (EDS, "a", "e")]);
    tell(&mut session, ask(CDS, &[], &[]), &with);
    tell(&mut session, ask(EDS, &["a"], &[]), &with);
    let expected = [texts(EDS, &["-a"]), texts(CDS, &["-a"])];
    assert_eq!(told(&session.on_snapshot(&snapshot(&[]))), expected);
    let expected = [texts(CDS, &["1"]), texts(EDS, &["e"])];
    assert_eq!(told(&session.on_snapshot(&with)), expected);
}

#[test]
fn a_stream_lost_between_a_cluster_and_its_endpoints_loses_nothing() {
    let before = snapshot(&[(CDS, "a", "1"), (EDS, "a", "e")]);
    let after = snapshot(&[(CDS, "a", "2"), (EDS, "a", "e")]);
    let mut second = session();
    assert_eq!(
        tell(&mut second, again(CDS, &[], &["a"], &after), &after),
        []
    );
    let told = tell(&mut second, again(EDS, &["a"], &["a"], &before), &after);
    assert_eq!(told, [texts(EDS, &["e"])]);
    // And the same where the cluster went back meanwhile.
    let mut second = session();
    let told = tell(&mut second, again(CDS, &[], &["a"], &after), &before);
    assert_eq!(told, [texts(CDS, &["1"])]);
    let told = tell(&mut second, again(EDS, &["a"], &["a"], &before), &before);
    assert_eq!(told, [texts(EDS, &["e"])]);
}

#[test]
fn additions_go_out_in_order_and_removals_behind_them_in_reverse() {
    let all = |name| ResourceType::ALL.map(|kind| (kind, name, "1"));
    let mut session = session();
    for kind in ResourceType::ALL {
        session.on_request(ask(kind, &["*"], &[]), &snapshot(&all("a")));
    }
    let responses = told(&session.on_snapshot(&snapshot(&all("b"))));
    let added = ResourceType::ALL.map(|kind| texts(kind, &["1"]));
    let mut removed = ResourceType::ALL.map(|kind| texts(kind, &["-a"]));
    removed.reverse();
    assert_eq!(responses, [added, removed].concat());
}

#[test]
fn a_type_that_is_not_served_is_ignored() {
    let request = DeltaDiscoveryRequest {
        type_url: "type.googleapis.com/envoy.config.nonsense".to_owned(),
        resource_names_subscribe: strings(&["a"]),
        ..DeltaDiscoveryRequest::default()
    };
    let turn = session().on_request(request, &snapshot(&[(CDS, "a", "1")]));
    assert_eq!((turn.kind, told(&turn.responses)), (None, vec![]));
}

#[test]
fn too_many_names_are_counted_and_the_rest_served() {
    let request = DeltaDiscoveryRequest {
        resource_names_subscribe: vec!["x".repeat(17 << 20), "a".to_owned()],
        ..ask(EDS, &[], &[])
    };
    let turn = session().on_request(request, &snapshot(&[(EDS, "a", "1")]));
    assert_eq!(
        (turn.refused, told(&turn.responses)),
        (1, vec![texts(EDS, &["1"])])
    );
}

#[test]
fn a_proxy_that_never_answers_is_served_and_costs_no_more_and_more() {
    let mut session = session();
    session.on_request(ask(EDS, &["a", "b"], &[]), &snapshot(&[]));
    let mut last = None;
    for n in 0..1000 {
        let text = n.to_string();
        // Each in turn, so that only all of them together confirm both.
        let name = if n % 2 == 0 { "a" } else { "b" };
        let other = if n % 2 == 0 { "b" } else { "a" };
        let before = (n.max(1) - 1).to_string();
        let now = snapshot(&[(EDS, name, &text), (EDS, other, &before)]);
        last = Some((session.on_snapshot(&now).remove(0), now));
    }
    let (response, now) = last.unwrap();
    assert!(format!("{:?}", session.types.of(EDS)).len() < 100_000);
    session.on_request(ack(&response), &now);
    for name in ["a", "b"] {
        assert_eq!(
            session.progress(EDS).confirmed[name],
            *now.of(EDS)[name].version()
        );
    }
}

#[test]
fn what_is_asked_for_again_is_not_confirmed_until_it_is_accepted_again() {
    let now = snapshot(&[(EDS, "a", "1")]);
    let mut session = session();
    tell(&mut session, ask(EDS, &["a"], &[]), &now);
    assert_eq!(session.progress(EDS).confirmed.len(), 1);
    let again = only(session.on_request(ask(EDS, &["a"], &[]), &now).responses);
    assert_eq!(session.progress(EDS).confirmed.len(), 0);
    session.on_request(ack(&again), &now);
    assert_eq!(session.progress(EDS).confirmed.len(), 1);
}
