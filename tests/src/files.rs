//! Members and filter of an Envoy from files, each in place of the last: what
//! Envoy knows and what the filter is told are then two things, which no
//! control plane would let come apart.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};
use sharding::{FilterConfig, Roster};

const CLUSTER: &str = "yorkie";
const CONTROL_PLANE: &str = "yorkies_xds";
const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.http";
const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The files of one Envoy.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    module: PathBuf,
}

impl Files {
    /// Files in that folder, with the module that the filter is.
    pub fn new(folder: &Path, module: &Path) -> Result<Self> {
        let folder = folder.join("files");
        fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            module: module.to_owned(),
        })
    }

    /// Takes another module from the next filter on.
    pub fn use_module(&mut self, module: &Path) {
        module.clone_into(&mut self.module);
    }

    /// An empty configuration for these files, for that cluster.
    #[must_use]
    pub fn config(epoch: u64) -> FilterConfig {
        FilterConfig {
            report_to: Some(CONTROL_PLANE.to_owned()),
            ..FilterConfig::new(epoch, CLUSTER)
        }
    }

    /// Gives Envoy these members.
    pub fn set_members(&self, roster: &Roster) -> Result<()> {
        let endpoints = roster.members().iter().map(|member| {
            json!({
                "endpoint": { "address": address(member.address) },
                "load_balancing_weight": member.weight,
                "metadata": { "filter_metadata": { "envoy.lb": { "hash_key": member.id } } },
            })
        });
        let endpoints: Vec<_> = endpoints.collect();
        let resource = json!({
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": CLUSTER,
            "endpoints": [{ "lb_endpoints": endpoints }],
        });
        self.put("members.json", &resource)
    }

    /// Gives the filter this configuration.
    pub fn set_filter(&self, config: &FilterConfig) -> Result<()> {
        let string = "type.googleapis.com/google.protobuf.StringValue";
        let resource = json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": "yorkies",
            "typed_config": {
                "@type": format!("{HTTP}.wasm.v3.Wasm"),
                "config": {
                    "name": "yorkies",
                    "root_id": "yorkies",
                    "configuration": { "@type": string, "value": config.to_json()? },
                    "failure_policy": "FAIL_RELOAD",
                    "allow_on_headers_stop_iteration": true,
                    "vm_config": {
                        "vm_id": "yorkies",
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": { "local": { "filename": self.module } },
                    },
                },
            },
        });
        self.put("filter.json", &resource)
    }

    /// A bootstrap for them, with reports to the server at that address.
    #[must_use]
    pub fn bootstrap(&self, node: &str, reports: SocketAddr) -> String {
        let manager = json!({
            "@type": MANAGER,
            "stat_prefix": "documents",
            "stream_idle_timeout": "0s",
            "delayed_close_timeout": "0.05s",
            "http2_protocol_options": { "allow_connect": true },
            "http_filters": [
                {
                    "name": "yorkies",
                    "config_discovery": {
                        "config_source": self.source("filter.json"),
                        "type_urls": [format!("{HTTP}.wasm.v3.Wasm")],
                    },
                },
                {
                    "name": "router",
                    "typed_config": { "@type": format!("{HTTP}.router.v3.Router") },
                },
            ],
            "upgrade_configs": [{ "upgrade_type": "websocket" }],
            "route_config": { "virtual_hosts": [{
                "name": "documents",
                "domains": ["*"],
                "routes": [{
                    "match": { "prefix": "/", "headers": [
                        { "name": "x-shard-key", "present_match": true },
                    ] },
                    "route": {
                        "cluster": CLUSTER,
                        "timeout": "0s",
                        "hash_policy": [{ "header": { "header_name": "x-shard-key" }, "terminal": true }],
                    },
                }],
            }] },
        });
        json!({
            "node": { "id": node, "cluster": "yorkies" },
            "admin": { "address": address(SocketAddr::from(([127, 0, 0, 1], 0))) },
            "static_resources": {
                "listeners": [{
                    "name": "documents",
                    "address": address(SocketAddr::from(([127, 0, 0, 1], 0))),
                    "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
                }],
                "clusters": [self.members_cluster(), control_plane_cluster(reports)],
            },
        })
        .to_string()
    }

    fn members_cluster(&self) -> Value {
        let limits = json!({
            "max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000,
        });
        json!({
            "name": CLUSTER,
            "type": "EDS",
            "eds_cluster_config": { "eds_config": self.source("members.json") },
            "connect_timeout": "2s",
            "lb_policy": "MAGLEV",
            "common_lb_config": {
                "healthy_panic_threshold": { "value": 0 },
                "update_merge_window": "0s",
            },
            "circuit_breakers": { "thresholds": [limits] },
            "typed_extension_protocol_options": h2c(),
        })
    }

    fn source(&self, name: &str) -> Value {
        let path = self.folder.join(name);
        json!({ "resource_api_version": "V3", "path_config_source": { "path": path } })
    }

    /// In place of the last as a whole: Envoy looks when the name is given away.
    fn put(&self, name: &str, resource: &Value) -> Result<()> {
        let file = self.folder.join(name);
        let new = file.with_extension("new");
        fs::write(&new, json!({ "resources": [resource] }).to_string())?;
        Ok(fs::rename(new, file)?)
    }
}

fn control_plane_cluster(at: SocketAddr) -> Value {
    json!({
        "name": CONTROL_PLANE,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": CONTROL_PLANE,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(at) } }] }],
        },
        "typed_extension_protocol_options": h2c(),
    })
}

fn h2c() -> Value {
    json!({ HTTP_OPTIONS: {
        "@type": format!("type.googleapis.com/{HTTP_OPTIONS}"),
        "explicit_http_config": { "http2_protocol_options": { "allow_connect": true } },
    } })
}

fn address(address: SocketAddr) -> Value {
    let (ip, port) = (address.ip().to_string(), address.port());
    json!({ "socket_address": { "address": ip, "port_value": port } })
}
