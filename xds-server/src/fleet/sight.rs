//! Which members requests do not reach.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::vms::Vm;

/// What the proxies that report see of the members. Each counts once, however
/// many VMs it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// Proxies that report.
    pub proxies: u32,
    /// By member, those of them through which requests do not reach it.
    pub unreached: BTreeMap<String, u32>,
    /// By member, those, and those at which calls wait for it.
    pub doubted: BTreeMap<String, u32>,
}

impl Sight {
    /// Of proxies that are connected: whoever only reports may be anybody.
    pub(super) fn of<'a>(
        vms: impl Iterator<Item = (&'a Arc<str>, &'a Vm)>,
        is_connected: impl Fn(&str) -> bool,
    ) -> Self {
        let mut nodes = BTreeSet::new();
        let (mut unreached, mut doubted) = (BTreeSet::new(), BTreeSet::new());
        for (node, vm) in vms.filter(|(node, _)| is_connected(node)) {
            nodes.insert(node);
            for member in &vm.report.members {
                let seen = (member.id.as_str(), node);
                if member.unreached > 0 {
                    unreached.insert(seen);
                }
                if member.unreached > 0 || member.unanswered > 0 {
                    doubted.insert(seen);
                }
            }
        }
        Self {
            proxies: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
            unreached: by_member(&unreached),
            doubted: by_member(&doubted),
        }
    }

    /// Proxies through which requests do not reach that member.
    #[must_use]
    pub fn unreached(&self, id: &str) -> u32 {
        self.unreached.get(id).copied().unwrap_or_default()
    }

    /// The same, and those at which calls wait for it: it may just be slow.
    #[must_use]
    pub fn doubted(&self, id: &str) -> u32 {
        self.doubted.get(id).copied().unwrap_or_default()
    }
}

fn by_member(seen: &BTreeSet<(&str, &Arc<str>)>) -> BTreeMap<String, u32> {
    let mut members = BTreeMap::new();
    for (id, _) in seen {
        *members.entry((*id).to_owned()).or_default() += 1;
    }
    members
}
