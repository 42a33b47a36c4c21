//! The proxies on the screen.

use super::super::screen::{plain, table};
use super::{MAX_ROWS, rest};
use crate::api::{NackStatus, ProxyStatus, Status, StreamStatus, TypeState, VmPhase, VmStatus};

/// A row a stream, and what the VMs of its proxy report.
pub(super) fn proxies(status: &Status) -> String {
    let rows = status.proxies.iter().flat_map(|proxy| {
        let streams = proxy.streams.iter().map(Some);
        let none = proxy.streams.is_empty().then_some(None);
        // The VMs of a node cannot be told apart by stream.
        streams.chain(none).enumerate().map(|(index, stream)| {
            let mut row = proxy_row(proxy, stream);
            if index == 0 {
                row.extend(of_vms(proxy, status.epoch));
            }
            row
        })
    });
    let rows: Vec<_> = rows.collect();
    let count = rows.len();
    let header = [
        "PROXY",
        "VERSION",
        "XDS",
        "UPDATE",
        "VMS",
        "EPOCH",
        "OPEN",
        "MISPLACED",
        "DRAINED",
    ];
    let shown = rows.into_iter().take(MAX_ROWS).collect();
    table(&header, &[4, 5, 6, 7, 8], shown) + &rest(count)
}

fn proxy_row(proxy: &ProxyStatus, stream: Option<&StreamStatus>) -> Vec<String> {
    let update = match stream {
        None => "not connected".to_owned(),
        Some(stream) if refused(stream).next().is_some() => rejected(stream),
        Some(stream) if stream.current => "accepted".to_owned(),
        Some(stream) => behind(stream),
    };
    vec![
        plain(&proxy.node),
        stream.map_or_else(String::new, |stream| plain(&stream.software)),
        stream.map_or_else(String::new, |stream| stream.mode.clone()),
        update,
    ]
}

fn behind(stream: &StreamStatus) -> String {
    let types = stream.types.iter();
    let stale: Vec<_> = types
        .filter(|(_, of)| of.state == TypeState::Stale)
        .map(|(kind, _)| plain(kind))
        .collect();
    if stale.is_empty() {
        "behind".to_owned()
    } else {
        format!("behind: {}", stale.join(", "))
    }
}

fn refused(stream: &StreamStatus) -> impl Iterator<Item = &NackStatus> {
    let nacks = stream.types.values().filter_map(|of| of.nack.as_ref());
    nacks.filter(|nack| !nack.mended)
}

/// What of it is refused, and why; empty if nothing is.
pub(super) fn rejected(stream: &StreamStatus) -> String {
    let texts = refused(stream).map(|nack| {
        let times = match nack.times {
            ..=1 => String::new(),
            times => format!(" ({times} times)"),
        };
        let [kind, version, reason] = [&nack.kind, &nack.version, &nack.reason].map(|t| plain(t));
        format!("rejected {kind} {version}{times}: {reason}")
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// What the VMs of a proxy report together; of their epochs the lowest, unless
/// all are at the present one, `newest`.
fn of_vms(proxy: &ProxyStatus, newest: Option<u64>) -> [String; 5] {
    let vms = &proxy.vms;
    let sum = |of: fn(&VmStatus) -> u64| {
        let sum = vms.iter().map(of).fold(0, u64::saturating_add);
        sum.to_string()
    };
    let epoch = vms.iter().map(|vm| vm.epoch).min();
    let is_stopped = vms.iter().any(|vm| vm.phase == VmPhase::Stopped);
    let drained = sum(|vm| vm.drained);
    let epoch = match epoch {
        Some(epoch) if Some(epoch) == newest => "newest".to_owned(),
        Some(epoch) => epoch.to_string(),
        None => String::new(),
    };
    [
        vms.len().to_string(),
        epoch,
        sum(|vm| vm.open),
        sum(|vm| vm.misplaced),
        if is_stopped {
            format!("{drained}, STOPPED: predictions are wrong")
        } else {
            drained
        },
    ]
}
