//! Names of the request headers that the router reads and writes.

/// Carries the shard key: sent by clients, made canonical by the filter, hashed
/// by Envoy.
pub const SHARD_KEY: &str = "x-shard-key";

/// Epoch of the assignment under which the filter routed the request. For the
/// server behind; a client's own value is always replaced.
pub const SHARD_EPOCH: &str = "x-shard-epoch";

/// Member id that the filter expects to be the owner. For the server behind; a
/// client's own value is always replaced.
pub const SHARD_OWNER: &str = "x-shard-owner";

/// Yorkie's project credential: the public API key, which is also the first
/// half of a shard key.
pub const API_KEY: &str = "x-api-key";

/// Credentials; `API-Key <secret key>` names a project to Yorkie's
/// `AdminService`.
pub const AUTHORIZATION: &str = "authorization";

/// What Yorkie's servers show each other.
pub const CLUSTER_SECRET: &str = "x-cluster-secret";
