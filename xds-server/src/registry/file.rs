//! Members from a YAML file, watched for changes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;
use sharding::{Roster, RosterError};
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

use super::entry::Entry;
use super::sources::Feed;
use crate::config::one_line;
use crate::files::{LookAgain, Touches};

/// A file counts as written when two reads so far apart find the same, so that
/// an edit in place is not taken half-written.
const STABLE: Duration = Duration::from_millis(250);

/// The file is read again after this long even without an event: some file
/// systems send none.
const RECHECK: Duration = Duration::from_secs(2);

/// Why a members file is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MembersFileError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {reason}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// Not YAML, or not of the expected shape; the message has line and column.
    #[error("{path}: {message}", path = .path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// Members that cannot form a roster.
    #[error("{path}: {reason}{}", .line.map(|line| format!(" at line {line}")).unwrap_or_default(), path = .path.display())]
    Roster {
        /// The file.
        path: PathBuf,
        /// Line of the member that breaks the rule, from 1, if it is one.
        line: Option<u64>,
        /// The rule.
        reason: RosterError,
    },
    /// A list without members: more likely a mistake than a wish.
    #[error("{path}: lists no members: expected at least one", path = .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembersFile {
    members: Vec<Spanned<Entry>>,
}

/// Reads the roster in the members file at `path`.
///
/// # Errors
/// The first thing in it that cannot be used, with its line.
pub fn load(path: &Path) -> Result<Roster, MembersFileError> {
    parse(&read(path)?, path)
}

/// The roster in the members file at `path` once it is stable.
async fn load_stable(path: &Path, touches: &mut Touches) -> Result<Roster, MembersFileError> {
    let mut text = Some(read(path)?);
    let mut rested = Instant::now() + STABLE;
    loop {
        let is_late = tokio::select! {
            () = sleep_until(rested) => true,
            // The rest begins when a change is seen, not when somebody looks again.
            () = touches.next() => false,
        };
        let again = if is_late {
            Some(read(path)?)
        } else {
            read(path).ok()
        };
        match again {
            Some(again) if text.as_ref() == Some(&again) => {
                if is_late {
                    return parse(&again, path);
                }
            }
            again => {
                text = again;
                rested = Instant::now() + STABLE;
            }
        }
    }
}

fn read(path: &Path) -> Result<String, MembersFileError> {
    let text = fs::metadata(path).and_then(|file| {
        // Reading a pipe could wait for ever.
        if file.is_file() {
            fs::read_to_string(path)
        } else {
            Err(io::Error::other("not a regular file"))
        }
    });
    text.map_err(|reason| MembersFileError::Read {
        path: path.to_owned(),
        reason,
    })
}

fn parse(text: &str, path: &Path) -> Result<Roster, MembersFileError> {
    let file: MembersFile =
        serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
            MembersFileError::Yaml {
                path: path.to_owned(),
                message: one_line(&error),
            }
        })?;
    if file.members.is_empty() {
        return Err(MembersFileError::Empty {
            path: path.to_owned(),
        });
    }
    let mut lines = BTreeMap::new();
    let members = file
        .members
        .into_iter()
        .map(|entry| {
            let line = entry.defined.line();
            let default = entry.value.address.to_string();
            let member = entry.value.into_member(default);
            // The last line of a repeated id or address is the one to complain about.
            lines.insert(member.id.clone(), line);
            member
        })
        .collect();
    Roster::new(members).map_err(|reason| MembersFileError::Roster {
        path: path.to_owned(),
        line: culprit(&reason, &lines),
        reason,
    })
}

/// Room for as many members as a roster can have; the default limits are for
/// files from strangers.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: None,
    }
}

fn culprit(reason: &RosterError, lines: &BTreeMap<String, u64>) -> Option<u64> {
    let line = |id: &String| lines.get(id).copied();
    match reason {
        RosterError::BadId(id)
        | RosterError::DuplicateId(id)
        | RosterError::ZeroWeight(id)
        | RosterError::BadAddress { id, .. } => line(id),
        RosterError::DuplicateAddress { first, second, .. } => line(first).max(line(second)),
        _ => None,
    }
}

/// Follows the members file at `path` for ever.
pub(super) async fn watch(path: PathBuf, feed: Feed, look_again: LookAgain) {
    let mut touches = look_again.follow([&*path]);
    loop {
        match load_stable(&path, &mut touches).await {
            Ok(roster) => feed.good(roster),
            Err(problem) => feed.bad(&problem),
        }
        tokio::select! {
            () = touches.next() => {}
            () = tokio::time::sleep(RECHECK) => {}
        }
    }
}

#[cfg(test)]
mod tests;
