//! Resources as JSON, by the rules of protobuf and with the names that its
//! fields have in Envoy's API, as Envoy's own `/config_dump` has them.
//!
//! The generated types know no JSON, and descriptors of the whole API are
//! megabytes. `proto/` has what [`crate::resources`] uses of it, under the
//! names and numbers of the API; a test finds what is missing there.

use std::sync::LazyLock;

use bytes::Bytes;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;
use thiserror::Error;

use crate::redact::redact;
use crate::snapshot::ResourceType;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| {
    DescriptorPool::decode(include_bytes!(concat!(env!("OUT_DIR"), "/envoy.bin")).as_slice()).ok()
});

/// Field of the plugin's configuration that has JSON of its own.
const CONFIGURATION: [&str; 4] = ["typed_config", "config", "configuration", "value"];

/// Why a resource has no JSON.
#[derive(Debug, Error)]
pub(crate) enum JsonError {
    /// Nothing describes it.
    #[error("no description of {0}")]
    Unknown(&'static str),
    /// Its bytes are those of something else.
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
    /// It has no JSON, most likely as nothing describes a part of it.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The JSON of a resource, without hashes of secrets.
pub(crate) fn json(kind: ResourceType, bytes: Bytes) -> Result<Value, JsonError> {
    let options = SerializeOptions::new().use_proto_field_name(true);
    let message = message(kind, bytes)?;
    let mut json = message.serialize_with_options(serde_json::value::Serializer, &options)?;
    redact_configuration(&mut json);
    Ok(json)
}

fn message(kind: ResourceType, bytes: Bytes) -> Result<DynamicMessage, JsonError> {
    let type_url = kind.type_url();
    let name = type_url.rsplit('/').next().unwrap_or(type_url);
    let pool = POOL.as_ref();
    let descriptor = pool.and_then(|pool| pool.get_message_by_name(name));
    let descriptor = descriptor.ok_or(JsonError::Unknown(type_url))?;
    Ok(DynamicMessage::decode(descriptor, bytes)?)
}

/// The filter's configuration is a text, in which hashes are found only as what
/// it stands for.
fn redact_configuration(json: &mut Value) {
    let mut at = json;
    for name in CONFIGURATION {
        let Some(inner) = at.get_mut(name) else {
            return;
        };
        at = inner;
    }
    let text = at.as_str().unwrap_or_default();
    let Ok(configuration) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let mut redacted = configuration.clone();
    redact(&mut redacted);
    if redacted != configuration {
        *at = redacted.to_string().into();
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::{ReflectMessage, Value as Field};

    use super::*;
    use crate::config::Config;
    use crate::module::Module;
    use crate::rebalance;
    use crate::resources::snapshot;
    use crate::snapshot::Snapshot;
    use sharding::{Member, Roster};

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn resources(more: &str) -> Snapshot {
        let text = format!("registry: {{file: m}}\nfilter: {{module: f}}\n{more}");
        let config: Config = serde_saphyr::from_str(&text).unwrap();
        let member = Member::new("m1", ([127, 0, 0, 1], 1).into(), 2);
        let roster = Roster::new(vec![member]).unwrap();
        let assigned = rebalance::next(None, roster, &config.filter_config(0), 7);
        let module = Module {
            path_on_proxy: "/f.wasm".to_owned(),
        };
        snapshot(&config, &module, &assigned)
    }

    /// Configurations that together use all that resources can have.
    fn variants() -> Vec<Snapshot> {
        let listener = "listener: {address: '127.0.0.1:80', access_log: true, tls: {certificate_chain: c, private_key: k}}";
        [
            format!("{listener}\nupstream: {{protocol: h2c}}\ncors: {{allow_origins: ['*']}}"),
            format!("{listener}\nupstream: {{protocol: http1}}\npolicy: ring_hash:9:99:murmur2\ncors: {{allow_origins: ['https://a']}}"),
            format!("upstream: {{protocol: downstream}}\ncluster_secret_sha256: {HASH}"),
            "policy: ring_hash:9:99\ngrpc_clients: {target: docs}".to_owned(),
        ]
        .iter()
        .map(|more| resources(more))
        .collect()
    }

    /// What of a message nothing describes, by its place.
    fn undescribed(message: &DynamicMessage, place: &str, found: &mut Vec<String>) {
        for field in message.unknown_fields() {
            found.push(format!("{place}: field {}", field.number()));
        }
        if message.descriptor().full_name() == "google.protobuf.Any" {
            let url = message.get_field_by_name("type_url").unwrap();
            let value = message.get_field_by_name("value").unwrap();
            let name = url.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            let pool = message.descriptor().parent_pool().clone();
            let Some(descriptor) = pool.get_message_by_name(&name) else {
                found.push(format!("{place}: message {name}"));
                return;
            };
            let inner = DynamicMessage::decode(descriptor, value.as_bytes().unwrap().clone());
            undescribed(&inner.unwrap(), &format!("{place}.{name}"), found);
        }
        for (field, value) in message.fields() {
            let place = format!("{place}.{}", field.name());
            match value {
                Field::Message(message) => undescribed(message, &place, found),
                Field::List(values) => {
                    for message in values.iter().filter_map(Field::as_message) {
                        undescribed(message, &place, found);
                    }
                }
                Field::Map(values) => {
                    for message in values.values().filter_map(Field::as_message) {
                        undescribed(message, &place, found);
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn all_that_resources_have_is_described() {
        let mut found = Vec::new();
        for snapshot in variants() {
            for kind in ResourceType::ALL {
                for resource in snapshot.of(kind).values() {
                    let message = message(kind, resource.bytes()).unwrap();
                    undescribed(&message, kind.name(), &mut found);
                    json(kind, resource.bytes()).unwrap();
                }
            }
        }
        assert!(found.is_empty(), "add to proto/: {found:#?}");
    }

    #[test]
    fn names_and_numbers_are_those_of_the_api() {
        let snapshot = &variants()[1];
        let json = |kind, name: &str| json(kind, snapshot.of(kind)[name].bytes()).unwrap();
        let cluster = json(ResourceType::Cluster, "yorkie");
        assert_eq!(cluster["lb_policy"], "RING_HASH");
        assert_eq!(cluster["ring_hash_lb_config"]["minimum_ring_size"], "9");
        assert_eq!(cluster["type"], "EDS");
        let endpoints = json(ResourceType::Endpoints, "yorkie");
        let endpoint = &endpoints["endpoints"][0]["lb_endpoints"][0];
        assert_eq!(endpoint["load_balancing_weight"], 2);
        let listener = json(ResourceType::Listener, "yorkies");
        let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
        assert_eq!(manager["request_headers_timeout"], "10s");
    }

    #[test]
    fn what_a_grpc_client_has_is_shown_as_well() {
        let snapshot = &variants()[3];
        let json = |kind, name: &str| json(kind, snapshot.of(kind)[name].bytes()).unwrap();
        let listener = json(ResourceType::Listener, "docs");
        let manager = &listener["api_listener"]["api_listener"];
        assert_eq!(manager["rds"]["route_config_name"], "docs");
        let endpoints = json(ResourceType::Endpoints, "yorkie.grpc");
        assert_eq!(endpoints["endpoints"][0]["load_balancing_weight"], 1);
    }

    #[test]
    fn hashes_of_secrets_are_not_shown() {
        let snapshot = &variants()[2];
        let kind = ResourceType::Extension;
        let bytes = snapshot.of(kind)["yorkies"].bytes();
        let json = json(kind, bytes.clone()).unwrap();
        let text = json["typed_config"]["config"]["configuration"]["value"].as_str();
        let configuration: Value = serde_json::from_str(text.unwrap()).unwrap();
        assert_eq!(configuration["cluster_secret_sha256"], "redacted");
        assert!(!json.to_string().contains(HASH));
        assert!(
            String::from_utf8_lossy(&bytes).contains(HASH),
            "proxies need it"
        );
    }
}
