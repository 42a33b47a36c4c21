//! What is told of an episode.

use std::fmt;

use crate::footprint::Footprint;

/// What an episode was.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) calls: usize,
    pub(crate) ended: usize,
    pub(crate) assignments: usize,
    pub(crate) unknown: usize,
    pub(crate) at_first: Footprint,
    pub(crate) now: Footprint,
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
             {ended} streams ended; control plane: tasks {} -> {}, threads {} -> {}, \
             descriptors {} -> {}, memory {} -> {} KiB",
            at_first.tasks,
            now.tasks,
            at_first.usage.threads,
            now.usage.threads,
            at_first.usage.descriptors,
            now.usage.descriptors,
            at_first.usage.rss_bytes / 1024,
            now.usage.rss_bytes / 1024,
        )
    }
}
