//! A member as it is written down, in a file or by a program.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sharding::Member;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Stable name, and what Envoy hashes for the member: one that returns
    /// elsewhere under the same id gets the same keys. Its address, if left out;
    /// in etcd what follows the prefix in its key.
    id: Option<String>,
    /// Where it serves. Envoy takes no names here, so neither does this.
    #[serde(deserialize_with = "address")]
    pub(super) address: SocketAddr,
    /// Relative share of the keys, at least 1.
    #[serde(default = "one", deserialize_with = "weight")]
    weight: u32,
    /// Tells one run of the server from the next, so that `plan` knows whose
    /// caches may be stale. It decides over no key.
    incarnation: Option<String>,
    /// Port at which it is asked for its health. Left out, that of
    /// `health.port`.
    health_port: Option<NonZeroU16>,
}

impl Entry {
    /// The member, named so unless it says otherwise.
    pub(super) fn into_member(self, default_id: String) -> Member {
        let Self {
            id,
            address,
            weight,
            incarnation,
            health_port,
        } = self;
        Member {
            incarnation,
            health_port,
            ..Member::new(id.unwrap_or(default_id), address, weight)
        }
    }
}

fn one() -> u32 {
    1
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "address {text:?} is not usable: expected IP:PORT, or [IP]:PORT for version 6"
        ))
    })
}

fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(deserializer)?;
    u32::try_from(number).map_err(|_| {
        D::Error::custom(format!(
            "weight {number} is not usable: expected 1 to {}",
            u32::MAX
        ))
    })
}
