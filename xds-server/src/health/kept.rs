//! What has to outlive a restart: who is drained, and who was ejected in which
//! incarnation. Kept beside the state file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sharding::Member;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::error;

use crate::state::replace;

/// How soon a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// How long an order waits to be saved.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// Members that serve no more, by order.
    pub(super) drained: BTreeSet<String>,
    /// Members that were ejected, or have left the registry, by id.
    pub(super) gone: BTreeMap<String, Gone>,
}

/// A member that was in the roster, when it left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gone {
    /// Which run of the server it was.
    pub(super) incarnation: Option<String>,
    /// Where it served.
    pub(super) address: SocketAddr,
    /// Why it was ejected, if it was.
    pub(super) why: String,
    /// How often it was ejected lately.
    pub(super) ejections: u32,
    /// Whether it was ejected: else it left the registry.
    pub(super) is_ejected: bool,
}

impl From<Member> for Gone {
    /// One that served, and is listed no more.
    fn from(member: Member) -> Self {
        Self {
            incarnation: member.incarnation,
            address: member.address,
            why: String::new(),
            ejections: 0,
            is_ejected: false,
        }
    }
}

/// Where that is, for this state file.
pub(super) fn path(state_file: &Path) -> PathBuf {
    state_file.with_extension("health.json")
}

/// Reads it; nothing when there is no such file, or none that can be used.
pub(super) fn read(path: &Path) -> Kept {
    let kept = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error),
    };
    kept.unwrap_or_else(|error| {
        let file = path.display();
        error!(%file, %error, "Drained and ejected members are not known, starting without them");
        Kept::default()
    })
}

/// Saves the newest, on a task of its own.
#[derive(Debug)]
pub(super) struct Store {
    newest: watch::Sender<(u64, Kept)>,
    saved: watch::Receiver<u64>,
}

impl Store {
    /// Saves to that file what differs from `kept`, which is there.
    pub(super) fn start(path: PathBuf, kept: Kept) -> Self {
        let (newest, receiver) = watch::channel((0, kept));
        let (sender, saved) = watch::channel(0);
        tokio::spawn(keep_saving(path, receiver, sender));
        Self { newest, saved }
    }

    /// Has that saved, unless it is.
    pub(super) fn save(&self, kept: Kept) {
        self.newest.send_if_modified(|(number, newest)| {
            let is_new = *newest != kept;
            if is_new {
                *number += 1;
                *newest = kept;
            }
            is_new
        });
    }

    /// Whether all is saved, in a moment.
    pub(super) fn settled(&self) -> impl Future<Output = bool> + Send + 'static {
        let number = self.newest.borrow().0;
        let mut saved = self.saved.clone();
        async move {
            let is_saved = saved.wait_for(|saved| *saved >= number);
            timeout(PATIENCE, is_saved)
                .await
                .is_ok_and(|saved| saved.is_ok())
        }
    }
}

async fn keep_saving(
    path: PathBuf,
    mut newest: watch::Receiver<(u64, Kept)>,
    saved: watch::Sender<u64>,
) {
    let path = Arc::new(path);
    while newest.changed().await.is_ok() {
        let (number, kept) = newest.borrow_and_update().clone();
        let file = Arc::clone(&path);
        let written = spawn_blocking(move || write(&file, &kept)).await;
        match written.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(()) => {
                saved.send_replace(number);
            }
            Err(error) => {
                let file = path.display();
                error!(%file, %error, "Drained and ejected members cannot be saved");
                sleep(AGAIN).await;
                newest.mark_changed();
            }
        }
    }
}

fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    replace(path, &serde_json::to_string(kept)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let gone = Gone {
            incarnation: Some("7".to_owned()),
            address: ([10, 0, 0, 1], 80).into(),
            why: "refused".to_owned(),
            ejections: 2,
            is_ejected: true,
        };
        Kept {
            drained: BTreeSet::from(["a".to_owned()]),
            gone: BTreeMap::from([("b".to_owned(), gone)]),
        }
    }

    #[tokio::test]
    async fn what_was_saved_is_read_and_what_is_damaged_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder.path().join("state.json"));
        assert_eq!(path, folder.path().join("state.health.json"));
        assert_eq!(read(&path), Kept::default());
        let store = Store::start(path.clone(), Kept::default());
        store.save(kept());
        assert!(store.settled().await);
        assert_eq!(read(&path), kept());
        fs::write(&path, "{\"drained\":[").unwrap();
        assert_eq!(read(&path), Kept::default());
    }

    #[tokio::test]
    async fn who_gives_an_order_is_told_when_it_is_not_saved() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::start(folder.path().join("away/x.json"), Kept::default());
        assert!(store.settled().await, "nothing has changed");
        store.save(kept());
        assert!(!store.settled().await);
    }
}
