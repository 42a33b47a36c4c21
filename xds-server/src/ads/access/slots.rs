//! How many connections there may be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Access, Refusal};

/// Counts connections by address.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: Access,
    taken: Mutex<HashMap<IpAddr, u32>>,
}

/// Room for one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    address: IpAddr,
}

impl Slots {
    pub(crate) fn new(access: Access) -> Self {
        let taken = Mutex::default();
        Self(Arc::new(Inner { access, taken }))
    }

    /// Room for one more connection from that address, if there is.
    pub(crate) fn take(&self, address: IpAddr) -> Result<Slot, Refusal> {
        // One host, whichever version of the protocol it uses.
        let address = address.to_canonical();
        let limits = &self.0.access.limits;
        let mut taken = self.taken();
        if sum(&taken) >= limits.connections {
            return Err(Refusal::Connections);
        }
        if taken.get(&address).copied().unwrap_or_default() >= limits.connections_per_address {
            return Err(Refusal::Address);
        }
        *taken.entry(address).or_default() += 1;
        self.show(&taken);
        let slots = self.clone();
        Ok(Slot { slots, address })
    }

    fn show(&self, taken: &HashMap<IpAddr, u32>) {
        self.0.access.refusals.show_connections(sum(taken));
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        if let Some(of_address) = taken.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.remove(&self.address);
            }
        }
        self.slots.show(&taken);
    }
}

fn sum(taken: &HashMap<IpAddr, u32>) -> u32 {
    taken.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn there_is_room_for_so_many_of_an_address_and_of_all() {
        let limits = Limits {
            connections: 3,
            connections_per_address: 2,
            ..Limits::default()
        };
        let slots = Slots::new(Access {
            limits,
            ..Access::default()
        });
        let take = |address: &str| slots.take(address.parse().unwrap());
        let first = take("10.0.0.1").unwrap();
        let _second = take("::ffff:10.0.0.1").unwrap();
        assert_eq!(take("10.0.0.1").unwrap_err(), Refusal::Address);
        let third = take("10.0.0.2").unwrap();
        assert_eq!(take("10.0.0.3").unwrap_err(), Refusal::Connections);
        drop(third);
        assert_eq!(take("10.0.0.1").unwrap_err(), Refusal::Address);
        drop(first);
        assert!(take("10.0.0.1").is_ok());
        assert_eq!(slots.taken().len(), 1);
    }
}
