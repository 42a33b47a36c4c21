//! The configuration file: what an operator says once. Members come from the
//! registry, not from here.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sharding::{
    DEFAULT_BODY_TIMEOUT_MS, DEFAULT_MAX_BODY, FilterConfig, KeyRule, Policy, Project, Sha256Hash,
    Verify,
};
use thiserror::Error;

use crate::bootstrap::HostPort;

mod check;
mod keys;

/// Everything that `serve` needs, checked. Paths are absolute or relative to
/// the working directory, resolved against the file they were read from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where proxies reach the control plane.
    #[serde(default)]
    pub xds: Xds,
    /// Keeps the last assignment over restarts. Written atomically; its folder
    /// must exist.
    #[serde(default = "default_state_file")]
    pub state_file: PathBuf,
    /// How keys are spread over the members.
    #[serde(default)]
    pub policy: Policy,
    /// Where members come from.
    pub registry: Registry,
    /// Name of the Envoy cluster of the members; also of its EDS resource.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// Where Envoy listens. Absent: proxies bring their own listener and ask
    /// for the cluster, the endpoints and the filter only.
    #[serde(default)]
    pub listener: Option<Listener>,
    /// How Envoy speaks to the members.
    #[serde(default)]
    pub upstream: Upstream,
    /// What browsers of other origins may send and read.
    #[serde(default)]
    pub cors: Cors,
    /// The wasm module.
    pub filter: Filter,
    /// Rules for requests that the built-in ones do not know, or know
    /// differently.
    #[serde(default, deserialize_with = "keys::strict_rules")]
    pub key_rules: Vec<KeyRule>,
    /// Public key of the project of requests that name none: Yorkie's own
    /// default project, whose key its first start draws.
    #[serde(default)]
    pub default_project: Option<String>,
    /// Projects that requests name by name, id or secret key.
    #[serde(default, deserialize_with = "keys::strict_projects")]
    pub projects: Vec<Project>,
    /// File with the secret that servers of the cluster show
    /// (`--cluster-secret` of Yorkie). Only its hash goes to the proxies.
    #[serde(default)]
    pub cluster_secret_file: Option<PathBuf>,
    /// SHA-256 of that secret, instead of the file. Without either, calls
    /// between servers pass only on an internal listener.
    #[serde(default)]
    pub cluster_secret_sha256: Option<Sha256Hash>,
    /// Whether a key in the header is compared with the message.
    #[serde(default)]
    pub verify: Verify,
    /// Most bytes of a request's body that are read to find its key. A
    /// listener of one's own needs a `per_connection_buffer_limit_bytes` of at
    /// least twice that.
    #[serde(default = "default_max_body")]
    pub max_body: u32,
    /// Longest time that a request is held back until its key has arrived in
    /// its body; then it is refused.
    #[serde(default = "default_body_timeout", with = "humantime_serde")]
    pub body_timeout: Duration,
}

/// The xDS server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Xds {
    /// Address to listen on; port 0 takes a free one and logs it.
    pub listen: SocketAddr,
    /// Address that `bootstrap` gives to proxies, when it is another one: a
    /// published port or a name.
    pub advertise: Option<HostPort>,
}

/// Sources of members.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// A members file, watched.
    pub file: PathBuf,
}

/// The listener that Envoy gets from the control plane.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address on the proxy's machine.
    pub address: SocketAddr,
    /// Serves HTTPS instead of HTTP.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Writes a line per request to Envoy's standard output.
    #[serde(default = "yes")]
    pub access_log: bool,
}

/// Certificate of the listener: files on the proxy's machine, PEM.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate with its chain.
    pub certificate_chain: String,
    /// Its private key.
    pub private_key: String,
}

/// Connections from Envoy to the members.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// HTTP version.
    pub protocol: UpstreamProtocol,
    /// Longest wait for a connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// A connection without requests is closed after this; must stay below the
    /// servers' own idle timeout (Yorkie: 2 min), or a request can meet a
    /// connection that is being closed.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Open requests, streams included, over which Envoy answers 503.
    pub max_requests: u32,
    /// Connections over which Envoy answers 503.
    pub max_connections: u32,
}

/// HTTP version towards the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/2 in clear text, with prior knowledge.
    H2c,
    /// HTTP/1.1.
    Http1,
    /// The version that the client speaks; lets websockets through to servers
    /// that know them only on HTTP/1.1.
    Downstream,
}

