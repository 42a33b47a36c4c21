//! The state file: the last [`FilterConfig`] that was handed out, so that a
//! restart hands out the same one and the epoch never goes back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sharding::{FilterConfig, FilterConfigError};
use thiserror::Error;

/// Why a state file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// It cannot be read or written.
    #[error("{path}: {reason}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Its content is not a state.
    #[error("{path}: {reason}", path = .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: FilterConfigError,
    },
}

/// Reads the state; `None` when there is none yet.
///
/// # Errors
/// When the file is there and cannot be read or understood.
pub fn read(path: &Path) -> Result<Option<FilterConfig>, StateError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(reason) => {
            return Err(StateError::Io {
                path: path.to_owned(),
                reason,
            });
        }
    };
    match FilterConfig::from_json(&bytes) {
        Ok(decoded) => Ok(Some(decoded.config)),
        Err(reason) => Err(StateError::Content {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// Replaces the state, atomically and durably: after a crash the file holds
/// the old state or the new one.
///
/// # Errors
/// When the folder or the disk refuses it; the old state is then still there.
pub fn write(path: &Path, state: &FilterConfig) -> Result<(), StateError> {
    let replaced = state.to_json().map_err(io::Error::from);
    let replaced = replaced.and_then(|text| replace(path, &text));
    replaced.map_err(|reason| StateError::Io {
        path: path.to_owned(),
        reason,
    })
}

/// Empties the state file, if there is one: a restart then knows that there was
/// a state, and takes a new epoch instead of an old one.
///
/// # Errors
/// When the file or the disk refuses it.
pub fn invalidate(path: &Path) -> Result<(), StateError> {
    match File::options().write(true).truncate(true).open(path) {
        Err(reason) if reason.kind() != io::ErrorKind::NotFound => Err(StateError::Io {
            path: path.to_owned(),
            reason,
        }),
        _ => Ok(()),
    }
}

/// Gives the file at `path` that text, atomically and durably.
///
/// # Errors
/// When the folder or the disk refuses it; the old file is then still there.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(epoch: u64) -> FilterConfig {
        FilterConfig::new(epoch, "c")
    }

    #[test]
    fn what_was_written_is_read_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(read(&path).unwrap(), None);
        for epoch in [1, 2] {
            write(&path, &state(epoch)).unwrap();
            assert_eq!(read(&path).unwrap(), Some(state(epoch)));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_state_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "{\"format\":1,\"ep").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("state.json: filter configuration is not readable"),
            "{error}"
        );
    }

    #[test]
    fn an_invalid_state_is_no_state_and_none_is_made_of_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        invalidate(&path).unwrap();
        assert!(!path.exists());
        write(&path, &state(1)).unwrap();
        invalidate(&path).unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let error = write(Path::new("/nowhere/state.json"), &state(1)).unwrap_err();
        assert!(
            error.to_string().starts_with("/nowhere/state.json: "),
            "{error}"
        );
    }
}
