use std::fs;
use std::io;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::*;

const LONG: Duration = Duration::from_secs(20);

/// A disk that hangs or refuses when it is told to.
#[derive(Debug, Default)]
pub(in crate::rebalance) struct BadDisk {
    mood: Mutex<Mood>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Mood {
    hangs: bool,
    refuses: bool,
    /// Writes that have begun.
    begun: Vec<FilterConfig>,
    /// What it holds.
    held: Option<FilterConfig>,
    invalidated: usize,
}

/// As long as this lives, the disk hangs.
pub(in crate::rebalance) struct Hanging(Arc<BadDisk>);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.mood.lock().unwrap().hangs = false;
        self.0.changed.notify_all();
    }
}

impl BadDisk {
    pub(in crate::rebalance) fn hang(self: &Arc<Self>) -> Hanging {
        self.mood.lock().unwrap().hangs = true;
        Hanging(Arc::clone(self))
    }

    pub(in crate::rebalance) fn refuse(&self, refuses: bool) {
        self.mood.lock().unwrap().refuses = refuses;
    }

    pub(in crate::rebalance) fn held(&self) -> Option<FilterConfig> {
        self.mood.lock().unwrap().held.clone()
    }

    pub(in crate::rebalance) fn begun(&self) -> Vec<u64> {
        let mood = self.mood.lock().unwrap();
        mood.begun.iter().map(|state| state.epoch).collect()
    }

    fn error() -> StateError {
        StateError::Io {
            path: PathBuf::from("state.json"),
            reason: io::Error::other("no space left"),
        }
    }
}

impl Disk for BadDisk {
    fn read(&self) -> Result<Option<FilterConfig>, StateError> {
        Ok(self.held())
    }

    fn write(&self, state: &FilterConfig) -> Result<(), StateError> {
        let mut mood = self.mood.lock().unwrap();
        mood.begun.push(state.clone());
        let mut mood = self.changed.wait_while(mood, |mood| mood.hangs).unwrap();
        if mood.refuses {
            return Err(Self::error());
        }
        mood.held = Some(state.clone());
        Ok(())
    }

    fn invalidate(&self) -> Result<(), StateError> {
        let mut mood = self.mood.lock().unwrap();
        mood.held = None;
        mood.invalidated += 1;
        Ok(())
    }
}

/// Waits until that is so.
pub(in crate::rebalance) async fn soon(what: &str, is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, waiting).await.expect(what);
}

fn state(epoch: u64) -> FilterConfig {
    FilterConfig::new(epoch, "c")
}

fn scrape(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text
}

#[tokio::test]
async fn while_the_disk_hangs_nobody_waits_and_afterwards_the_newest_is_saved() {
    let disk = Arc::new(BadDisk::default());
    let mut registry = Registry::default();
    let mut store = Store::start(disk.clone(), Metrics::register(&mut registry));
    store.save(&state(1));
    store.settle(true).await;
    assert_eq!(
        disk.held(),
        Some(state(1)),
        "an ordinary disk is waited for"
    );

    let hanging = disk.hang();
    let start = Instant::now();
    store.save(&state(2));
    store.settle(true).await;
    store.save(&state(3));
    store.save(&state(4));
    assert!(start.elapsed() < LONG / 2);
    assert!(scrape(&registry).contains("state_unsaved 1"));
    soon("counted as slow", || {
        scrape(&registry).contains("state_saves_slow_total 1")
    })
    .await;
    assert_eq!(disk.held(), Some(state(1)));
    drop(hanging);
    soon("saved", || disk.held() == Some(state(4))).await;
    assert_eq!(disk.begun(), [1, 2, 4], "what is overtaken is not written");
    soon("shown", || scrape(&registry).contains("state_unsaved 0")).await;
    assert!(scrape(&registry).contains("state_saves_total{outcome=\"done\"} 3"));
}

#[tokio::test]
async fn what_must_not_be_lost_waits_for_the_disk_unless_that_refuses_it() {
    let disk = Arc::new(BadDisk::default());
    let mut store = Store::start(disk.clone(), Metrics::register(&mut Registry::default()));
    let hanging = disk.hang();
    store.save(&state(1));
    let waiting = timeout(PATIENCE * 3, store.settle(false)).await;
    assert!(waiting.is_err(), "it went on");
    drop(hanging);
    timeout(LONG, store.settle(false)).await.unwrap();
    assert_eq!(disk.held(), Some(state(1)));

    disk.refuse(true);
    store.save(&state(2));
    timeout(LONG, store.settle(false)).await.unwrap();
    assert_eq!(disk.held(), None);
}

#[tokio::test]
async fn a_state_that_cannot_be_written_is_tried_again_and_the_old_one_goes() {
    let disk = Arc::new(BadDisk::default());
    let mut registry = Registry::default();
    let mut store = Store::start(disk.clone(), Metrics::register(&mut registry));
    store.save(&state(1));
    store.settle(true).await;
    disk.refuse(true);
    store.save(&state(2));
    store.settle(true).await;
    soon("emptied", || disk.held().is_none()).await;
    soon("tried again", || disk.begun() == [1, 2, 2]).await;
    disk.refuse(false);
    soon("saved", || disk.held() == Some(state(2))).await;
    soon("counted", || {
        scrape(&registry).contains("state_saves_total{outcome=\"failed\"} 2")
    })
    .await;
}

#[tokio::test]
async fn a_state_file_whose_folder_is_away_is_written_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    let disk = Arc::new(StateFile(place.join("state.json")));
    assert!(!find(&*disk).is_return);
    let store = Store::start(disk.clone(), Metrics::register(&mut Registry::default()));
    store.save(&state(1));
    soon("saved", || find(&*disk).last == Some(state(1))).await;

    fs::rename(&place, folder.path().join("away")).unwrap();
    store.save(&state(2));
    sleep(Duration::from_millis(50)).await;
    fs::create_dir(&place).unwrap();
    soon("saved again", || find(&*disk).last == Some(state(2))).await;
}

#[test]
fn a_damaged_state_tells_that_there_was_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    for damaged in ["{", ""] {
        fs::write(&path, damaged).unwrap();
        let found = find(&StateFile(path.clone()));
        assert!(found.last.is_none() && found.is_return);
    }
}
