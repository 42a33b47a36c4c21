//! Settings that are refused, each with its reason.

use super::*;

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
        (
            "xds: {tls: {certificate: a, key: b, identity: ['{nod}']}}",
            "identity \"{nod}\" is not usable",
        ),
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
        ("rebalance: {settle: 250}", "\"250\" is no duration"),
        (
            "drain: {rate: -5}",
            "\"-5\" is no rate: expected 1 to 4294967295",
        ),
        ("drain: {window: 2s}", "unknown field `window`"),
        (
            "admin: {listen: localhost}",
            "address \"localhost\" is not usable: expected IP:PORT, [IP]:PORT or none",
        ),
    ] {
        let error = parse(&format!("{LEAST}{line}\n")).unwrap_err();
        assert!(error.starts_with("yorkies.yaml: "), "{error}");
        assert!(error.contains("line 3"), "{error}");
        assert!(error.contains(message), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_check_that_cannot_work_is_named() {
    for (health, message) in [
        (
            "{check: {http: health}}",
            "health.check: \"health\" is not usable: expected a path",
        ),
        (
            "{check: tcp, fail_after: 1}",
            "health.fail_after: 1 is not usable: expected 2 to 100",
        ),
        (
            "{check: tcp, timeout: 3s}",
            "health.timeout: 3s is not usable: expected 1ms to 2s",
        ),
        ("{check: tcp, quorum: 0}", "health.quorum: 0 is not usable"),
        (
            "{check: tcp, incarnation: {port: 0}}",
            "health.incarnation.port: 0 is not usable",
        ),
        (
            "{check: tcp, damping: {first: 10m}}",
            "health.damping.first: 10m is not usable: expected 0s to 5m",
        ),
        ("{interval: 1s}", "missing field `check`"),
    ] {
        let error = parse(&format!("{LEAST}health: {health}\n")).unwrap_err();
        assert!(error.contains(message), "{error}");
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
        (
            "rebalance: {settle: 3s}",
            "yorkies.yaml: rebalance.settle_max: 2s is not usable: expected 3s to 1m",
        ),
        (
            "rebalance: {ack_wait: 0}",
            "yorkies.yaml: rebalance.ack_wait: 0s is not usable: expected 1ms to 1m",
        ),
        (
            "rebalance: {finish_wait: 2m}",
            "yorkies.yaml: rebalance.finish_wait: 2m is not usable",
        ),
        (
            "drain: {rate: 0}",
            "yorkies.yaml: drain.rate: 0 is not usable: expected at least 1",
        ),
        (
            "drain: {max_window: 90s}",
            "yorkies.yaml: drain.max_window: 1m 30s is not usable: expected 0s to 1m",
        ),
        (
            "drain: {unary_grace: 2h}",
            "yorkies.yaml: drain.unary_grace: 2h is not usable",
        ),
        (
            "reports: {cluster: yorkie}",
            "yorkies.yaml: reports.cluster: \"yorkie\" is not usable: it is the cluster of the members",
        ),
        (
            "reports: {cluster: ''}",
            "yorkies.yaml: reports.cluster: \"\" is not usable: expected visible",
        ),
    ] {
        let error = parse(&format!("{LEAST}{line}\n")).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn a_log_filter_that_means_nothing_is_refused() {
    let text = "registry: {file: m}\nfilter: {module: f}\nlog: {filter: 'xds_server=loud'}\n";
    let error = Config::parse(text, Path::new("c.yaml")).unwrap_err();
    assert!(error.to_string().contains("log.filter"), "{error}");
}

#[test]
fn what_cannot_work_at_the_xds_port_is_named() {
    for (line, message) in [
        (
            "xds: {tls: {certificate: a, key: b, identity: ['{node}.x']}}",
            "yorkies.yaml: xds.tls.identity: needs xds.tls.client_ca",
        ),
        (
            "xds: {tls: {certificate: a, key: b, on_proxy: {key: c}}}",
            "yorkies.yaml: xds.tls.on_proxy: certificate and key belong together",
        ),
        (
            "xds: {tls: {certificate: a, key: b, on_proxy: {ca: ''}}}",
            "yorkies.yaml: xds.tls.on_proxy.ca: \"\" is not usable",
        ),
        (
            "xds: {limits: {connections: 0}}",
            "yorkies.yaml: xds.limits.connections: 0 is not usable",
        ),
        (
            "xds: {limits: {idle_timeout: 0s}}",
            "yorkies.yaml: xds.limits.idle_timeout: 0s is not usable",
        ),
    ] {
        let error = parse(&format!("{LEAST}{line}\n")).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
}
