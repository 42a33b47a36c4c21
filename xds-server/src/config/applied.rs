//! What brings a changed setting into force.

use serde_json::Value;

use super::Config;

/// What reads settings only once: ports, files and sources that are in use since
/// the start, and the name by which proxies know the cluster.
const AT_START: [&str; 7] = [
    "xds",
    "state_file",
    "registry",
    "health",
    "cluster",
    "admin",
    "log.format",
];

/// Settings that `serve` does not read.
const OF_BOOTSTRAP: [&str; 2] = ["xds.advertise", "xds.tls.on_proxy"];

/// What brings a changed setting into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// SIGHUP.
    ByReload,
    /// Another start of the control plane.
    ByRestart,
    /// Another bootstrap of the proxies: the control plane itself does not need
    /// it.
    ByBootstrap,
}

impl Applied {
    /// Of the setting, or section, at that path, such as `drain.rate`.
    #[must_use]
    pub fn of(setting: &str) -> Self {
        let is_in = |sections: &[&str]| sections.iter().any(|section| is_within(setting, section));
        if is_in(&OF_BOOTSTRAP) {
            Self::ByBootstrap
        } else if is_in(&AT_START) {
            Self::ByRestart
        } else {
            Self::ByReload
        }
    }
}

fn is_within(setting: &str, section: &str) -> bool {
    let rest = setting.strip_prefix(section);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The settings in which the two differ, by their paths; a section that only one
/// of them has is named itself.
pub(crate) fn changed(before: &Config, after: &Config) -> Vec<String> {
    // Cannot fail: no map here has keys that are no text.
    let value = |config| serde_json::to_value(config).unwrap_or_default();
    let mut changed = Vec::new();
    compare(String::new(), &value(before), &value(after), &mut changed);
    changed
}

fn compare(path: String, before: &Value, after: &Value, changed: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let only_after = after.keys().filter(|name| !before.contains_key(*name));
            for name in before.keys().chain(only_after) {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let of = |values: &serde_json::Map<String, Value>| {
                    values.get(name).cloned().unwrap_or_default()
                };
                compare(path, &of(before), &of(after), changed);
            }
        }
        _ if before == after => {}
        _ => changed.push(path),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(more: &str) -> Config {
        let text = format!("registry: {{file: m}}\nfilter: {{module: f}}\n{more}");
        Config::parse(&text, Path::new("yorkies.yaml")).unwrap()
    }

    fn changed(before: &str, after: &str) -> Vec<String> {
        super::changed(&config(before), &config(after))
    }

    #[test]
    fn every_difference_is_named_by_its_path_and_nothing_else() {
        assert_eq!(changed("", ""), [""; 0]);
        assert_eq!(
            changed(
                "drain: {rate: 5}\nverify: header",
                "drain: {rate: 6}\nverify: body\nlistener: {address: '0.0.0.0:80'}"
            ),
            ["drain.rate", "listener", "verify"]
        );
        assert_eq!(
            changed(
                "health: {check: tcp}\nprojects: [{name: a, public_key: p}]",
                "health: {check: {http: /h}}\nprojects: [{name: a, public_key: q}]"
            ),
            ["health.check", "projects"]
        );
    }

    #[test]
    fn a_section_and_all_in_it_are_applied_alike_but_for_what_only_proxies_read() {
        for (setting, applied) in [
            ("drain.rate", Applied::ByReload),
            ("log.filter", Applied::ByReload),
            ("log.format", Applied::ByRestart),
            ("cluster", Applied::ByRestart),
            ("cluster_secret_file", Applied::ByReload),
            ("xds", Applied::ByRestart),
            ("xds.tls", Applied::ByRestart),
            ("xds.tls.key", Applied::ByRestart),
            ("xds.tls.on_proxy.ca", Applied::ByBootstrap),
            ("xds.advertise", Applied::ByBootstrap),
        ] {
            assert_eq!(Applied::of(setting), applied, "{setting}");
        }
    }
}
