//! All hashes, cut so that one of each part speaks for it.

use sharding::{Assignment, HashRing, xxh64};

/// Most parts that are looked at one by one; beyond, a sample does.
const MAX_PARTS: usize = 1 << 21;

/// Hashes of a sample: a share is then right to about a third of a percent.
const SAMPLES: u64 = 1 << 17;

/// Hashes and how much each stands for.
pub(super) struct Parts {
    /// A hash of each part, and the share of all keys in it.
    pub(super) parts: Vec<(u64, f64)>,
    /// Whether they are a sample and not all.
    pub(super) sampled: bool,
    /// How many slots there are, if the parts are slots of a Maglev table.
    pub(super) slots: Option<usize>,
}

impl Parts {
    /// Parts in which every one of `assignments` has one owner, or a sample
    /// when their tables have different shapes.
    pub(super) fn of(assignments: &[&Assignment]) -> Self {
        slots(assignments)
            .or_else(|| arcs(assignments))
            .unwrap_or_else(sample)
    }
}

fn slots(assignments: &[&Assignment]) -> Option<Parts> {
    let sizes: Option<Vec<usize>> = assignments
        .iter()
        .map(|assignment| Some(assignment.maglev()?.members().len()))
        .collect();
    let sizes = sizes?;
    let slots = *sizes.first()?;
    let work = slots.saturating_mul(sizes.len().saturating_sub(1));
    if sizes.iter().any(|&size| size != slots) || work > 3 * MAX_PARTS {
        return None;
    }
    let share = 1.0 / slots as f64;
    Some(Parts {
        parts: (0..slots as u64).map(|slot| (slot, share)).collect(),
        sampled: false,
        slots: Some(slots),
    })
}

fn arcs(assignments: &[&Assignment]) -> Option<Parts> {
    let rings: Option<Vec<&HashRing>> = assignments.iter().map(|a| a.ring()).collect();
    let rings = rings?;
    if rings.iter().map(|ring| ring.entries().len()).sum::<usize>() > MAX_PARTS {
        return None;
    }
    let entries = rings.iter().flat_map(|ring| ring.entries());
    let mut ends: Vec<u64> = entries.map(|entry| entry.hash).collect();
    ends.sort_unstable();
    ends.dedup();
    let last = ends.last().copied().unwrap_or_default();
    // Everything up to an entry belongs to it; the first one gets what is behind the last as well.
    let starts = std::iter::once(last).chain(ends.iter().copied());
    let arcs = starts.zip(&ends);
    let arcs = arcs.map(|(start, &end)| (end, end.wrapping_sub(start) as f64 / 2_f64.powi(64)));
    Some(Parts {
        parts: arcs.collect(),
        sampled: false,
        slots: None,
    })
}

/// Hashes of numbers: spread as those of keys are, and the same each time.
fn sample() -> Parts {
    let share = 1.0 / SAMPLES as f64;
    let hashes = (0..SAMPLES).map(|number| xxh64(&number.to_le_bytes(), 0));
    Parts {
        parts: hashes.map(|hash| (hash, share)).collect(),
        sampled: true,
        slots: None,
    }
}
