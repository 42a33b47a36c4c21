//! Members behind a name in the DNS, looked up again and again.
//!
//! A member is called by what stays the same while it lives: the target of its
//! SRV record, or its address. DNS does not say when a server was started
//! again, so these members have no incarnation.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use sharding::RosterError;
use thiserror::Error;
use tokio::time::sleep;

use super::loss::{Loss, LossError};
use super::pace::Pace;
use super::sources::Feed;
use crate::config::Dns;

mod found;
mod look;
mod servers;

pub(super) use look::Lookups;

use found::Found;

/// Most records of an answer that are taken for members: an answer beyond that
/// is about something else.
const MAX_RECORDS: usize = 1024;

/// Why a look-up does not count.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DnsError {
    /// There is nobody to ask.
    #[error("the system's name servers are not known: {0}")]
    System(NetError),
    /// No answer, or one that says no.
    #[error("{name} {record}: {reason}")]
    Refused {
        /// The name that was looked up.
        name: String,
        /// What was looked for.
        record: RecordType,
        /// What came of it.
        reason: NetError,
    },
    /// An answer without records: more likely a fault than a wish.
    #[error("{name} {record}: there are no such records ({code})")]
    Empty {
        /// The name that was looked up.
        name: String,
        /// What was looked for.
        record: RecordType,
        /// What the server said beside it.
        code: ResponseCode,
    },
    /// All that has to be asked takes too long.
    #[error("{name}: no full answer within {}", humantime::format_duration(*.limit))]
    Late {
        /// The name that was looked up.
        name: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// An address where no server can be.
    #[error("{owner} has address {address}, where no member can be")]
    Address {
        /// Whose address it is.
        owner: String,
        /// The address.
        address: IpAddr,
    },
    /// More records than there can be members.
    #[error("{name}: {count} records, expected at most {MAX_RECORDS}")]
    TooMany {
        /// The name that was looked up.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// The target of an SRV record is not one server.
    #[error("target {target} has {count} addresses: expected one, that of one member")]
    Addresses {
        /// The target.
        target: String,
        /// How many it has.
        count: usize,
    },
    /// A target cannot be the id of two members.
    #[error("target {target} is given twice, with different ports or weights")]
    Twice {
        /// The target.
        target: String,
    },
    /// Most members are gone, and were there a moment ago.
    #[error("{name}: {reason}")]
    Loss {
        /// The name that was looked up.
        name: String,
        /// How many.
        reason: LossError,
    },
    /// Members that cannot form a roster.
    #[error("{name}: {reason}")]
    Roster {
        /// The name that was looked up.
        name: String,
        /// The rule.
        reason: RosterError,
    },
}

impl DnsError {
    fn empty(name: &Name, record: RecordType, code: ResponseCode) -> Self {
        Self::Empty {
            name: name.to_ascii(),
            record,
            code,
        }
    }
}

/// Looks the name up for ever, when its TTL is over or [`Dns`] says so.
pub(super) async fn watch(settings: Dns, feed: Feed) {
    let pace = Pace {
        min: settings.min_interval,
        max: settings.max_interval,
    };
    let name = settings.name.to_ascii();
    let mut loss = Loss::new(settings.hold_loss);
    let mut lookups = Lookups::new(settings);
    let mut failures = 0;
    loop {
        let pause = match lookups.next().await {
            Ok(Found { roster, ttl }) => {
                failures = 0;
                // Nobody says that they mean to leave.
                match loss.take(&roster, &BTreeSet::new(), Instant::now()) {
                    Ok(()) => feed.good(roster),
                    Err(reason) => feed.bad(&DnsError::Loss {
                        name: name.clone(),
                        reason,
                    }),
                }
                pace.after_answer(ttl)
            }
            Err(problem) => {
                feed.bad(&problem);
                failures += 1;
                pace.after_failures(failures)
            }
        };
        sleep(pause).await;
    }
}
