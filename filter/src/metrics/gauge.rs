//! Gauges of one VM. A gauge of Envoy is one for the whole process, so each VM
//! only adds and takes away what its own has changed by.

use std::cell::{Cell, OnceCell};

use crate::host::{Host, HostError};

/// One gauge; see the table of [`metrics`](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the table says it
pub enum Gauge {
    OpenStreams,
    MisplacedStreams,
    DrainStopped,
}

/// In the order of [`Gauge`].
pub(super) const NAMES: [&str; 3] = [
    "yorkies.open_streams",
    "yorkies.misplaced_streams",
    "yorkies.drain_stopped",
];

/// All gauges.
#[derive(Debug)]
pub struct Gauges {
    values: [Cell<u64>; NAMES.len()],
    /// What the host knows of.
    shown: [Cell<u64>; NAMES.len()],
    ids: OnceCell<[u32; NAMES.len()]>,
}

impl Gauges {
    pub(super) const fn new() -> Self {
        Self {
            values: [const { Cell::new(0) }; NAMES.len()],
            shown: [const { Cell::new(0) }; NAMES.len()],
            ids: OnceCell::new(),
        }
    }

    /// Sets a gauge.
    pub fn set(&self, gauge: Gauge, value: u64) {
        if let Some(cell) = self.values.get(gauge as usize) {
            cell.set(value);
        }
    }

    /// Sets all of them to zero: the VM ends.
    pub fn clear(&self) {
        for value in &self.values {
            value.set(0);
        }
    }

    pub(super) fn flush(&self, host: &impl Host) -> Result<(), HostError> {
        let ids = self.ids(host)?;
        for ((value, shown), id) in self.values.iter().zip(&self.shown).zip(ids) {
            let change = value.get().cast_signed() - shown.get().cast_signed();
            if change != 0 {
                host.move_gauge(*id, change)?;
                shown.set(value.get());
            }
        }
        Ok(())
    }

    pub(super) fn ids(&self, host: &impl Host) -> Result<&[u32; NAMES.len()], HostError> {
        if let Some(ids) = self.ids.get() {
            return Ok(ids);
        }
        let mut ids = [0; NAMES.len()];
        for (id, name) in ids.iter_mut().zip(NAMES) {
            *id = host.define_gauge(name)?;
        }
        Ok(self.ids.get_or_init(|| ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::MockHost;

    #[test]
    fn vms_share_a_gauge_and_give_back_their_own_part() {
        let host = MockHost::default();
        let vms = [Gauges::new(), Gauges::new()];
        for (vm, value) in vms.iter().zip([5, 2]) {
            vm.set(Gauge::OpenStreams, value);
            vm.flush(&host).unwrap();
        }
        assert_eq!(host.gauge("yorkies.open_streams"), 7);
        vms[0].set(Gauge::OpenStreams, 1);
        vms[0].flush(&host).unwrap();
        assert_eq!(host.gauge("yorkies.open_streams"), 3);
        vms[1].clear();
        vms[1].flush(&host).unwrap();
        assert_eq!(host.gauge("yorkies.open_streams"), 1);
    }

    #[test]
    fn what_does_not_arrive_is_shown_another_time() {
        let host = MockHost::default();
        let gauges = Gauges::new();
        gauges.ids(&host).unwrap();
        gauges.set(Gauge::MisplacedStreams, 4);
        host.fail_with(HostError::InternalFailure);
        assert!(gauges.flush(&host).is_err());
        host.recover();
        gauges.flush(&host).unwrap();
        gauges.flush(&host).unwrap();
        assert_eq!(host.gauge("yorkies.misplaced_streams"), 4);
    }
}
