//! Two Envoys' views of one configuration, made comparable.

use serde_json::Value;

/// Fields that differ between two Envoys, or two moments, of equal configuration.
const VOLATILE: [&str; 3] = ["last_updated", "version_info", "client_status"];

/// A dump of the dynamic configuration without timestamps and versions, and in
/// a fixed order. The bootstrap is left out: there the two must differ.
#[must_use]
pub fn comparable_dump(dump: &Value) -> Value {
    let configs = dump["configs"].as_array().cloned().unwrap_or_default();
    let is_dynamic = |config: &Value| {
        let name = config["@type"].as_str().unwrap_or_default();
        !name.ends_with("BootstrapConfigDump")
    };
    let mut configs = Value::Array(configs.into_iter().filter(is_dynamic).collect());
    strip(&mut configs, &VOLATILE);
    configs
}

/// The hosts of all clusters without their counters.
#[must_use]
pub fn comparable_clusters(clusters: &Value) -> Value {
    let mut clusters = clusters["cluster_statuses"].clone();
    strip(&mut clusters, &["stats"]);
    clusters
}

/// Removes the fields at any depth and sorts every list of named things.
fn strip(value: &mut Value, fields: &[&str]) {
    match value {
        Value::Object(object) => {
            for field in fields {
                object.remove(*field);
            }
            for value in object.values_mut() {
                strip(value, fields);
            }
        }
        Value::Array(array) => {
            for value in array.iter_mut() {
                strip(value, fields);
            }
            array.sort_by_cached_key(ToString::to_string);
        }
        _ => {}
    }
}
