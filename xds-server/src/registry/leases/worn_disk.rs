//! A disk that fails when it is told to.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::InMemoryBackend;
use redb::{Database, DatabaseError, StorageBackend};

use super::store::Disk;
use super::{Leases, StoreError};

/// A handle: what is on it stays for as long as there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct WornDisk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    content: InMemoryBackend,
    fails: AtomicBool,
}

impl WornDisk {
    /// Leases that are kept there.
    pub(crate) fn leases(&self) -> Result<Arc<Leases>, StoreError> {
        Leases::open_on(Path::new("leases.redb"), Box::new(self.clone()))
    }

    /// Whether it fails from now on.
    pub(crate) fn fails(&self, fails: bool) {
        self.0.fails.store(fails, Ordering::Relaxed);
    }

    fn content(&self) -> io::Result<&InMemoryBackend> {
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(&self.0.content)
    }
}

impl Disk for WornDisk {
    fn open(&self) -> Result<Database, DatabaseError> {
        Database::builder().create_with_backend(self.clone())
    }
}

impl StorageBackend for WornDisk {
    fn len(&self) -> io::Result<u64> {
        StorageBackend::len(self.content()?)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        StorageBackend::read(self.content()?, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        StorageBackend::set_len(self.content()?, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        StorageBackend::sync_data(self.content()?)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        StorageBackend::write(self.content()?, offset, data)
    }
}
