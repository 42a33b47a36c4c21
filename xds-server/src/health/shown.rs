//! What others may know of the members.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Where a member is on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It is in the roster.
    #[default]
    Serving,
    /// It is, though it fails.
    Failing,
    /// It has not passed its checks yet.
    Awaited,
    /// It was taken out of the roster, since it failed.
    Ejected,
    /// It was taken out of the roster by order.
    Drained,
}

impl MemberState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Serving,
        Self::Failing,
        Self::Awaited,
        Self::Ejected,
        Self::Drained,
    ];

    /// As it stands in metrics and in the status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Failing => "failing",
            Self::Awaited => "awaited",
            Self::Ejected => "ejected",
            Self::Drained => "drained",
        }
    }
}

/// A member that the registry lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberHealth {
    /// Its stable name.
    pub id: String,
    /// Where the registry has it.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// Which run of the server it is, if that is known.
    pub incarnation: Option<String>,
    /// Where it runs, if the registry knows.
    pub zone: Option<String>,
    /// Where it is on its way.
    pub state: MemberState,
    /// Why, unless it serves and all is well.
    pub why: Option<String>,
}

/// All members, and what was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// By id.
    pub members: Vec<MemberHealth>,
    /// Members that would be ejected, if not too many were.
    pub held_back: u64,
    /// Whether the last roster stays, since nobody of those that are listed
    /// serves.
    pub keeps_last: bool,
    /// Members that were ejected since the start.
    pub ejections: u64,
    /// Members that came back from that.
    pub readmissions: u64,
}
