//! What all proxies shall have: the resources of one moment, encoded once.
//!
//! Pure. A [`Snapshot`] is complete and immutable; whoever serves it compares
//! it with what a proxy has, so no sequence of differences can be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len, string};
use sha2::{Digest, Sha256};

mod resource_type;

pub use resource_type::ResourceType;

/// Whom a resource is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// Whoever asks for it, or for everything.
    #[default]
    Everybody,
    /// Whoever asks for it by its name. What a wildcard covers is for the
    /// server to say (xDS protocol, "How the client specifies what resources to
    /// return").
    ByName,
    /// The same, of clients that place a member by its `envoy.lb`/`hash_key`
    /// (gRFC A76), as Envoy does; for others it does not exist.
    ByNameWithHashKey,
}

/// One resource on its way into a [`Snapshot`].
#[derive(Clone)]
pub struct Resource {
    name: Arc<str>,
    version: Arc<str>,
    bytes: Bytes,
    audience: Audience,
    variation: Option<Variation>,
    dependents: Vec<(ResourceType, Arc<str>)>,
}

/// See [`Resource::with_variation`].
type Variation = Arc<dyn Fn(u64) -> Bytes + Send + Sync>;

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource({} {})", self.name, self.version)
    }
}

impl Resource {
    /// A resource whose message is encoded as `bytes`. Its version is a hash of
    /// them, so encode deterministically.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            name: name.into(),
            version: hex(&Sha256::digest(&bytes)),
            bytes,
            audience: Audience::Everybody,
            variation: None,
            dependents: Vec::new(),
        }
    }

    /// Says whom it is for.
    #[must_use]
    pub fn for_audience(mut self, audience: Audience) -> Self {
        self.audience = audience;
        self
    }

    /// Whenever this resource is sent because it is new or changed, the named
    /// one is sent again behind it, changed or not.
    ///
    /// A cluster needs this for its endpoints: Envoy warms a changed cluster
    /// until a new `ClusterLoadAssignment` comes, even if nothing in it is new,
    /// and with delta xDS it does not ask for it (xDS protocol, "Resource
    /// warming").
    #[must_use]
    pub fn with_dependent(mut self, kind: ResourceType, name: impl Into<Arc<str>>) -> Self {
        self.dependents.push((kind, name.into()));
        self
    }

    /// `variation` encodes the same in other bytes for each number.
    ///
    /// An extension configuration needs this: Envoy remembers what it refused,
    /// and when the same bytes come again it accepts them without applying them
    /// (its `FilterConfigSubscription::onConfigUpdate`, 1.36 to 1.40).
    #[must_use]
    pub fn with_variation(
        mut self,
        variation: impl Fn(u64) -> Bytes + Send + Sync + 'static,
    ) -> Self {
        self.variation = Some(Arc::new(variation));
        self
    }

    /// The name by which proxies ask for it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Hash of the content, in hex.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The encoded message.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// A resource of a snapshot: encoded, for both protocol variants, in one buffer
/// that all streams share. Cheap to clone.
#[derive(Clone)]
pub struct Published {
    name: Arc<str>,
    version: Arc<str>,
    /// An encoded `envoy.service.discovery.v3.Resource` that ends with the
    /// `Any`, which ends with the message itself.
    wire: Bytes,
    any_at: usize,
    bytes_at: usize,
    kind: ResourceType,
    audience: Audience,
    variation: Option<Variation>,
    dependents: Arc<[(ResourceType, Arc<str>)]>,
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Published({} {} {})", self.kind, self.name, self.version)
    }
}

impl Published {
    fn new(kind: ResourceType, resource: Resource, version: Arc<str>) -> Self {
        const VERSION: u32 = 1;
        const RESOURCE: u32 = 2;
        const NAME: u32 = 3;
        const TYPE_URL: u32 = 1;
        const VALUE: u32 = 2;
        let Resource {
            name,
            bytes,
            audience,
            variation,
            dependents,
            ..
        } = resource;
        let type_url = kind.type_url().to_owned();
        let value_head = key_len(VALUE) + encoded_len_varint(bytes.len() as u64);
        let any_len = string::encoded_len(TYPE_URL, &type_url) + value_head + bytes.len();

        let mut wire = BytesMut::with_capacity(any_len + name.len() + version.len() + 32);
        string::encode(VERSION, &version.as_ref().to_owned(), &mut wire);
        string::encode(NAME, &name.as_ref().to_owned(), &mut wire);
        encode_key(RESOURCE, WireType::LengthDelimited, &mut wire);
        encode_varint(any_len as u64, &mut wire);
        let any_at = wire.len();
        string::encode(TYPE_URL, &type_url, &mut wire);
        encode_key(VALUE, WireType::LengthDelimited, &mut wire);
        encode_varint(bytes.len() as u64, &mut wire);
        let bytes_at = wire.len();
        wire.put(bytes);
        Self {
            name,
            version,
            wire: wire.freeze(),
            any_at,
            bytes_at,
            kind,
            audience,
            variation,
            dependents: dependents.into(),
        }
    }

