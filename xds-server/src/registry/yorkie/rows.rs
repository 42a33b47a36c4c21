//! From rows to addresses and heartbeats.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mongodb::bson::Document;
use sharding::{Member, Roster};

use super::heartbeats::Row;

/// What the rows say, one by one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) servers: Vec<Row>,
    /// By id, of those who can be members.
    pub(super) addresses: BTreeMap<String, SocketAddr>,
    pub(super) refused: Vec<Refused>,
    /// Whether each row says whose it is.
    pub(super) is_whole: bool,
}

/// A row that does not count, or not as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) row: String,
    pub(super) reason: String,
}

impl Rows {
    /// `port` is that of servers whose row has none.
    pub(super) fn read(documents: &[Document], port: Option<u16>) -> Self {
        let mut this = Self {
            servers: Vec::new(),
            addresses: BTreeMap::new(),
            refused: Vec::new(),
            is_whole: true,
        };
        for document in documents {
            let Ok(id) = document.get_str("rpc_addr") else {
                let row = document.get("rpc_addr").map(ToString::to_string);
                this.refuse(&row.unwrap_or_default(), "rpc_addr is no text".to_owned());
                this.is_whole = false;
                continue;
            };
            match address(id, port) {
                Ok(address) => drop(this.addresses.insert(id.to_owned(), address)),
                Err(reason) => this.refuse(id, reason),
            }
            let age = age(document);
            if age.is_none() {
                this.refuse(id, "updated_at is no time".to_owned());
            }
            let id = id.to_owned();
            this.servers.push(Row { id, age });
        }
        this
    }

    fn refuse(&mut self, row: &str, reason: String) {
        let row = row.to_owned();
        self.refused.push(Refused { row, reason });
    }
}

/// How long ago the heartbeat was when the row was read.
fn age(document: &Document) -> Option<Duration> {
    let ms = |name| Some(document.get_datetime(name).ok()?.timestamp_millis());
    let age = ms("now")?.saturating_sub(ms("updated_at")?);
    // Clocks in one database may differ a little.
    Some(Duration::from_millis(u64::try_from(age).unwrap_or(0)))
}

fn address(id: &str, port: Option<u16>) -> Result<SocketAddr, String> {
    let without_port = || {
        let bare = id.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let ip: IpAddr = bare.unwrap_or(id).parse().ok()?;
        Some(SocketAddr::new(ip, port?))
    };
    let address: Option<SocketAddr> = id.parse().ok();
    let address = address.or_else(without_port).ok_or_else(|| {
        let or_without = if port.is_some() {
            ""
        } else {
            ", or registry.yorkie.port"
        };
        format!("rpc_addr is not usable: expected IP:PORT{or_without}")
    })?;
    // Of what can be wrong with a roster, most is wrong with one member.
    let alone = Roster::new(vec![Member::new(id, address, 1)]);
    alone.map(|_| address).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
