//! What is noted of a request, for the metrics and the access log.

use crate::derive::{Derived, Source};
use crate::host::Host;
use crate::key::Mended;
use crate::metrics::Counter;
use crate::state::Vm;

/// Filter state with the key of a request: `wasm.shard_key` in access logs.
const KEY_STATE: &str = "shard_key";

/// Filter state with how it was come by: `wasm.shard_note` in access logs.
/// Absent where the key was in the header and right, which is how most are and
/// what a host call less is worth.
const NOTE_STATE: &str = "shard_note";

/// Notes a request that is routed; `inspected`: bytes of its message that were
/// read.
pub(super) fn routed(vm: &Vm, host: &impl Host, derived: &Derived<'_>, inspected: usize) {
    if let Some(key) = &derived.key {
        vm.note(host.set_filter_state(KEY_STATE, key.as_str()));
    }
    if derived.source != Source::Header || derived.mended.any() || inspected > 0 {
        let note = text(derived.source, derived.mended, inspected);
        vm.note(host.set_filter_state(NOTE_STATE, &note));
    }
    vm.metrics.add(counter_of(derived.source), 1);
    for (_, counter) in mendings(derived.mended) {
        vm.metrics.add(counter, 1);
    }
}

/// Notes a request that is refused; why is in the details of the response.
pub(super) fn refused(vm: &Vm, host: &impl Host, inspected: usize) {
    if inspected > 0 {
        let note = format!("inspected:{inspected}");
        vm.note(host.set_filter_state(NOTE_STATE, &note));
    }
}

fn text(source: Source, mended: Mended, inspected: usize) -> String {
    let mut note = format!("source:{}", name_of(source));
    let mut before = ",mended:";
    for (name, _) in mendings(mended) {
        note.push_str(before);
        note.push_str(name);
        before = "+";
    }
    match inspected {
        0 => note,
        bytes => format!("{note},inspected:{bytes}"),
    }
}

fn mendings(mended: Mended) -> impl Iterator<Item = (&'static str, Counter)> {
    let all = [
        (mended.spelling, "spelling", Counter::MendedSpelling),
        (mended.repeated, "repeated", Counter::MendedRepeated),
        (mended.client, "client", Counter::MendedClient),
        (mended.project, "project", Counter::MendedProject),
    ];
    all.into_iter()
        .filter_map(|(is_mended, name, counter)| is_mended.then_some((name, counter)))
}

fn name_of(source: Source) -> &'static str {
    match source {
        Source::Header => "header",
        Source::Body => "body",
        Source::Learned => "learned",
        Source::RequestLine => "request_line",
        Source::Project => "project",
        Source::Fixed => "fixed",
        Source::None => "none",
    }
}

fn counter_of(source: Source) -> Counter {
    match source {
        Source::Header => Counter::SourceHeader,
        Source::Body => Counter::SourceBody,
        Source::Learned => Counter::SourceLearned,
        Source::RequestLine => Counter::SourceRequestLine,
        Source::Project => Counter::SourceProject,
        Source::Fixed => Counter::SourceFixed,
        Source::None => Counter::SourceNone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_the_words_of_the_metrics() {
        let mended = Mended {
            spelling: true,
            repeated: true,
            project: true,
            client: true,
        };
        assert_eq!(
            text(Source::RequestLine, mended, 7),
            "source:request_line,mended:spelling+repeated+client+project,inspected:7"
        );
        assert_eq!(text(Source::None, Mended::default(), 0), "source:none");
    }
}
