//! What is told of an episode.

use std::fmt;

use yorkies_tests::Usage;

/// What an episode was.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) calls: usize,
    pub(crate) ended: usize,
    pub(crate) assignments: usize,
    pub(crate) unknown: usize,
    pub(crate) at_first: Usage,
    pub(crate) now: Usage,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            ended,
            assignments,
            unknown,
            at_first,
            now,
        } = self;
        write!(
            f,
            "{calls} calls under {assignments} assignments ({unknown} of them unknown), \
             {ended} streams ended; control plane: threads {} -> {}, descriptors {} -> {}, \
             memory {} -> {} KiB",
            at_first.threads,
            now.threads,
            at_first.descriptors,
            now.descriptors,
            at_first.rss_bytes / 1024,
            now.rss_bytes / 1024,
        )
    }
}
