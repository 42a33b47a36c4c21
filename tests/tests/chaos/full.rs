//! A disk that is really full, which takes a file system of its own: `make soak`
//! runs this where one can be mounted.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sharding::FilterConfig;
use yorkies_tests::{
    Mode, Router, Settings, TestEnvironment, Traffic, equal_weights, eventually, keys,
};

/// Smaller than what a page has, so that nothing is left over for a state.
const PIECE: [u8; 512] = [7; 512];

/// A small file system, which goes with this process's name space or at the end.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "none"])
            .arg(&folder)
            .status()?;
        ensure!(
            mounted.success(),
            "a file system of its own cannot be mounted here: make soak does it in a name space, by unshare"
        );
        Ok(Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, as somebody may still have a file there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Takes whatever is free, until it is dropped: then all of it is free again.
struct Filler {
    file: PathBuf,
    stop: Arc<AtomicBool>,
    filling: Option<JoinHandle<()>>,
}

impl Filler {
    fn start(folder: &Path) -> Result<Self> {
        let file = folder.join("filler");
        let mut filler = File::create(&file)?;
        while filler.write_all(&PIECE).is_ok() {}
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let filling = spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                while filler.write_all(&PIECE).is_ok() {}
                sleep(Duration::from_millis(1));
            }
        });
        Ok(Self {
            file,
            stop,
            filling: Some(filling),
        })
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(filling) = self.filling.take() {
            let _ = filling.join();
        }
        let _ = fs::remove_file(&self.file);
    }
}

#[test]
#[ignore = "mounts a file system: make soak"]
fn a_full_disk_holds_up_nothing_and_has_the_state_when_there_is_room_again() {
    TestEnvironment::run(async |env| {
        let disk = Disk::mount(env.folder().join("disk"))?;
        let members = env.members(4).await?;
        let settings = Settings {
            state_file: disk.0.join("state.json"),
            ..Settings::default()
        };
        let two = equal_weights(&members[..2]);
        let mut router = Router::start(env, settings, Mode::Delta, two).await?;
        let traffic = Traffic::start(router.h2c.clone(), keys(50));

        let filler = Filler::start(&disk.0)?;
        router.change(equal_weights(&members[..3])).await?;
        router.control_plane.logged(&["No space left"]).await?;
        let unsaved = async || router.control_plane.metric("yorkies_state_unsaved").await;
        ensure!(unsaved().await? > 0.0, "it says that it is saved");
        router.expect_owners(&keys(200)).await?;

        // Killed with nothing saved, and started while there still is no room.
        router.control_plane.restart().await?;
        router.change(equal_weights(&members)).await?;
        router.expect_owners(&keys(200)).await?;

        drop(filler);
        let (control_plane, epoch) = (&router.control_plane, router.epoch());
        eventually("saved", async || {
            let unsaved = control_plane.metric("yorkies_state_unsaved").await?;
            ensure!(unsaved == 0.0, "not saved");
            let state = fs::read(control_plane.state_file())?;
            let state = FilterConfig::from_json(&state).context("no state")?;
            ensure!(state.config.epoch == epoch, "of {}", state.config.epoch);
            Ok(())
        })
        .await?;
        let report = traffic.stop().await?;
        ensure!(
            report.answered > 0 && report.failures.is_empty(),
            "{report:?}"
        );
        Ok(())
    });
}
