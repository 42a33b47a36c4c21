use super::*;
use crate::ads::message::ErrorDetail;
use crate::ads::progress::Verdict;
use crate::ads::session::Session as _;
use crate::ads::support::{Any, CDS, ECDS, EDS, LDS, RDS, snapshot, strings};
use prost::Message;

mod answers;
mod audience;
mod back_off;
mod next_stream;
mod subscriptions;
mod updates;

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