    /// The name by which proxies ask for it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Hash of the content and of the resources that it depends on, in hex:
    /// when a cluster changes, so does the version of its endpoints. A proxy
    /// that lost its stream between the two then comes back with an old
    /// version of the endpoints and is sent what it waits for.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Whom it is for.
    #[must_use]
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// The encoded message.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.wire.slice(self.bytes_at..)
    }

    /// Whether it can be varied.
    pub(crate) fn can_vary(&self) -> bool {
        self.variation.is_some()
    }

    /// The same, of the same version, in the bytes of that number if it has any,
    /// see [`Resource::with_variation`].
    pub(crate) fn varied(&self, number: u64) -> Self {
        let Some(variation) = &self.variation else {
            return self.clone();
        };
        let resource = Resource {
            name: Arc::clone(&self.name),
            version: Arc::clone(&self.version),
            bytes: variation(number),
            audience: self.audience,
            variation: self.variation.clone(),
            dependents: self.dependents.to_vec(),
        };
        Self::new(self.kind, resource, Arc::clone(&self.version))
    }

    /// The resource as state of the world carries it, a `google.protobuf.Any`.
    pub(crate) fn any(&self) -> Bytes {
        self.wire.slice(self.any_at..)
    }

    /// The resource as delta carries it, a `Resource` with name and version.
    pub(crate) fn named(&self) -> Bytes {
        self.wire.clone()
    }

    /// What has to follow whenever this is sent.
    pub(crate) fn dependents(&self) -> &[(ResourceType, Arc<str>)] {
        &self.dependents
    }
}

/// All resources of one moment. Immutable.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    kinds: [BTreeMap<Arc<str>, Published>; ResourceType::ALL.len()],
    /// Names that some resource has for dependent, whether they exist or not.
    dependents: BTreeSet<(ResourceType, Arc<str>)>,
}

impl Snapshot {
    /// Encodes `resources`. Of two with the same type and name the later counts.
    pub fn new(resources: impl IntoIterator<Item = (ResourceType, Resource)>) -> Self {
        let resources: BTreeMap<(ResourceType, Arc<str>), Resource> = resources
            .into_iter()
            .map(|(kind, resource)| ((kind, Arc::clone(&resource.name)), resource))
            .collect();
        let mut owners: BTreeMap<(ResourceType, Arc<str>), Sha256> = BTreeMap::new();
        for ((kind, name), owner) in &resources {
            for dependent in &owner.dependents {
                let hash = owners.entry(dependent.clone()).or_default();
                for part in [kind.name(), name, &owner.version] {
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
            }
        }
        let mut snapshot = Self {
            dependents: owners.keys().cloned().collect(),
            ..Self::default()
        };
        for (id, resource) in resources {
            let version = match owners.remove(&id) {
                None => Arc::clone(&resource.version),
                Some(hash) => hex(&hash.chain_update(resource.version.as_bytes()).finalize()),
            };
            let (kind, name) = id;
            let published = Published::new(kind, resource, version);
            snapshot.kinds[kind as usize].insert(name, published);
        }
        snapshot
    }

    /// Whether some resource has that one for dependent.
    pub(crate) fn is_dependent(&self, kind: ResourceType, name: &Arc<str>) -> bool {
        self.dependents.contains(&(kind, Arc::clone(name)))
    }

    /// The resources of one type, by name.
    #[must_use]
    pub fn of(&self, kind: ResourceType) -> &BTreeMap<Arc<str>, Published> {
        &self.kinds[kind as usize]
    }
}

/// The first 64 bits of a hash: versions are only ever compared with the one
/// that a proxy has of the same resource.
fn hex(hash: &[u8]) -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    hash.iter()
        .take(8)
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect::<String>()
        .into()
}

/// The version of a set: a hash of the `(name, version)` pairs, which the
/// caller gives in a fixed order.
pub(crate) fn version_of<'a>(parts: impl Iterator<Item = (&'a str, &'a str)>) -> Arc<str> {
    let mut hash = Sha256::new();
    for part in parts.flat_map(|(name, version)| [name, version]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests;
