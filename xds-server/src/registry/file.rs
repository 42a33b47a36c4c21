//! Members from a YAML file, watched for changes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;
use sharding::{Member, Roster, RosterError};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::config::one_line;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Option<String>,
    #[serde(deserialize_with = "address")]
    address: SocketAddr,
    #[serde(default = "one", deserialize_with = "weight")]
    weight: u32,
    incarnation: Option<String>,
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

/// Reads the roster in the members file at `path`.
///
/// # Errors
/// The first thing in it that cannot be used, with its line.
pub fn load(path: &Path) -> Result<Roster, MembersFileError> {
    parse(&read(path)?, path)
}

/// The roster in the members file at `path` once it is stable.
async fn load_stable(
    path: &Path,
    touches: &mut mpsc::Receiver<()>,
) -> Result<Roster, MembersFileError> {
    let mut text = Some(read(path)?);
    let mut rested = Instant::now() + STABLE;
    loop {
        let is_late = tokio::select! {
            () = sleep_until(rested) => true,
            // The rest begins when a change is seen, not when somebody looks again.
            () = touched(touches) => false,
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
            let Entry {
                id,
                address,
                weight,
                incarnation,
            } = entry.value;
            let id = id.unwrap_or_else(|| address.to_string());
            // The last line of a repeated id or address is the one to complain about.
            lines.insert(id.clone(), line);
            Member {
                incarnation,
                ..Member::new(id, address, weight)
            }
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

/// Watches the members file at `path` and hands every good, changed roster to
/// `rosters` until nobody listens there any more. A bad edit is logged, once.
///
/// The folder is watched, not the file: an atomic replacement, by `rename` or
/// by Kubernetes' symbolic links, gives the name to another file.
pub async fn watch(path: PathBuf, rosters: watch::Sender<Option<Roster>>) {
    let (sender, mut touches) = mpsc::channel(1);
    let _watcher = watch_folder(&path, sender);
    let mut last_problem = None;
    loop {
        match load_stable(&path, &mut touches).await {
            Ok(roster) => {
                last_problem = None;
                offer(&path, roster, &rosters);
            }
            Err(problem) => {
                let problem = problem.to_string();
                if last_problem.as_ref() != Some(&problem) {
                    error!(error = %problem, "Members file refused");
                    last_problem = Some(problem);
                }
            }
        }
        tokio::select! {
            () = rosters.closed() => return,
            () = touched(&mut touches) => {}
            () = tokio::time::sleep(RECHECK) => {}
        }
    }
}

fn offer(path: &Path, roster: Roster, rosters: &watch::Sender<Option<Roster>>) {
    let members = roster.members().len();
    let changed = rosters.send_if_modified(|current| {
        let changed = current.as_ref() != Some(&roster);
        if changed {
            *current = Some(roster);
        }
        changed
    });
    if changed {
        info!(path = %path.display(), members, "Members file read");
    }
}

/// Ends once something was touched; never when nothing is watched.
async fn touched(touches: &mut mpsc::Receiver<()>) {
    if touches.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

fn watch_folder(path: &Path, touches: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel already says that something was touched.
            let _ = touches.try_send(());
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            warn!(%error, folder = %folder.display(), "Folder cannot be watched, its file is read periodically");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn parse(text: &str) -> Result<Roster, String> {
        super::parse(text, Path::new("members.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn id_and_weight_have_defaults() {
        let roster =
            parse("members:\n- address: 10.0.0.1:8080\n- {id: b, address: '[::1]:1', weight: 3}\n")
                .unwrap();
        let [first, second] = roster.members() else {
            panic!("{roster:?}")
        };
        assert_eq!((first.id.as_str(), first.weight), ("10.0.0.1:8080", 1));
        assert_eq!((second.id.as_str(), second.weight), ("b", 3));
    }

    #[test]
    fn a_bad_file_is_refused_with_its_line_and_reason() {
        for (text, parts) in [
            ("members: []\n", ["members.yaml: lists no members", ""]),
            ("", ["members.yaml: ", ""]),
            (
                "members:\n- {id: a}\n",
                ["missing field `address`", "line 2"],
            ),
            (
                "members:\n- {address: 'nowhere:1'}\n",
                ["address \"nowhere:1\" is not usable", "line 2"],
            ),
            (
                "members:\n- {address: '1.1.1.1:1', wait: 1}\n",
                ["unknown field `wait`", "line 2"],
            ),
            (
                "members:\n- {address: '1.1.1.1:1', weight: -1}\n",
                ["weight -1 is not usable", "line 2"],
            ),
            (
                "members:\n- {id: a, address: '1.1.1.1:1'}\n- {id: a, address: '1.1.1.1:2'}\n",
                ["member id \"a\" is given twice", "at line 3"],
            ),
            (
                "members:\n- {id: b, address: '1.1.1.1:1'}\n\n- {id: a, address: '1.1.1.1:1'}\n",
                [
                    "address 1.1.1.1:1 is given to both \"a\" and \"b\"",
                    "at line 4",
                ],
            ),
            (
                "members:\n- {id: a, address: '1.1.1.1:1', weight: 0}\n",
                ["member \"a\" has weight 0", "at line 2"],
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    async fn next(rosters: &mut watch::Receiver<Option<Roster>>) -> Vec<String> {
        tokio::time::timeout(Duration::from_secs(20), rosters.changed())
            .await
            .expect("a change is seen in time")
            .expect("the watcher lives");
        let rosters = rosters.borrow_and_update();
        let members = rosters.as_ref().expect("a roster").members();
        members.iter().map(|member| member.id.clone()).collect()
    }

    /// A cut address can be a valid one, so what is half-written can look good.
    #[tokio::test]
    async fn a_file_is_not_taken_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members.yaml");
        let entry = |n| format!("- {{id: m{n}, address: '10.0.0.{n}:8080'}}");
        let entries: Vec<_> = (1..=50).map(entry).collect();
        let whole = format!("members:\n{}\n", entries.join("\n"));
        fs::write(&path, &whole).unwrap();
        let (sender, mut rosters) = watch::channel(None);
        tokio::spawn(watch(path.clone(), sender));
        assert_eq!(next(&mut rosters).await.len(), 50);

        let added = format!("{whole}- {{id: new, address: '10.0.1.1:8080'}}\n");
        let cut = added.match_indices('\n').nth(20).unwrap().0;
        let mut file = fs::File::create(&path).unwrap();
        for part in [&added[..cut], &added[cut..]] {
            file.write_all(part.as_bytes()).unwrap();
            // Longer than an event takes to arrive: the writer's own pace, which nothing can be waited for.
            tokio::time::sleep(STABLE / 2).await;
        }
        assert_eq!(next(&mut rosters).await.len(), 51);
    }

    /// Something else in the folder is touched first: by the name under which the
    /// new file was written, by our own log or state.
    #[tokio::test(start_paused = true)]
    async fn a_change_rests_once_whatever_was_touched_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members.yaml");
        fs::write(&path, "members: [{id: a, address: '1.1.1.1:1'}]").unwrap();
        let (touch, mut touches) = mpsc::channel(1);
        let start = Instant::now();
        let change = async {
            tokio::time::sleep(STABLE / 2).await;
            fs::write(&path, "members: [{id: b, address: '1.1.1.1:1'}]").unwrap();
            touch.send(()).await.unwrap();
            tokio::time::sleep(STABLE / 2).await;
            touch.send(()).await.unwrap();
        };
        let (roster, ()) = tokio::join!(load_stable(&path, &mut touches), change);
        assert_eq!(roster.unwrap().members()[0].id, "b");
        let took = start.elapsed();
        assert!(took < STABLE * 3 / 2 + STABLE / 10, "{took:?}");
        assert!(took >= STABLE * 3 / 2, "{took:?}");
    }

    #[tokio::test]
    async fn edits_in_place_and_replacements_are_seen_and_bad_ones_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members.yaml");
        fs::write(&path, "members: [{id: a, address: '1.1.1.1:1'}]").unwrap();
        let (sender, mut rosters) = watch::channel(None);
        let watcher = tokio::spawn(watch(path.clone(), sender));
        assert_eq!(next(&mut rosters).await, ["a"]);

        fs::write(&path, "members: [{id: b, address: '1.1.1.1:1'}]").unwrap();
        assert_eq!(next(&mut rosters).await, ["b"]);

        fs::write(&path, "members: [{id: ").unwrap();
        let mut replacement = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        write!(replacement, "members: [{{id: c, address: '1.1.1.1:1'}}]").unwrap();
        replacement.persist(&path).unwrap();
        assert_eq!(next(&mut rosters).await, ["c"]);

        fs::remove_file(&path).unwrap();
        fs::write(&path, "members: [{id: d, address: '1.1.1.1:1'}]").unwrap();
        assert_eq!(next(&mut rosters).await, ["d"]);

        drop(rosters);
        tokio::time::timeout(Duration::from_secs(20), watcher)
            .await
            .expect("the watcher ends when nobody listens")
            .unwrap();
    }
}
