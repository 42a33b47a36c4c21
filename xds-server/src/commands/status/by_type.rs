//! How far each proxy is with each type of resource, a line a stream.

use std::iter;

use super::super::screen::{plain, table};
use super::proxies::rejected;
use super::{MAX_ROWS, rest};
use crate::api::{ProxyStatus, Status, StreamStatus, TypeState};
use crate::snapshot::ResourceType;

/// A table, and below it what was refused.
pub(super) fn by_type(status: &Status) -> String {
    let streams = status.proxies.iter().flat_map(|proxy| {
        let streams = proxy.streams.iter().map(Some);
        let none = proxy.streams.is_empty().then_some(None);
        streams.chain(none).map(move |stream| (proxy, stream))
    });
    let streams: Vec<_> = streams.collect();
    let rows = streams.iter().map(|(proxy, stream)| row(proxy, *stream));
    let names = ResourceType::ALL.map(|kind| kind.name().to_uppercase());
    let mut header = vec!["PROXY", "VERSION", "XDS"];
    header.extend(names.iter().map(String::as_str));
    let shown = table(&header, &[], rows.take(MAX_ROWS).collect());
    let refusals = streams.iter().filter_map(|(proxy, stream)| {
        let refused = stream.map(rejected).filter(|refused| !refused.is_empty());
        Some(format!("{}: {}", plain(&proxy.node), refused?))
    });
    let parts: Vec<_> = iter::once(shown + &rest(streams.len()))
        .chain(refusals)
        .collect();
    parts.join("\n\n") + "\n"
}

fn row(proxy: &ProxyStatus, stream: Option<&StreamStatus>) -> Vec<String> {
    let Some(stream) = stream else {
        return vec![plain(&proxy.node), "not connected".to_owned()];
    };
    let mut row = vec![
        plain(&proxy.node),
        plain(&stream.software),
        stream.mode.clone(),
    ];
    row.extend(ResourceType::ALL.map(|kind| {
        let state = stream.types.get(kind.name()).map(|of| of.state);
        word(state).to_owned()
    }));
    row
}

fn word(state: Option<TypeState>) -> &'static str {
    match state {
        None => "not asked",
        Some(TypeState::Synced) => "synced",
        Some(TypeState::Stale) => "stale",
        Some(TypeState::Rejected) => "rejected",
        Some(TypeState::NotSent) => "not sent",
    }
}
