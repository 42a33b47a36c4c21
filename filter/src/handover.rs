//! How the VMs of an older module hear of assignments.
//!
//! Another module, another VM: Envoy gives new configurations to the VM of the
//! newest module alone, while the open streams of an older one can be ended by
//! nobody but itself. So whoever is configured publishes the configuration in
//! shared data, and a VM that finds one ahead of its own there takes it over.
//!
//! Two values, so that a look costs little: how new the configuration is, and
//! behind the same bytes the configuration. Neither ever goes back. Later
//! modules must keep the first nine bytes as they are; what follows has a
//! version of its own ([`sharding::FORMAT`]).

use std::cell::Cell;

use sharding::{Drain, FilterConfig};

use crate::host::{Host, HostError};

const HEAD: &str = "yorkies.config.head";
const CONFIG: &str = "yorkies.config";

/// A version that no value has: writes only what is not there yet.
const NEVER: u32 = u32::MAX;

/// Writers that may come between ours before we leave it to them.
const ATTEMPTS: usize = 8;

/// How new a configuration is: a release comes after the hold of its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Epoch of its assignment.
    pub epoch: u64,
    /// Whether streams that moved may be ended.
    pub is_released: bool,
}

impl Head {
    /// That of a configuration.
    #[must_use]
    pub fn of(config: &FilterConfig) -> Self {
        Self {
            epoch: config.epoch,
            is_released: config.drain != Drain::Hold,
        }
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = self.epoch.to_be_bytes().to_vec();
        bytes.push(self.is_released.into());
        bytes
    }

    fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (epoch, rest) = bytes.split_first_chunk()?;
        let (released, rest) = rest.split_first()?;
        let head = Self {
            epoch: u64::from_be_bytes(*epoch),
            is_released: *released != 0,
        };
        Some((head, rest))
    }
}

/// Publishes a configuration, unless one as new is there.
///
/// # Errors
/// When shared data cannot be read or written.
pub fn publish(host: &impl Host, head: Head, json: &[u8]) -> Result<(), HostError> {
    // Every VM of the process is given the same: one of them writes it.
    if let Ok((there, _)) = host.shared(HEAD)
        && Head::split(&there).is_some_and(|(there, _)| there >= head)
    {
        return Ok(());
    }
    let config = [head.bytes().as_slice(), json].concat();
    // Whoever sees the head finds a configuration at least as new.
    raise(host, CONFIG, head, &config)?;
    raise(host, HEAD, head, &head.bytes())
}

fn raise(host: &impl Host, name: &str, head: Head, value: &[u8]) -> Result<(), HostError> {
    for _ in 0..ATTEMPTS {
        let version = match host.shared(name) {
            Ok((there, _)) if Head::split(&there).is_some_and(|(there, _)| there >= head) => {
                return Ok(());
            }
            Ok((_, version)) => version,
            Err(HostError::NotFound) => NEVER,
            Err(error) => return Err(error),
        };
        match host.set_shared(name, value, version) {
            Err(HostError::CasMismatch) => {}
            done => return done,
        }
    }
    Err(HostError::CasMismatch)
}

/// What a VM has seen ahead of itself.
#[derive(Debug, Default)]
pub struct Handover {
    /// Whether the last look found something ahead.
    is_behind: Cell<bool>,
    /// Whether the VM is of an older module, as far as it knows.
    is_left: Cell<bool>,
    refused: Cell<Option<Head>>,
}

