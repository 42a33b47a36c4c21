//! The configuration file: what an operator says once. Members come from the
//! registry, not from here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sharding::{
    DEFAULT_BODY_TIMEOUT_MS, DEFAULT_MAX_BODY, FilterConfig, KeyRule, Policy, Project, Sha256Hash,
    Verify,
};

use crate::redact::redact;

mod admin;
mod applied;
mod check;
mod cors;
mod error;
mod filter;
mod grpc_clients;
mod health;
mod keys;
mod listener;
mod log;
mod rebalance;
mod registry;
mod upstream;
mod xds;

pub use admin::{ADMIN_PORT, Admin, Reports};
pub use applied::Applied;
pub(crate) use applied::changed;
pub use cors::Cors;
pub use error::ConfigError;
pub use filter::Filter;
pub use grpc_clients::GrpcClients;
pub use health::{Check, Damping, Health, Incarnation, Readmit};
pub use listener::{Listener, Tls};
pub use log::{Log, LogFormat};
pub use rebalance::{Drain, Rebalance};
pub use registry::{
    AddressFamily, Dns, Etcd, EtcdTls, Kubernetes, Leases, Record, Registry, ServicePort, Yorkie,
};
pub use upstream::{Upstream, UpstreamProtocol};
pub use xds::{Limits, OnProxy, Xds, XdsTls};

