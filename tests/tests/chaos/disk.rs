//! A disk that refuses the state file, for any user: a folder stands in its place,
//! so that it can neither be replaced nor emptied, whatever the permissions. (A
//! full disk would let it be emptied, which is one of the things that can be left
//! when this one is back.) A control plane does not start with a folder there, so
//! while it starts the disk is back.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Result;
use yorkies_tests::eventually;

use crate::faults::Left;

/// The place of the state file.
#[derive(Debug)]
pub(crate) struct Disk {
    state: PathBuf,
    refuses: bool,
}

impl Disk {
    pub(crate) fn of(state: PathBuf) -> Self {
        Self {
            state,
            refuses: false,
        }
    }

    /// From now on the state cannot be saved.
    pub(crate) async fn refuse(&mut self) -> Result<()> {
        if self.refuses {
            return Ok(());
        }
        // While it runs the control plane may put a file there at any moment.
        eventually("refused", async || {
            match fs::rename(&self.state, self.aside()) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
                _ => Ok(fs::create_dir(&self.state)?),
            }
        })
        .await?;
        self.refuses = true;
        Ok(())
    }

    /// Whether it does so now.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses
    }

    /// From now on it can.
    pub(crate) fn allow(&mut self, left: Left) -> Result<()> {
        if !self.refuses {
            return Ok(());
        }
        let aside = self.aside();
        if left == Left::Nothing {
            File::create(&aside)?;
        }
        fs::remove_dir(&self.state)?;
        // Not over what is saved in just this moment.
        match fs::hard_link(&aside, &self.state) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => fs::remove_file(aside)?,
        }
        self.refuses = false;
        Ok(())
    }

    fn aside(&self) -> PathBuf {
        self.state.with_extension("aside")
    }
}
