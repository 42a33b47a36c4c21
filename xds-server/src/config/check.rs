//! What the types of the settings alone cannot refuse.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::{Config, Listener, keys};
use crate::bootstrap::XDS_CLUSTER;
use crate::resources::UNROUTABLE;

/// Envoy counts in milliseconds and refuses durations beyond its own range;
/// nobody means to wait longer than this.
const DURATIONS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_hours(1);

/// A setting by its dotted path, and what is wrong with it.
pub(super) type Problem = (&'static str, String);

/// Finds the first setting that cannot work.
pub(super) fn check(config: &Config) -> Result<(), Problem> {
    check_cluster(&config.cluster)?;
    check_durations(config)?;
    check_upstream(config)?;
    config.listener.as_ref().map_or(Ok(()), check_listener)?;
    check_cors(config)?;
    if config.filter.module_on_proxy.as_deref() == Some("") {
        return Err((
            "filter.module_on_proxy",
            "\"\" is not usable: expected a path, or leave it out".to_owned(),
        ));
    }
    let mut paths = BTreeSet::new();
    for rule in &config.key_rules {
        if !paths.insert(rule.path.to_string()) {
            let path = &rule.path;
            return Err(("key_rules", format!("path {path} is given twice")));
        }
    }
    keys::check(config)
}

fn check_cluster(name: &str) -> Result<(), Problem> {
    let problem = if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        "expected visible ASCII characters"
    } else if [XDS_CLUSTER, UNROUTABLE].contains(&name) {
        "the name has a meaning of its own"
    } else {
        return Ok(());
    };
    Err(("cluster", format!("{name:?} is not usable: {problem}")))
}

fn check_durations(config: &Config) -> Result<(), Problem> {
    let upstream = &config.upstream;
    for (setting, value) in [
        ("upstream.connect_timeout", upstream.connect_timeout),
        ("upstream.idle_timeout", upstream.idle_timeout),
        ("body_timeout", config.body_timeout),
    ] {
        if !DURATIONS.contains(&value) {
            let value = humantime::format_duration(value);
            return Err((
                setting,
                format!("{value} is not usable: expected 1ms to 1h"),
            ));
        }
    }
    Ok(())
}

fn check_upstream(config: &Config) -> Result<(), Problem> {
    let upstream = &config.upstream;
    for (setting, value) in [
        ("upstream.max_requests", upstream.max_requests),
        ("upstream.max_connections", upstream.max_connections),
    ] {
        if value == 0 {
            return Err((setting, "0 is not usable: no request would pass".to_owned()));
        }
    }
    Ok(())
}

fn check_listener(listener: &Listener) -> Result<(), Problem> {
    let Some(tls) = &listener.tls else {
        return Ok(());
    };
    for (setting, path) in [
        ("listener.tls.certificate_chain", &tls.certificate_chain),
        ("listener.tls.private_key", &tls.private_key),
    ] {
        if path.is_empty() {
            return Err((setting, "\"\" is not usable: expected a path".to_owned()));
        }
    }
    Ok(())
}

fn check_cors(config: &Config) -> Result<(), Problem> {
    let cors = &config.cors;
    for (setting, names) in [
        ("cors.allow_headers", &cors.allow_headers),
        ("cors.expose_headers", &cors.expose_headers),
    ] {
        if let Some(name) = names
            .iter()
            .find(|name| HeaderName::from_str(name).is_err())
        {
            return Err((
                setting,
                format!("{name:?} is not usable: expected a header name"),
            ));
        }
    }
    let bad = |origin: &&String| origin.is_empty() || HeaderValue::from_str(origin).is_err();
    match cors.allow_origins.iter().find(bad) {
        Some(origin) => Err((
            "cors.allow_origins",
            format!(
                "{origin:?} is not usable: expected an origin such as https://example.org, or *"
            ),
        )),
        None => Ok(()),
    }
}
