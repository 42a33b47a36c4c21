//! Members that register themselves: each holds a lease that it renews.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sharding::{Member, Roster, RosterError};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::sources::Feed;

mod book;
mod store;
#[cfg(test)]
mod worn_disk;

pub use book::LeaseError;
pub use store::StoreError;
#[cfg(test)]
pub(crate) use worn_disk::WornDisk;

use book::{Book, LOOKING, Lease, Over};
use store::{Disk, File, Kept, Store};

/// Why the leases are not a roster.
#[derive(Debug, Error)]
enum LeasesError {
    /// Nobody has a lease: more likely a fault than a wish.
    #[error("nobody has a lease")]
    Empty,
    /// Everybody's time is over: whoever is not heard, it is more likely this
    /// control plane that hears nobody.
    #[error("no lease is renewed: all {0} members are kept")]
    Silent(usize),
    /// Members that cannot form a roster.
    #[error(transparent)]
    Roster(#[from] RosterError),
}

/// Why a lease was not given.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// By the rules.
    #[error(transparent)]
    Refused(#[from] LeaseError),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A lease, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Who has it.
    #[serde(flatten)]
    pub member: Member,
    /// Its token.
    pub token: u64,
    /// How long it lasts after a renewal.
    pub ttl_ms: u64,
    /// When it expires unless it is renewed.
    pub expires_in_ms: u64,
    /// Whether its renewal is late.
    pub late: bool,
}

/// All leases, in memory and on disk.
///
/// What is said to members is on disk first. Renewals are not kept there: they
/// have to work on a disk that does not.
#[derive(Debug)]
pub struct Leases {
    book: Mutex<Book>,
    /// Held while something is written, so that the disk has it in the order
    /// in which it happened.
    store: Mutex<Store>,
    changed: Notify,
}

impl Leases {
    /// Opens the database at `path`, or makes it. Whoever had a lease there has
    /// all of its time again.
    ///
    /// # Errors
    /// When the file cannot be read or written, is damaged, or belongs to
    /// another process.
    pub fn open(path: &Path) -> Result<Arc<Self>, StoreError> {
        Self::open_on(path, Box::new(File(path.to_owned())))
    }

    fn open_on(path: &Path, disk: Box<dyn Disk>) -> Result<Arc<Self>, StoreError> {
        let (store, Kept { leases, last_token }) = Store::open(path, disk)?;
        Ok(Arc::new(Self {
            book: Mutex::new(Book::open(leases, last_token, Instant::now())),
            store: Mutex::new(store),
            changed: Notify::new(),
        }))
    }

    /// Like [`Leases::open`], but makes nothing.
    ///
    /// # Errors
    /// The same, and when there is no such file.
    pub(super) fn open_existing(path: &Path) -> Result<Arc<Self>, StoreError> {
        StoreError::check(path, std::fs::metadata(path).map(drop))?;
        Self::open(path)
    }

    /// Gives `member` its lease and returns its token; whoever had that lease
    /// has it no longer. Blocks until it is on disk.
    ///
    /// # Errors
    /// When it cannot be a member beside the others, or the disk refuses it.
    pub fn acquire(&self, member: Member, ttl: Duration) -> Result<u64, AcquireError> {
        let mut store = locked(&self.store);
        let acquired = locked(&self.book).acquire(member, ttl, clock_ms(), Instant::now())?;
        store.put(&acquired)?;
        let Lease { member, token, .. } = &acquired.lease;
        let (token, ousted) = (*token, &acquired.ousted);
        info!(member = %member.id, address = %member.address, token, ousted, "Lease acquired");
        locked(&self.book).enter(acquired);
        self.changed.notify_one();
        Ok(token)
    }

    /// Has the lease last its whole time again.
    ///
    /// # Errors
    /// When there is none, or the token is stale.
    pub fn renew(&self, id: &str, token: u64) -> Result<(), LeaseError> {
        locked(&self.book).renew(id, token, Instant::now())
    }

    /// Takes the lease back. Blocks until the disk has been told.
    ///
    /// # Errors
    /// When there is none, or the token is stale.
    pub fn release(&self, id: &str, token: u64) -> Result<(), LeaseError> {
        let mut store = locked(&self.store);
        locked(&self.book).release(id, token)?;
        info!(member = id, token, "Lease released");
        self.changed.notify_one();
        forget(&mut store, &[id.to_owned()]);
        Ok(())
    }