/// Cross-origin rules; the defaults are those of Yorkie's own gateway.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins that may call, each exact; `*` for any.
    pub allow_origins: Vec<String>,
    /// Request headers beyond the safelisted ones.
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<String>,
    /// Whether cookies may be sent along.
    pub allow_credentials: bool,
}

/// The filter's module.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The module on this machine; its content decides which VM Envoy uses.
    pub module: PathBuf,
    /// The same file on the proxies' machines; default: the same path. Name it
    /// by version or hash and never overwrite it: Envoy would start a new VM
    /// with the next update, in the middle of whatever goes on.
    #[serde(default)]
    pub module_on_proxy: Option<String>,
}

/// Why a configuration is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {reason}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// Not YAML, or a field that breaks its rule; the message has line and
    /// column.
    #[error("{path}: {message}", path = .path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// Well-formed, but not usable.
    #[error("{path}: {setting}: {reason}", path = .path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// Dotted path of the setting.
        setting: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
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
        for file in [
            &mut config.state_file,
            &mut config.registry.file,
            &mut config.filter.module,
        ] {
            *file = folder.join(&*file);
        }
        if let Some(file) = &config.cluster_secret_file {
            let file = folder.join(file);
            let hash = keys::secret_of(&file).map_err(|reason| ConfigError::Setting {
                path: path.to_owned(),
                setting: "cluster_secret_file",
                reason,
            })?;
            config.cluster_secret_sha256 = Some(hash);
        }
        Ok(config)
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

fn yes() -> bool {
    true
}

impl Default for Xds {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18_000),
            advertise: None,
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            protocol: UpstreamProtocol::H2c,
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_mins(1),
            max_requests: 1_000_000,
            max_connections: 100_000,
        }
    }
}

impl Default for Cors {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            allow_origins: owned(&["*"]),
            allow_headers: owned(&[
                "authorization",
                "cache-control",
                "connect-protocol-version",
                "connect-timeout-ms",
                "content-type",
                "grpc-timeout",
                "keep-alive",
                "user-agent",
                "x-api-key",
                "x-grpc-web",
                "x-shard-key",
                "x-user-agent",
                "x-yorkie-user-agent",
            ]),
            expose_headers: owned(&["grpc-message", "grpc-status", "grpc-status-details-bin"]),
            allow_credentials: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "registry: {file: members.yaml}\nfilter: {module: filter.wasm}\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("yorkies.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn two_settings_are_enough() {
        let config = parse(LEAST).unwrap();
        assert_eq!(config.policy.to_string(), "maglev:65537");
        assert_eq!(config.cluster, "yorkie");
        assert_eq!(config.listener, None);
        assert!(config.upstream.idle_timeout < Duration::from_mins(2));
    }

