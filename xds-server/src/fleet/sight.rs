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
}

impl Sight {
    pub(super) fn of<'a>(vms: impl Iterator<Item = (&'a Arc<str>, &'a Vm)>) -> Self {
        let mut nodes = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for (node, vm) in vms {
            nodes.insert(node);
            let members = vm.report.members.iter();
            for member in members.filter(|member| member.unreached > 0) {
                seen.insert((member.id.as_str(), node));
            }
        }
        let mut unreached: BTreeMap<String, u32> = BTreeMap::new();
        for (id, _) in seen {
            *unreached.entry(id.to_owned()).or_default() += 1;
        }
        Self {
            proxies: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
            unreached,
        }
    }

    /// Proxies through which requests do not reach that member.
    #[must_use]
    pub fn unreached(&self, id: &str) -> u32 {
        self.unreached.get(id).copied().unwrap_or_default()
    }
}