/// Everything that `serve` needs, checked. Paths are absolute or relative to
/// the working directory, resolved against the file they were read from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where proxies reach the control plane.
    #[serde(default)]
    pub xds: Xds,
    /// File that keeps the last assignment over restarts. Written atomically;
    /// its folder must exist. Beside it is kept who is drained, was ejected or
    /// has left the registry: in `state.health.json`, for `state.json`.
    #[serde(default = "default_state_file")]
    pub state_file: PathBuf,
    /// How keys are spread over the members: Maglev or ring hash, with its
    /// sizes. Another policy moves most keys.
    #[serde(default)]
    pub policy: Policy,
    /// Where members come from: a file, leases, etcd, Kubernetes, Yorkie's database
    /// or a name in the DNS, one of them or several. What they say is merged by id;
    /// of what they have differently, under one id or at one address, that of the
    /// first in this order counts.
    pub registry: Registry,
    /// Whether members can serve, as the control plane and the proxies find it.
    /// Left out, whoever is in the registry serves.
    #[serde(default)]
    pub health: Option<Health>,
    /// Name of the Envoy cluster of the members, and of its EDS resource.
    /// Visible ASCII characters.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// The listener that Envoy gets. Left out, proxies bring their own and ask
    /// for the cluster, its endpoints and the filter only.
    #[serde(default)]
    pub listener: Option<Listener>,
    /// gRPC clients that take members and policy over xDS themselves and need no
    /// proxy. `policy` has to be a ring that they can build, of XXH64 and at most
    /// 4096 entries, such as `ring_hash:1024:4096`. Left out, nothing is served
    /// to them.
    #[serde(default)]
    pub grpc_clients: Option<GrpcClients>,
    /// How Envoy speaks to the members.
    #[serde(default)]
    pub upstream: Upstream,
    /// What browsers of other origins may send and read.
    #[serde(default)]
    pub cors: Cors,
    /// The filter's WebAssembly module.
    pub filter: Filter,
    /// What the keys of requests are that the built-in rules, those of Yorkie,
    /// do not know or know differently. A rule replaces the built-in one of the
    /// same path.
    #[serde(default, deserialize_with = "keys::strict_rules")]
    pub key_rules: Vec<KeyRule>,
    /// Public key of the project of requests that name none: that of Yorkie's
    /// project `default`, which its first start draws.
    #[serde(default)]
    pub default_project: Option<String>,
    /// File with that key, instead of the key: what `xds-server
    /// default-project --output` writes. Read with the configuration.
    #[serde(default)]
    pub default_project_file: Option<PathBuf>,
    /// Projects that requests name by name, by id or by secret key.
    #[serde(default, deserialize_with = "keys::strict_projects")]
    pub projects: Vec<Project>,
    /// File with the secret that servers show to call `ClusterService`
    /// (`--cluster-secret` of Yorkie). Read with the configuration; only its hash leaves
    /// the control plane.
    #[serde(default)]
    pub cluster_secret_file: Option<PathBuf>,
    /// SHA-256 of that secret, instead of the file. Without either, calls
    /// between servers pass only on an internal listener of one's own.
    #[serde(default)]
    pub cluster_secret_sha256: Option<Sha256Hash>,
    /// Whether a key in the header is believed.
    #[serde(default)]
    pub verify: Verify,
    /// Most bytes of a message that are read to find its key, up to 67108864. A
    /// listener of one's own needs a buffer limit of at least twice that.
    #[serde(default = "default_max_body")]
    pub max_body: u32,
    /// Longest time that a request is held back until its key has come in its
    /// message, however it trickles; then it is `unavailable`. Up to an hour.
    #[serde(default = "default_body_timeout", with = "humantime_serde")]
    pub body_timeout: Duration,
    /// What a rebalance waits for.
    #[serde(default)]
    pub rebalance: Rebalance,
    /// How streams that moved are ended.
    #[serde(default)]
    pub drain: Drain,
    /// What filters report through.
    #[serde(default)]
    pub reports: Reports,
    /// Where the control plane shows what it knows.
    #[serde(default)]
    pub admin: Admin,
    /// What it says while it runs.
    #[serde(default)]
    pub log: Log,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// The first thing in it that cannot be used; files that it names are not
    /// opened here.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|reason| ConfigError::Read {
            path: path.to_owned(),
            reason,
        })?;
        let mut config = Self::parse(&text, path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let files = [&mut config.state_file, &mut config.filter.module];
        let tls = config.xds.tls.iter_mut().flat_map(|tls| {
            let required = [&mut tls.certificate, &mut tls.key];
            required.into_iter().chain(&mut tls.client_ca)
        });
        for file in files
            .into_iter()
            .chain(config.registry.paths())
            .chain(&mut config.admin.token_file)
            .chain(tls)
        {
            *file = folder.join(&*file);
        }
        let refused = |setting| {
            move |reason| ConfigError::Setting {
                path: path.to_owned(),
                setting,
                reason,
            }
        };
        if let Some(file) = &config.cluster_secret_file {
            let hash = keys::secret_of(&folder.join(file));
            config.cluster_secret_sha256 = Some(hash.map_err(refused("cluster_secret_file"))?);
        }
        if let Some(file) = &config.default_project_file {
            let key = keys::public_key_of(&folder.join(file));
            config.default_project = Some(key.map_err(refused("default_project_file"))?);
        }
        Ok(config)
    }

    /// All settings with what was left out, for people: without the hashes of
    /// secrets. Secrets themselves are in files, which it only names.
    #[must_use]
    pub fn without_secrets(&self) -> Value {
        // Cannot fail: no map here has keys that are no text.
        let mut all = serde_json::to_value(self).unwrap_or_default();
        redact(&mut all);
        all
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = serde_saphyr::from_str(text).map_err(|error| ConfigError::Yaml {
            path: path.to_owned(),
            message: one_line(&error),
        })?;
        check::check(&config).map_err(|(setting, reason)| ConfigError::Setting {
            path: path.to_owned(),
            setting,
            reason,
        })?;
        Ok(config)
    }

    /// What the filter is told that does not depend on the members.
    #[must_use]
    pub fn filter_config(&self, epoch: u64) -> FilterConfig {
        FilterConfig {
            policy: self.policy,
            key_rules: self.key_rules.clone(),
            default_project: self.default_project.clone(),
            projects: self.projects.clone(),
            cluster_secret_sha256: self.cluster_secret_sha256,
            verify: self.verify,
            max_body: self.max_body,
            // Checked: an hour at most.
            body_timeout_ms: self.body_timeout.as_millis() as u32,
            unary_grace_ms: u64::try_from(self.drain.unary_grace.as_millis()).unwrap_or(u64::MAX),
            report_to: Some(self.reports.cluster.clone()),
            ..FilterConfig::new(epoch, &self.cluster)
        }
    }
}

/// The reason of a YAML error with its line and column, without the excerpt.
pub(crate) fn one_line(error: &serde_saphyr::Error) -> String {
    let user = error
        .without_snippet()
        .render_with_formatter(&serde_saphyr::UserMessageFormatter);
    user.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn default_state_file() -> PathBuf {
    PathBuf::from("state.json")
}

fn default_cluster() -> String {
    "yorkie".to_owned()
}

fn default_max_body() -> u32 {
    DEFAULT_MAX_BODY
}

fn default_body_timeout() -> Duration {
    Duration::from_millis(DEFAULT_BODY_TIMEOUT_MS.into())
}

#[cfg(test)]
mod tests;
