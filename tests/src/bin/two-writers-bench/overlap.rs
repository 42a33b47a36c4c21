//! When two servers worked on edits of one document, from what they logged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

const PUSH: &str = "yorkie.v1.YorkieService.PushPullChanges";

/// An edit at a server.
#[derive(Debug, Clone, Copy)]
struct Push {
    received_ns: u64,
    /// When it was accepted or refused.
    at_ns: u64,
    is_accepted: bool,
}

/// The edits that one generation of servers got, by document, and when it got
/// the first one through each proxy.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    pushes: BTreeMap<String, Vec<Push>>,
    first_through: BTreeMap<usize, u64>,
    /// Pushes that were refused, by code.
    pub(crate) refused: BTreeMap<String, usize>,
}

/// A document that moved, and whose old owner worked on an edit, accepted or
/// refused, when the new owner had got its first: each may overwrite what the
/// other has acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overlap {
    /// From the first edit that the new owner got to the last answer of the old
    /// owner.
    pub(crate) at_work: Duration,
    /// From the first edit that the new owner accepted to the last one that the
    /// old owner did.
    pub(crate) accepting: Option<Duration>,
    /// How many edits the old owner answered after the new owner got its first,
    /// and had got before: calls that were under way and ended there.
    pub(crate) finished: usize,
    /// And how many it got later: a proxy routed by the old assignment yet.
    pub(crate) late: usize,
}

impl Generation {
    pub(crate) fn of(lines: &[Value], proxies: &BTreeMap<String, usize>) -> Self {
        let mut this = Self::default();
        for line in lines.iter().filter(|line| line["method"] == PUSH) {
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            let ns = |name: &str| line[name]["monotonic_ns"].as_u64().unwrap_or_default();
            let push = Push {
                received_ns: ns("received"),
                at_ns: ns("at"),
                is_accepted: line["code"] == "ok",
            };
            if !push.is_accepted {
                *this.refused.entry(text("code").to_owned()).or_default() += 1;
            }
            if let Some(&proxy) = proxies.get(text("client_id")) {
                let first = this.first_through.entry(proxy).or_insert(u64::MAX);
                *first = push.received_ns.min(*first);
            }
            let document = text("document_key").to_owned();
            this.pushes.entry(document).or_default().push(push);
        }
        this
    }

    /// How much later than the other proxy one sent its first edit here.
    pub(crate) fn skew(&self) -> Option<Duration> {
        let first = self.first_through.values().min()?;
        let last = self.first_through.values().max()?;
        (self.first_through.len() > 1).then(|| Duration::from_nanos(last - first))
    }

    /// The documents that moved here while the generation before, `old`, was at
    /// work on them.
    pub(crate) fn overlaps(&self, old: &Self) -> BTreeMap<String, Overlap> {
        let overlap = |document: &String, pushes: &Vec<Push>| {
            let arrived = pushes.iter().map(|push| push.received_ns).min()?;
            let accepted = pushes.iter().filter(|push| push.is_accepted);
            let accepted = accepted.map(|push| push.at_ns).min();
            let before = old.pushes.get(document)?.iter();
            let after: Vec<_> = before.filter(|push| push.at_ns > arrived).collect();
            let last = after.iter().map(|push| push.at_ns).max()?;
            let kept = after.iter().filter(|push| push.is_accepted);
            let kept = kept.map(|push| push.at_ns).max();
            let finished = after.iter().filter(|push| push.received_ns < arrived);
            let finished = finished.count();
            Some(Overlap {
                at_work: Duration::from_nanos(last - arrived),
                accepting: accepted
                    .zip(kept)
                    .filter(|(accepted, kept)| accepted < kept)
                    .map(|(accepted, kept)| Duration::from_nanos(kept - accepted)),
                finished,
                late: after.len() - finished,
            })
        };
        let all = self.pushes.iter();
        all.filter_map(|(document, pushes)| Some((document.clone(), overlap(document, pushes)?)))
            .collect()
    }
}