impl Handover {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            is_behind: Cell::new(false),
            is_left: Cell::new(false),
            refused: Cell::new(None),
        }
    }

    /// Envoy configures the VM itself.
    pub fn configured(&self) {
        self.is_behind.set(false);
        self.is_left.set(false);
    }

    /// It cannot be read: another is waited for.
    pub fn refuse(&self, head: Head) {
        self.refused.set(Some(head));
    }

    /// The configuration to take over, if there is one ahead of `own`.
    ///
    /// A worker that is only a moment behind the others will be configured by
    /// Envoy, and not before it knows the new members. So the first look only
    /// takes note; from the second on the VM knows that it is left to itself.
    ///
    /// # Errors
    /// When shared data cannot be read.
    pub fn look(&self, host: &impl Host, own: Head) -> Result<Option<(Head, Vec<u8>)>, HostError> {
        let ahead = |found: Result<(Vec<u8>, u32), HostError>| match found {
            Ok((bytes, _)) => Ok(Head::split(&bytes)
                .filter(|(head, _)| *head > own && Some(*head) != self.refused.get())
                .map(|(head, json)| (head, json.to_vec()))),
            Err(HostError::NotFound) => Ok(None),
            Err(error) => Err(error),
        };
        if ahead(host.shared(HEAD))?.is_none() {
            self.is_behind.set(false);
            return Ok(None);
        }
        if !self.is_behind.replace(true) && !self.is_left.get() {
            return Ok(None);
        }
        self.is_left.set(true);
        ahead(host.shared(CONFIG))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::MockHost;

    fn head(epoch: u64, is_released: bool) -> Head {
        Head { epoch, is_released }
    }

    fn json(found: Option<(Head, Vec<u8>)>) -> Option<String> {
        found.map(|(_, json)| String::from_utf8(json).unwrap())
    }

    #[test]
    fn what_is_published_never_goes_back() {
        let host = MockHost::default();
        for (head, text) in [
            (head(7, false), "7"),
            (head(6, true), "6"),
            (head(7, true), "7 released"),
            (head(7, false), "7 again"),
        ] {
            publish(&host, head, text.as_bytes()).unwrap();
        }
        let old = Handover::new();
        assert_eq!(old.look(&host, head(6, true)), Ok(None));
        let found = old.look(&host, head(6, true)).unwrap();
        assert_eq!(json(found).as_deref(), Some("7 released"));
    }

    #[test]
    fn a_worker_that_is_a_moment_late_waits_for_its_own() {
        let host = MockHost::default();
        let late = Handover::new();
        assert_eq!(late.look(&host, head(6, true)), Ok(None));
        publish(&host, head(7, false), b"7").unwrap();
        assert_eq!(late.look(&host, head(6, true)), Ok(None));
        late.configured();
        assert_eq!(late.look(&host, head(7, false)), Ok(None));
        publish(&host, head(7, true), b"r").unwrap();
        assert_eq!(late.look(&host, head(7, false)), Ok(None));
    }

    #[test]
    fn a_vm_that_was_left_takes_the_next_ones_at_once() {
        let host = MockHost::default();
        let old = Handover::new();
        publish(&host, head(7, false), b"7").unwrap();
        assert_eq!(old.look(&host, head(6, true)), Ok(None));
        assert!(old.look(&host, head(6, true)).unwrap().is_some());
        assert_eq!(old.look(&host, head(7, false)), Ok(None));
        publish(&host, head(7, true), b"r").unwrap();
        let found = old.look(&host, head(7, false)).unwrap();
        assert_eq!(json(found).as_deref(), Some("r"));
    }

    #[test]
    fn what_was_refused_is_not_fetched_again() {
        let host = MockHost::default();
        let old = Handover::new();
        publish(&host, head(7, false), b"7").unwrap();
        old.look(&host, head(6, true)).unwrap();
        let (refused, _) = old.look(&host, head(6, true)).unwrap().unwrap();
        old.refuse(refused);
        assert_eq!(old.look(&host, head(6, true)), Ok(None));
        assert_eq!(old.look(&host, head(6, true)), Ok(None));
        publish(&host, head(8, false), b"8").unwrap();
        assert!(old.look(&host, head(6, true)).unwrap().is_some());
    }

    #[test]
    fn writers_that_come_between_are_no_harm() {
        let host = MockHost::default();
        host.disturb_next_writes(3);
        publish(&host, head(7, false), b"7").unwrap();
        host.disturb_next_writes(99);
        let lost = publish(&host, head(8, false), b"8");
        assert_eq!(lost, Err(HostError::CasMismatch));
    }

    #[test]
    fn garbage_in_shared_data_is_written_over() {
        let host = MockHost::default();
        host.set_shared(HEAD, b"x", 0).unwrap();
        host.set_shared(CONFIG, b"", 0).unwrap();
        let vm = Handover::new();
        assert_eq!(vm.look(&host, head(1, false)), Ok(None));
        publish(&host, head(7, false), b"7").unwrap();
        vm.look(&host, head(6, false)).unwrap();
        assert!(vm.look(&host, head(6, false)).unwrap().is_some());
    }
}