    #[test]
    fn a_bad_setting_is_named_with_its_line_and_reason() {
        for (line, message) in [
            (
                "policy: maglev:65536",
                "maglev table size 65536 is not usable",
            ),
            ("polcy: maglev", "unknown field `polcy`"),
            ("upstream: {protocol: h3}", "unknown variant `h3`"),
            ("xds: {listen: localhost}", "invalid socket address"),
            ("key_rules: [{path: x}]", "path pattern \"x\" is not usable"),
            ("key_rules: [{path: /x, when: y}]", "unknown field `when`"),
            (
                "key_rules: [{path: /x, keys: [{field: a=1}]}]",
                "unknown variant `field`",
            ),
            (
                "key_rules: [{path: /x, learn: {id: a, key: b=1}}]",
                "field path \"a\"",
            ),
            (
                "projects: [{name: n, public_key: p, secret_key: s}]",
                "unknown field `secret_key`",
            ),
            (
                "cluster_secret_sha256: swordfish",
                "a text of 9 bytes is no SHA-256 hash",
            ),
            ("verify: all", "unknown variant `all`"),
        ] {
            let error = parse(&format!("{LEAST}{line}\n")).unwrap_err();
            assert!(error.starts_with("yorkies.yaml: "), "{error}");
            assert!(error.contains("line 3"), "{error}");
            assert!(error.contains(message), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_setting_that_only_makes_sense_with_others_is_named_too() {
        for (line, message) in [
            ("cluster: ''", "yorkies.yaml: cluster: \"\" is not usable"),
            (
                "upstream: {idle_timeout: 0s}",
                "yorkies.yaml: upstream.idle_timeout: 0s is not usable",
            ),
            (
                "upstream: {connect_timeout: 2h}",
                "yorkies.yaml: upstream.connect_timeout: 2h is not usable",
            ),
            (
                "cluster: yorkies_xds",
                "yorkies.yaml: cluster: \"yorkies_xds\" is not usable",
            ),
            (
                "cluster: yorkies.unroutable",
                "yorkies.yaml: cluster: \"yorkies.unroutable\" is not usable",
            ),
            (
                "listener: {address: '127.0.0.1:1', tls: {certificate_chain: c, private_key: ''}}",
                "yorkies.yaml: listener.tls.private_key: \"\" is not usable",
            ),
            (
                "cors: {allow_headers: [\"a\\r\\nb\"]}",
                "yorkies.yaml: cors.allow_headers: \"a\\r\\nb\" is not usable",
            ),
            (
                "cors: {allow_origins: ['']}",
                "yorkies.yaml: cors.allow_origins: \"\" is not usable",
            ),
            (
                "key_rules: [{path: /x}, {path: /x, no_key: any}]",
                "yorkies.yaml: key_rules: path /x is given twice",
            ),
            (
                "upstream: {max_requests: 0}",
                "yorkies.yaml: upstream.max_requests: 0 is not usable",
            ),
            (
                "key_rules: [{path: /x, no_key: {fixed: a b}}]",
                "yorkies.yaml: key_rules: fixed key \"a b\" is not usable",
            ),
            (
                "default_project: ''",
                "yorkies.yaml: default_project: public key \"\"",
            ),
            (
                "projects: [{name: a, public_key: p}, {name: a, public_key: q}]",
                "yorkies.yaml: projects: projects \"a\" and \"a\" have the same name",
            ),
            ("max_body: 0", "yorkies.yaml: max_body: 0 is not usable"),
            (
                "body_timeout: 2h",
                "yorkies.yaml: body_timeout: 2h is not usable",
            ),
        ] {
            let error = parse(&format!("{LEAST}{line}\n")).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn a_rule_can_say_all_that_a_rule_has() {
        let line = "key_rules: [{path: '/v1/{p}/{d}', kind: server_stream, resource: document, \
            keys: [{path: d}, {document_id: id=2}], projects: [{path: p}, credentials], \
            learn: {id: id=1, key: pack=2.key=1}, many: true, internal: true, no_key: {fixed: k}}]";
        let config = parse(&format!("{LEAST}{line}\n")).unwrap();
        let json = r#"{"path":"/v1/{p}/{d}","kind":"server_stream","resource":"document","keys":[{"path":"d"},{"document_id":"id=2"}],"projects":[{"path":"p"},"credentials"],"learn":{"id":"id=1","key":"pack=2.key=1"},"many":true,"internal":true,"no_key":{"fixed":"k"}}"#;
        assert_eq!(serde_json::to_string(&config.key_rules[0]).unwrap(), json);
    }

    #[test]
    fn the_example_of_other_rules_is_one() {
        let example = include_str!("../../envoy/key-rules.yaml");
        let config = parse(&format!("{LEAST}{example}")).unwrap();
        assert_eq!(config.key_rules.len(), 5);
    }

    #[test]
    fn a_secret_in_a_file_is_kept_as_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("yorkies.yaml");
        fs::write(&path, format!("{LEAST}cluster_secret_file: secret\n")).unwrap();
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(error.contains("cluster_secret_file: "), "{error}");
        fs::write(folder.path().join("secret"), "swordfish\n").unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(
            config.cluster_secret_sha256.unwrap().to_string(),
            "b9f195c5cc7ef6afadbfbc42892ad47d3b24c6bc94bb510c4564a90a14e8b799"
        );
        assert!(!format!("{config:?}").contains("swordfish"));
    }

    #[test]
    fn a_secret_is_given_once() {
        let line = format!(
            "cluster_secret_file: x\ncluster_secret_sha256: {}",
            "0".repeat(64)
        );
        let error = parse(&format!("{LEAST}{line}\n")).unwrap_err();
        assert!(error.contains("cluster_secret_file: "), "{error}");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("yorkies.yaml");
        fs::write(&path, LEAST).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.registry.file, folder.path().join("members.yaml"));
        assert_eq!(config.state_file, folder.path().join("state.json"));
    }
}
