//! Members that Yorkie's servers name in their database.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Problem;
use crate::config::check::in_range;

/// Members as Yorkie's servers know each other: each writes a row in their
/// `MongoDB`, again and again. A row without a new heartbeat for twice its time,
/// by the clock of `MongoDB`, is of a server that is gone. Rows tell no
/// incarnation: a server's may be made anew while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yorkie {
    /// The `MongoDB`, as `mongodb://HOST:PORT` or `mongodb+srv://HOST`, with options
    /// behind if need be, but without a user. This or `uri_file`.
    #[serde(default)]
    pub uri: Option<String>,
    /// File with such a URI that may have a user and a password; it is read for
    /// each connection. The user has to read the collection `clusternodes`.
    #[serde(default)]
    pub uri_file: Option<PathBuf>,
    /// Yorkie's database there, as its `--mongo-yorkie-database`.
    #[serde(default = "database")]
    pub database: String,
    /// How often each server writes its row, as `RenewalInterval` of Yorkie's
    /// `Membership`, a second to a minute.
    #[serde(default = "heartbeat", with = "humantime_serde")]
    pub heartbeat: Duration,
    /// Port of members whose `--backend-rpc-addr` has none. Without it they are
    /// refused.
    #[serde(default)]
    pub port: Option<u16>,
}

impl Yorkie {
    /// The file that it names, by its setting.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let file = self.uri_file.iter();
        file.map(|path| ("registry.yorkie.uri_file", path))
    }
}

const HEARTBEATS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(1);

const SCHEMES: [&str; 2] = ["mongodb://", "mongodb+srv://"];

fn database() -> String {
    "yorkie-meta".to_owned()
}

fn heartbeat() -> Duration {
    Duration::from_secs(5)
}

pub(super) fn check(yorkie: &Yorkie) -> Result<(), Problem> {
    let Yorkie {
        uri,
        uri_file,
        database,
        heartbeat,
        port,
    } = yorkie;
    if cfg!(not(feature = "yorkie")) {
        let reason = "is not there: this xds-server was built without the feature yorkie";
        return Err(("registry.yorkie", reason.to_owned()));
    }
    if uri.is_some() == uri_file.is_some() {
        let reason = "expected or uri_file, one of them";
        return Err(("registry.yorkie.uri", reason.to_owned()));
    }
    if let Some(uri) = uri {
        check_uri(uri)?;
    }
    if database.is_empty() {
        let reason = "\"\" is not usable: expected the name of Yorkie's database";
        return Err(("registry.yorkie.database", reason.to_owned()));
    }
    if *port == Some(0) {
        let reason = "0 is not usable: expected 1 to 65535";
        return Err(("registry.yorkie.port", reason.to_owned()));
    }
    in_range("registry.yorkie.heartbeat", *heartbeat, &HEARTBEATS)
}

/// What may have a password is not shown, and stands in a file of its own.
fn check_uri(uri: &str) -> Result<(), Problem> {
    let reason = if uri.contains('@') || uri.to_ascii_lowercase().contains("password") {
        "has a user or a password: expected in a file, and that in uri_file".to_owned()
    } else if SCHEMES.iter().any(|scheme| uri.starts_with(scheme)) {
        return Ok(());
    } else {
        format!("{uri:?} is not usable: expected mongodb://HOST:PORT or mongodb+srv://HOST")
    };
    Err(("registry.yorkie.uri", reason))
}
