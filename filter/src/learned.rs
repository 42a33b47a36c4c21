//! The keys of document ids, learned from requests that have the key and their
//! responses that have the id, and shared by all workers of the proxy.
//!
//! Shared data has no delete and no listing, so the map is a fixed number of
//! packed values ([`bucket`]): at most 8 MiB for some 32 000 ids.

pub mod bucket;

use sharding::{Resource, ShardKey, xxh64};

use crate::host::{Host, HostError};

/// Number of shared values.
const BUCKETS: u64 = 1024;

/// How often a write is tried again after somebody else's.
const TRIES: usize = 4;

/// The canonical key of the document with that id in a canonical project.
///
/// # Errors
/// What the host fails at.
pub fn find(host: &impl Host, project: &str, id: &str) -> Result<Option<ShardKey>, HostError> {
    let hash = hash(project, id);
    let (bucket, _) = match host.shared(&name(hash)) {
        Ok(value) => value,
        Err(HostError::NotFound | HostError::Empty) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Two ids may have one hash: then at least no request gets into another project.
    Ok(bucket::find(&bucket, hash)
        .and_then(|key| key.split_once('/'))
        .filter(|(of, _)| *of == project)
        .and_then(|(_, name)| ShardKey::from_halves(project, name, Resource::Document).ok()))
}

/// Remembers the key of an id. Returns whether that was news.
///
/// # Errors
/// What the host fails at, and when others were always faster.
pub fn learn(host: &impl Host, key: &ShardKey, id: &str) -> Result<bool, HostError> {
    let hash = hash(key.project(), id);
    let name = name(hash);
    for _ in 0..TRIES {
        let (bucket, version) = match host.shared(&name) {
            Ok(value) => value,
            Err(HostError::NotFound | HostError::Empty) => (Vec::new(), 0),
            Err(error) => return Err(error),
        };
        let Some(bucket) = bucket::with(&bucket, hash, key.as_str()) else {
            return Ok(false);
        };
        match host.set_shared(&name, &bucket, version) {
            Err(HostError::CasMismatch) => {}
            result => return result.map(|()| true),
        }
    }
    Err(HostError::CasMismatch)
}

fn hash(project: &str, id: &str) -> u64 {
    xxh64([project, "/", id].concat().as_bytes(), 0)
}

fn name(hash: u64) -> String {
    format!("yorkies.ids.{}", hash % BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::MockHost;

    fn key(project: &str, name: &str) -> ShardKey {
        ShardKey::from_halves(project, name, Resource::Document).unwrap()
    }

    #[test]
    fn a_learned_key_is_found_again_in_its_project_only() {
        let host = MockHost::default();
        assert_eq!(find(&host, "p", "id"), Ok(None));
        assert_eq!(learn(&host, &key("p", "doc.x"), "id"), Ok(true));
        assert_eq!(learn(&host, &key("p", "doc.x"), "id"), Ok(false));
        assert_eq!(find(&host, "p", "id"), Ok(Some(key("p", "doc.x"))));
        assert_eq!(find(&host, "q", "id"), Ok(None));
    }

    #[test]
    fn somebody_elses_write_in_between_is_not_lost() {
        let host = MockHost::default();
        learn(&host, &key("p", "a"), "1").unwrap();
        host.disturb_next_writes(TRIES - 1);
        assert_eq!(learn(&host, &key("p", "b"), "1"), Ok(true));
        host.disturb_next_writes(TRIES);
        assert_eq!(
            learn(&host, &key("p", "c"), "1"),
            Err(HostError::CasMismatch)
        );
        assert_eq!(find(&host, "p", "1"), Ok(Some(key("p", "b"))));
    }
}
