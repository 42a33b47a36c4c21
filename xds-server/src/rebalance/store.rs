//! The state file of a running control plane.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sharding::FilterConfig;
use tracing::error;

use crate::state;

/// How soon a state file that could not be written is tried again.
const SAVE_AGAIN: Duration = Duration::from_secs(2);

/// What was found at a start.
pub(super) struct Found {
    /// What was handed out last.
    pub(super) last: Option<FilterConfig>,
    /// Whether there was an earlier process, as far as can be told.
    pub(super) is_return: bool,
}

/// Writes the state before it is handed out, and again for as long as it could
/// not be written.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    again_at: Option<Instant>,
}

impl Store {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            again_at: None,
        }
    }

    pub(super) fn find(&self) -> Found {
        match state::read(&self.path) {
            Ok(last) => Found {
                is_return: last.is_some(),
                last,
            },
            Err(problem) => {
                error!(error = %problem, "State file is not usable, starting without it");
                Found {
                    last: None,
                    is_return: true,
                }
            }
        }
    }

    /// When [`Store::save`] has to be called again with the newest state.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// Writes the state file. A full disk does not stop routing; but an older
    /// state must not be left for a restart, which would take its epoch for the
    /// last one.
    pub(super) fn save(&mut self, state: &FilterConfig) {
        let written = state::write(&self.path, state);
        self.again_at = written.is_err().then(|| Instant::now() + SAVE_AGAIN);
        if let Err(problem) = written {
            error!(error = %problem, "State file cannot be written");
            if let Err(problem) = state::remove(&self.path) {
                error!(error = %problem, "Outdated state file cannot be removed, remove it before a restart");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_state_that_cannot_be_written_is_tried_again_and_the_old_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        fs::create_dir(&place).unwrap();
        let mut store = Store::new(place.join("state.json"));
        assert!(!store.find().is_return);
        store.save(&FilterConfig::new(1, "c"));
        assert_eq!(store.again_at(), None);
        assert!(store.find().is_return);

        fs::rename(&place, folder.path().join("away")).unwrap();
        store.save(&FilterConfig::new(2, "c"));
        assert!(store.again_at().is_some());
        fs::create_dir(&place).unwrap();
        store.save(&FilterConfig::new(2, "c"));
        assert_eq!(store.again_at(), None);
        assert_eq!(store.find().last.unwrap().epoch, 2);
    }

    #[test]
    fn a_damaged_state_tells_that_there_was_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "{").unwrap();
        let found = Store::new(path).find();
        assert!(found.last.is_none() && found.is_return);
    }
}
