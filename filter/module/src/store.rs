//! Where a module is put so that it can be used, and is never overwritten.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tempfile::{Builder, NamedTempFile};

/// How much of the SHA-256 is in a file name, in bytes.
const HASH_BYTES: usize = 8;

/// A module in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// `NAME-HASH.wasm`: what Envoy is to load. It never changes.
    pub file: PathBuf,
    /// `NAME.wasm`: a link to the newest.
    pub link: PathBuf,
}

/// Writes a module to `folder`, under a name that tells its content.
///
/// # Errors
/// When the folder cannot be written, or has another content under that name.
pub fn store(wasm: &[u8], folder: &Path, name: &str) -> Result<Stored> {
    fs::create_dir_all(folder).with_context(|| format!("no folder {}", folder.display()))?;
    let file_name = format!("{name}-{}.wasm", hash(wasm));
    let stored = Stored {
        file: folder.join(&file_name),
        link: folder.join(format!("{name}.wasm")),
    };
    if stored.file.exists() {
        let found = fs::read(&stored.file)?;
        ensure!(
            found == wasm,
            "{} is not what its name says: remove it",
            stored.file.display()
        );
    } else {
        // Whole or not at all: an Envoy may look at any moment.
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(wasm)?;
        make_readable(file.as_file())?;
        file.persist(&stored.file)
            .with_context(|| format!("{} is not written", stored.file.display()))?;
    }
    let link = Builder::new().make_in(folder, |path| symlink(&file_name, path))?;
    link.persist(&stored.link)
        .with_context(|| format!("{} is not written", stored.link.display()))?;
    Ok(stored)
}

/// A temporary file is for its owner alone; an Envoy may run as somebody else.
fn make_readable(file: &fs::File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.set_permissions(fs::Permissions::from_mode(0o644))?)
}

fn hash(wasm: &[u8]) -> String {
    let digest = Sha256::digest(wasm);
    let first = digest.iter().take(HASH_BYTES);
    let number = first.fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_content_and_the_link_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let old = store(b"", folder.path(), "m").unwrap();
        assert_eq!(old.file, folder.path().join("m-e3b0c44298fc1c14.wasm"));
        let new = store(b"new", folder.path(), "m").unwrap();
        assert_ne!(new.file, old.file);
        assert_eq!(new.link, old.link);
        assert_eq!(fs::read(&new.link).unwrap(), b"new");
        assert_eq!(fs::read(&old.file).unwrap(), b"");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_file_that_is_there_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let stored = store(b"m", folder.path(), "m").unwrap();
        let written = fs::metadata(&stored.file).unwrap().modified().unwrap();
        assert_eq!(store(b"m", folder.path(), "m").unwrap(), stored);
        let now = fs::metadata(&stored.file).unwrap().modified().unwrap();
        assert_eq!(now, written);
    }

    #[test]
    fn a_file_that_somebody_changed_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let stored = store(b"m", folder.path(), "m").unwrap();
        fs::write(&stored.file, b"x").unwrap();
        let error = store(b"m", folder.path(), "m").unwrap_err().to_string();
        assert!(error.ends_with("is not what its name says: remove it"));
    }
}
