//! The leases on disk: who holds one, and the highest token that was given.
//! Renewals are not kept, since after a restart every lease begins anew.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use sharding::Member;
use thiserror::Error;

use super::book::Acquired;

/// By id, in JSON.
const LEASES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("leases");

/// One row.
const TOKEN: TableDefinition<'_, (), u64> = TableDefinition::new("token");

/// Why the database cannot be used.
#[derive(Debug, Error)]
#[error("{path}: {reason}", path = .path.display())]
pub struct StoreError {
    path: PathBuf,
    reason: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    pub(super) fn check(path: &Path, done: std::io::Result<()>) -> Result<(), Self> {
        done.map_err(|reason| Self {
            path: path.to_owned(),
            reason: reason.into(),
        })
    }
}

/// Where the database is.
pub(super) trait Disk: Debug + Send + Sync {
    /// Opens the database there, or makes it.
    fn open(&self) -> Result<Database, DatabaseError>;
}

/// A file.
#[derive(Debug)]
pub(super) struct File(pub(super) PathBuf);

impl Disk for File {
    fn open(&self) -> Result<Database, DatabaseError> {
        Database::create(&self.0)
    }
}

#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    disk: Box<dyn Disk>,
    /// Open for as long as nothing fails: after that it would refuse everything,
    /// whatever has become of the disk.
    database: Option<Database>,
}

/// What was on disk.
#[derive(Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) leases: Vec<(Member, Duration, u64)>,
    pub(super) last_token: u64,
}

#[derive(Serialize, Deserialize)]
struct Row {
    member: Member,
    ttl_ms: u64,
    token: u64,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Store {
    /// Opens the database on that disk; errors call it by the path.
    pub(super) fn open(path: &Path, disk: Box<dyn Disk>) -> Result<(Self, Kept), StoreError> {
        let mut this = Self {
            path: path.to_owned(),
            disk,
            database: None,
        };
        let kept = this.with(Self::read)?;
        Ok((this, kept))
    }

    /// Does that with the database, which is opened first if something has failed
    /// before.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&Database) -> Result<T, Failed>,
    ) -> Result<T, StoreError> {
        let attempt = || {
            let database = match self.database.take() {
                Some(database) => database,
                None => self.disk.open()?,
            };
            let done = work(&database)?;
            self.database = Some(database);
            Ok(done)
        };
        attempt().map_err(|reason| StoreError {
            path: self.path.clone(),
            reason,
        })
    }

    fn read(database: &Database) -> Result<Kept, Failed> {
        let write = database.begin_write()?;
        // A database that is new has no tables.
        write.open_table(LEASES)?;
        write.open_table(TOKEN)?;
        write.commit()?;
        let read = database.begin_read()?;
        let mut leases = Vec::new();
        for row in read.open_table(LEASES)?.iter()? {
            let (_, value) = row?;
            let Row {
                member,
                ttl_ms,
                token,
            } = serde_json::from_slice(value.value())?;
            leases.push((member, Duration::from_millis(ttl_ms), token));
        }
        let token = read.open_table(TOKEN)?.get(())?;
        let last_token = token.map_or(0, |token| token.value());
        Ok(Kept { leases, last_token })
    }

    /// Keeps a lease; when this returns it is on disk.
    pub(super) fn put(&mut self, acquired: &Acquired) -> Result<(), StoreError> {
        let lease = &acquired.lease;
        self.change(|leases, token| {
            if let Some(ousted) = &acquired.ousted {
                leases.remove(&**ousted)?;
            }
            let row = serde_json::to_vec(&Row {
                member: lease.member.clone(),
                ttl_ms: u64::try_from(lease.ttl.as_millis())?,
                token: lease.token,
            })?;
            leases.insert(&*lease.member.id, &*row)?;
            token.insert((), lease.token)?;
            Ok(())
        })
    }

    /// Forgets leases.
    pub(super) fn remove(&mut self, ids: &[String]) -> Result<(), StoreError> {
        self.change(|leases, _| {
            for id in ids {
                leases.remove(&**id)?;
            }
            Ok(())
        })
    }

    fn change(
        &mut self,
        change: impl FnOnce(
            &mut redb::Table<'_, &str, &[u8]>,
            &mut redb::Table<'_, (), u64>,
        ) -> Result<(), Failed>,
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let write = database.begin_write()?;
            change(
                &mut write.open_table(LEASES)?,
                &mut write.open_table(TOKEN)?,
            )?;
            write.commit()?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::registry::leases::book::Lease;

    fn open(path: &Path) -> Result<(Store, Kept), StoreError> {
        Store::open(path, Box::new(File(path.to_owned())))
    }

    fn acquired(id: &str, token: u64, ousted: Option<&str>) -> Acquired {
        let member = Member::new(id, ([10, 0, 0, 1], 80).into(), 2);
        let lease = Lease {
            member,
            ttl: Duration::from_secs(15),
            token,
            expires: Instant::now(),
        };
        Acquired {
            lease,
            ousted: ousted.map(str::to_owned),
        }
    }

    fn ids(kept: &Kept) -> Vec<&str> {
        kept.leases.iter().map(|(member, ..)| &*member.id).collect()
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_tokens_are_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.redb");
        let (mut store, kept) = open(&path).unwrap();
        assert_eq!((kept.leases.len(), kept.last_token), (0, 0));
        store.put(&acquired("a", 5, None)).unwrap();
        store.put(&acquired("b", 6, Some("a"))).unwrap();
        drop(store);
        let (mut store, kept) = open(&path).unwrap();
        assert_eq!((ids(&kept), kept.last_token), (vec!["b"], 6));
        let Acquired { lease, .. } = acquired("b", 6, None);
        assert_eq!(kept.leases[0], (lease.member, lease.ttl, 6));
        store.remove(&["b".to_owned()]).unwrap();
        drop(store);
        let (_, kept) = open(&path).unwrap();
        assert_eq!((ids(&kept), kept.last_token), (vec![], 6));
    }

    #[test]
    fn a_damaged_database_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.redb");
        std::fs::write(&path, "no database").unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("leases.redb: "), "{error}");
    }
}
