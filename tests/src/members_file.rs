//! The file from which the control plane reads the members.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sharding::Roster;

/// A members file, and the two ways in which people change one.
#[derive(Debug, Clone)]
pub struct MembersFile {
    path: PathBuf,
}

impl MembersFile {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("members.yaml"),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a new file in the old one's place, as careful programs do.
    pub fn replace(&self, roster: &Roster) -> Result<()> {
        self.replace_text(&text(roster))
    }

    /// Like [`MembersFile::replace`], with any content.
    pub fn replace_text(&self, text: &str) -> Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, &self.path)?)
    }

    /// Writes over the file where it stands, as some editors do.
    pub fn overwrite(&self, roster: &Roster) -> Result<()> {
        self.overwrite_text(&text(roster))
    }

    /// Like [`MembersFile::overwrite`], with any content.
    pub fn overwrite_text(&self, text: &str) -> Result<()> {
        Ok(fs::write(&self.path, text)?)
    }
}

fn text(roster: &Roster) -> String {
    let mut text = String::from("members:\n");
    for member in roster.members() {
        let (id, address, weight) = (&member.id, member.address, member.weight);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  - id: \"{id}\"");
        let _ = writeln!(text, "    address: \"{address}\"");
        let _ = writeln!(text, "    weight: {weight}");
    }
    text
}
