//! How far apart the watchers of one document leave their old server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use yorkies_tests::{Figures, Member, Watchers};

/// When a member lost a stream, and which proxy it came through.
#[derive(Debug, Clone, Copy)]
struct End {
    at: Instant,
    proxy: SocketAddr,
}

/// What came of the documents of one round.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    /// From the first watcher of a document that leaves to the last.
    pub(crate) documents: Figures,
    /// The same, had both proxies been told at the same time.
    pub(crate) beyond: Figures,
    /// How much later one proxy was than the other.
    pub(crate) skew: Duration,
    /// From the change until a member lost the last stream that moved.
    pub(crate) last: Duration,
}

impl Apart {
    /// As the members saw it, of the streams that ended after `start`.
    pub(crate) fn of(watchers: &Watchers, members: &[Member], start: Instant) -> Self {
        let mut ends = BTreeMap::<&str, Vec<End>>::new();
        for arrival in members.iter().flat_map(Member::arrivals) {
            let (Some(at), Some(watch)) = (arrival.ended, arrival.watch()) else {
                continue;
            };
            if let Some(watch) = watchers.watches().get(watch)
                && at >= start
                && arrival.at < start
            {
                let proxy = watch.proxy;
                ends.entry(&watch.key).or_default().push(End { at, proxy });
            }
        }
        let Some(one) = watchers.watches().first().map(|watch| watch.proxy) else {
            return Self::default();
        };
        let later = lateness(ends.values(), one);
        let apart = |shift: f64| {
            let apart = ends.values().filter_map(|ends| spread(ends, one, shift));
            apart.collect()
        };
        let last = ends.values().flatten().map(|end| end.at - start).max();
        Self {
            last: last.unwrap_or_default(),
            documents: apart(0.0),
            beyond: apart(later),
            skew: Duration::from_secs_f64(later.abs()),
        }
    }
}

/// By how many seconds the watchers left the other proxy later than the proxy
/// `one`, in the median over the documents: all leave at a moment of their
/// document, so what is left is when the proxies were told.
fn lateness<'a>(documents: impl Iterator<Item = &'a Vec<End>>, one: SocketAddr) -> f64 {
    let mut differences = Vec::new();
    for ends in documents {
        let mean = |is_one: bool| {
            let of_proxy = ends.iter().filter(|end| (end.proxy == one) == is_one);
            let offsets: Vec<_> = of_proxy.map(|end| seconds(end.at, ends[0].at)).collect();
            (!offsets.is_empty()).then(|| offsets.iter().sum::<f64>() / offsets.len() as f64)
        };
        if let (Some(here), Some(there)) = (mean(true), mean(false)) {
            differences.push(there - here);
        }
    }
    differences.sort_by(f64::total_cmp);
    let middle = differences.get(differences.len() / 2);
    middle.copied().unwrap_or_default()
}

/// From the first end to the last, with those of the other proxy moved forward
/// by `shift` seconds.
fn spread(ends: &[End], one: SocketAddr, shift: f64) -> Option<Duration> {
    let base = ends.first()?.at;
    let moved = ends.iter().map(|end| {
        let shift = if end.proxy == one { 0.0 } else { shift };
        seconds(end.at, base) - shift
    });
    let (first, last) = moved.fold((f64::MAX, f64::MIN), |(first, last), at| {
        (first.min(at), last.max(at))
    });
    Some(Duration::from_secs_f64((last - first).max(0.0)))
}

/// From `base` to `at`, negative when `at` is before.
fn seconds(at: Instant, base: Instant) -> f64 {
    let after = at.saturating_duration_since(base).as_secs_f64();
    after - base.saturating_duration_since(at).as_secs_f64()
}
