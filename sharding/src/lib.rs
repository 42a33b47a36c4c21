//! What the filter and the control plane must agree on, to the bit: how a
//! request's shard key is spelled ([`ShardKey`]), which member owns it
//! ([`Assignment`]), and the message that carries an assignment from one half
//! to the other ([`FilterConfig`]), and the one that comes back ([`Report`]).
//!
//! Pure: no input or output, no clock, no randomness. The same code runs
//! natively in the control plane and as WebAssembly inside Envoy, so a
//! prediction made by either is the same prediction.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::panic,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

mod assignment;
mod field;
mod filter_config;
mod hash;
mod headers;
mod key;
mod maglev;
mod member;
mod policy;
mod project;
mod report;
mod ring;
mod rules;
mod yorkie;

pub use assignment::{Assignment, Owner};
pub use field::{Field, FieldPath, FieldPathError, MAX_FIELD_DEPTH};
pub use filter_config::{
    DEFAULT_BODY_TIMEOUT_MS, DEFAULT_MAX_BODY, DEFAULT_UNARY_GRACE_MS, Decoded, Drain, FORMAT,
    FilterConfig, FilterConfigError, MAX_BODY_TIMEOUT_MS, MAX_MAX_BODY, Verify,
};
pub use hash::{murmur2, xxh64};
pub use headers::{API_KEY, AUTHORIZATION, CLUSTER_SECRET, SHARD_EPOCH, SHARD_KEY, SHARD_OWNER};
pub use key::{
    KeyError, MAX_KEY_LEN, Resource, ShardKey, canonical_project, decode_text, percent_decode,
};
pub use maglev::{MAX_TABLE_SIZE, Maglev};
pub use member::{MAX_MEMBERS, Member, Roster, RosterError};
pub use policy::{HashFunction, MAX_RING_SIZE, Policy, PolicyError};
pub use project::{Project, ProjectError, Sha256Hash, check_projects, check_public_key};
pub use report::{MemberStreams, Phase, REPORTS_SERVICE, Receipt, Report, SEND_METHOD};
pub use ring::{HashRing, RingEntry};
pub use rules::{
    KeyRule, KeySource, Kind, Learn, MAX_FIELDS, NoKey, PathPattern, ProjectSource, RuleError,
    Rules, Variables,
};
pub use yorkie::{AUTH_SESSION_KEY, yorkie_rules};