    /// All of them, by id.
    #[must_use]
    pub fn status(&self) -> Vec<LeaseStatus> {
        let now = Instant::now();
        let status = |lease: &Lease| {
            let left = lease.expires.saturating_duration_since(now);
            LeaseStatus {
                member: lease.member.clone(),
                token: lease.token,
                ttl_ms: millis(lease.ttl),
                expires_in_ms: millis(left),
                late: lease.is_late(now),
            }
        };
        locked(&self.book).leases().map(status).collect()
    }

    /// Who has a lease now.
    pub(super) fn roster(&self) -> Result<Roster, RosterError> {
        locked(&self.book).roster()
    }

    /// What is said after a look that kept so many whose time is over.
    fn judge(&self, kept: usize) -> Result<Roster, LeasesError> {
        let roster = self.roster()?;
        match roster.members().len() {
            0 => Err(LeasesError::Empty),
            all if all == kept => Err(LeasesError::Silent(all)),
            _ => Ok(roster),
        }
    }

    /// Looks whose time is over, and returns those who are kept all the same.
    fn expire(&self) -> Vec<String> {
        let mut store = locked(&self.store);
        let Over { gone, kept } = locked(&self.book).expire(Instant::now());
        if !gone.is_empty() {
            warn!(members = ?gone, "Leases expired");
            forget(&mut store, &gone);
        }
        kept
    }

    fn late(&self) -> Vec<String> {
        let status = self.status().into_iter();
        let late = status.filter(|lease| lease.late);
        late.map(|lease| lease.member.id).collect()
    }
}

/// Tells who has a lease, for ever.
pub(super) async fn watch(leases: Arc<Leases>, feed: Feed) {
    let mut looking = interval(LOOKING / 4);
    looking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known_late = Vec::new();
    let mut known_kept = Vec::new();
    loop {
        let looked = Arc::clone(&leases);
        // It writes to the disk.
        let looked = tokio::task::spawn_blocking(move || {
            let kept = looked.expire();
            (looked.judge(kept.len()), looked.late(), kept)
        });
        if let Ok((judged, late, kept)) = looked.await {
            match judged {
                Ok(roster) => feed.good(roster),
                Err(problem) => feed.bad(&problem),
            }
            for member in late.iter().filter(|late| !known_late.contains(*late)) {
                warn!(%member, "Lease is not renewed in time");
            }
            if !kept.is_empty() && kept != known_kept {
                error!(members = ?kept, "Leases are over and kept: most members are late at once");
            }
            (known_late, known_kept) = (late, kept);
        }
        tokio::select! {
            () = leases.changed.notified() => {}
            _ = looking.tick() => {}
        }
    }
}

/// A disk that does not forget brings them back after a restart, for as long as
/// a lease lasts.
fn forget(store: &mut Store, ids: &[String]) {
    if let Err(error) = store.remove(ids) {
        error!(%error, "Leases that are over stay on disk");
    }
}

/// Tokens are not below the clock, so that they grow though the database was
/// lost.
fn clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whoever panicked with it has left it whole: each change is one call.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(15);

    fn member(id: &str, port: u16) -> Member {
        Member::new(id, ([10, 0, 0, 1], port).into(), 1)
    }

    fn ids(leases: &Leases) -> Vec<String> {
        let roster = leases.roster().unwrap();
        roster
            .members()
            .iter()
            .map(|member| member.id.clone())
            .collect()
    }

    #[test]
    fn what_the_disk_does_not_take_counts_neither_here_and_the_next_does_again() {
        let disk = WornDisk::default();
        let leases = disk.leases().unwrap();
        let held = leases.acquire(member("a", 1), TTL).unwrap();
        disk.fails(true);
        for _ in 0..2 {
            let refused = leases.acquire(member("b", 2), TTL);
            assert!(
                matches!(refused, Err(AcquireError::Store(_))),
                "{refused:?}"
            );
        }
        assert_eq!(ids(&leases), ["a"]);
        // Who has one keeps it, or gives it back.
        leases.renew("a", held).unwrap();
        leases.release("a", held).unwrap();
        assert!(ids(&leases).is_empty());
        disk.fails(false);
        assert!(leases.acquire(member("b", 2), TTL).unwrap() > held);
        drop(leases);
        let again = disk.leases().unwrap();
        // The one that was given back while the disk failed has to expire.
        assert_eq!(ids(&again), ["a", "b"]);
    }
}
