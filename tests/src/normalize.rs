//! Two Envoys' views of one configuration, made comparable.

use serde_json::Value;

/// Fields that differ between two Envoys, or two moments, of equal configuration.
const VOLATILE: [&str; 3] = ["last_updated", "version_info", "client_status"];

/// A dump of the dynamic configuration without timestamps and versions. Its
/// sections and the resources of a section are in a fixed order; within a
/// resource the order is Envoy's, since it means something: filters and routes
/// are gone through in theirs, and a ring depends on that of the endpoints.
/// The bootstrap is left out: there the two must differ.
#[must_use]
pub fn comparable_dump(dump: &Value) -> Value {
    let configs = dump["configs"].as_array().cloned().unwrap_or_default();
    let is_dynamic = |config: &Value| {
        let name = config["@type"].as_str().unwrap_or_default();
        !name.ends_with("BootstrapConfigDump")
    };
    let mut sections: Vec<_> = configs.into_iter().filter(is_dynamic).collect();
    for section in &mut sections {
        strip(section, &VOLATILE);
        let lists = section.as_object_mut().into_iter().flatten();
        lists.for_each(|(_, resources)| sort(resources));
    }
    let mut sections = Value::Array(sections);
    trim(&mut sections);
    sort(&mut sections);
    sections
}

/// Removes blanks at the end of texts: of a filter's configuration they tell
/// one stream's from another's.
fn trim(value: &mut Value) {
    match value {
        Value::Object(object) => object.values_mut().for_each(trim),
        Value::Array(array) => array.iter_mut().for_each(trim),
        Value::String(text) => text.truncate(text.trim_end().len()),
        _ => {}
    }
}

/// The hosts of all clusters without their counters, cluster by cluster in a
/// fixed order, hosts in Envoy's.
#[must_use]
pub fn comparable_clusters(clusters: &Value) -> Value {
    let mut clusters = clusters["cluster_statuses"].clone();
    strip(&mut clusters, &["stats"]);
    sort(&mut clusters);
    clusters
}

/// Removes the fields at any depth.
fn strip(value: &mut Value, fields: &[&str]) {
    match value {
        Value::Object(object) => {
            for field in fields {
                object.remove(*field);
            }
            object.values_mut().for_each(|value| strip(value, fields));
        }
        Value::Array(array) => array.iter_mut().for_each(|value| strip(value, fields)),
        _ => {}
    }
}

/// Sorts a list, and nothing in it.
fn sort(list: &mut Value) {
    if let Value::Array(list) = list {
        list.sort_by_cached_key(ToString::to_string);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dump() -> Value {
        json!({ "configs": [
            { "@type": "type/ClustersConfigDump", "dynamic_active_clusters": [
                { "version_info": "1", "cluster": { "name": "a" } },
                { "version_info": "2", "cluster": { "name": "b" } },
            ]},
            { "@type": "type/RoutesConfigDump", "dynamic_route_configs": [
                { "last_updated": "now", "route_config": { "routes": ["keyed", "any", "sink"] } },
            ]},
            { "@type": "type/EndpointsConfigDump", "dynamic_endpoint_configs": [
                { "endpoint_config": { "endpoints": [
                    { "lb_endpoints": [{ "weight": 1, "port": 2 }, { "weight": 2, "port": 1 }] },
                ]}},
            ]},
            { "@type": "type/ListenersConfigDump", "dynamic_listeners": [
                { "active_state": { "http_filters": ["cors", "yorkies", "router"] } },
            ]},
        ]})
    }

    fn reversed(pointer: &str) -> Value {
        let mut dump = dump();
        let list = dump.pointer_mut(pointer).and_then(Value::as_array_mut);
        list.expect(pointer).reverse();
        dump
    }

    #[test]
    fn what_envoy_lists_in_any_order_is_equal_in_any_order() {
        for list in ["/configs", "/configs/0/dynamic_active_clusters"] {
            let other = reversed(list);
            assert_ne!(other, dump(), "{list}");
            assert_eq!(comparable_dump(&other), comparable_dump(&dump()), "{list}");
        }
        let clusters =
            json!({ "cluster_statuses": [{ "name": "b" }, { "name": "a", "stats": 1 }] });
        let expected = json!([{ "name": "a" }, { "name": "b" }]);
        assert_eq!(comparable_clusters(&clusters), expected);
    }

    #[test]
    fn an_order_that_means_something_is_a_difference() {
        for list in [
            "/configs/1/dynamic_route_configs/0/route_config/routes",
            "/configs/2/dynamic_endpoint_configs/0/endpoint_config/endpoints/0/lb_endpoints",
            "/configs/3/dynamic_listeners/0/active_state/http_filters",
        ] {
            let other = comparable_dump(&reversed(list));
            assert_ne!(other, comparable_dump(&dump()), "{list}");
        }
        let clusters = |hosts: [u8; 2]| json!({ "cluster_statuses": [{ "host_statuses": hosts }] });
        assert_ne!(
            comparable_clusters(&clusters([1, 2])),
            comparable_clusters(&clusters([2, 1]))
        );
    }

    #[test]
    fn moments_and_versions_are_no_difference() {
        let mut other = dump();
        other["configs"][0]["dynamic_active_clusters"][0]["version_info"] = json!("3");
        other["configs"][1]["dynamic_route_configs"][0]["last_updated"] = json!("later");
        assert_eq!(comparable_dump(&other), comparable_dump(&dump()));
        other["configs"][0]["dynamic_active_clusters"][0]["cluster"]["name"] = json!("c");
        assert_ne!(comparable_dump(&other), comparable_dump(&dump()));
    }
}
