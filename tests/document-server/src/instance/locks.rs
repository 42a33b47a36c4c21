//! Locks by name, within this process only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

type Named = Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>;

/// How many names may be known before the unused ones are dropped.
const SWEEP_AT: usize = 1024;

/// The locks of one instance.
#[derive(Debug, Default)]
pub(crate) struct Locks(Named);

impl Locks {
    /// Waits for the lock with this name.
    pub(crate) async fn lock(&self, name: String) -> OwnedMutexGuard<()> {
        let lock = {
            let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if named.len() >= SWEEP_AT {
                named.retain(|_, lock| lock.strong_count() > 0);
            }
            let known = named.get(&name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::default();
                named.insert(name, Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holder_per_name() {
        let locks = Locks::default();
        let held = locks.lock("a".to_owned()).await;
        let _other = locks.lock("b".to_owned()).await;
        let mut waiting = std::pin::pin!(locks.lock("a".to_owned()));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("held twice"),
            () = tokio::task::yield_now() => {}
        }
        drop(held);
        waiting.await;
    }
}
