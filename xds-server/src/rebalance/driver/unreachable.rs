//! VMs that ignore every assignment, since their epoch is too far ahead to be
//! overtaken.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::warn;

use crate::rebalance::view::View;

/// Those that were told of, by node and number.
#[derive(Debug, Default)]
pub(super) struct Unreachable(BTreeSet<(Arc<str>, u64)>);

impl Unreachable {
    /// Names those of `view` that are beyond `epoch`, once each; the machine has
    /// overtaken all that it can. Returns how many are new.
    pub(super) fn look(&mut self, view: &View, epoch: u64) -> usize {
        let ahead = view.vms.iter().filter(|vm| vm.epoch > epoch);
        let mut now = BTreeSet::new();
        let mut news = 0;
        for vm in ahead {
            let name = (Arc::clone(&vm.node), vm.vm);
            if !self.0.contains(&name) {
                news += 1;
                warn!(
                    node = &*vm.node,
                    vm = vm.vm,
                    reported = vm.epoch,
                    epoch,
                    "VM is at a later epoch and ignores every assignment: restart its proxy"
                );
            }
            now.insert(name);
        }
        self.0 = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use sharding::Phase;

    use super::*;
    use crate::rebalance::view::VmView;

    #[test]
    fn each_vm_that_is_ahead_is_told_of_once_until_it_is_gone() {
        let vm = |vm, epoch| VmView {
            node: "a".into(),
            vm,
            epoch,
            phase: Phase::Hold,
            misplaced: 0,
            is_suspect: false,
        };
        let of = |vms: &[VmView]| View {
            vms: vms.to_vec(),
            ..View::default()
        };
        let mut unreachable = Unreachable::default();
        let both = of(&[vm(1, 8), vm(2, 7), vm(3, 6)]);
        assert_eq!(unreachable.look(&both, 7), 1);
        assert_eq!(unreachable.look(&both, 7), 0);
        let more = of(&[vm(1, 8), vm(2, u64::MAX)]);
        assert_eq!(unreachable.look(&more, 7), 1);
        assert_eq!(unreachable.look(&View::default(), 7), 0);
        assert_eq!(unreachable.look(&both, 7), 1);
    }
}
