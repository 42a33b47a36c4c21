//! Of settings together, as a file has them.

use std::time::Duration;

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
    assert!(config.drain.enabled);
    let admin = config.admin.listen.unwrap();
    assert!(admin.ip().is_loopback() && admin.port() == ADMIN_PORT);
    let told = config.filter_config(1);
    assert_eq!(told.report_to.as_deref(), Some("yorkies_xds"));
    assert_eq!(told.unary_grace_ms, 30_000);
}

#[test]
fn a_window_of_0_needs_no_unit_and_the_admin_interface_can_be_off() {
    for window in ["0", "0s", "'0'"] {
        let config = parse(&format!("{LEAST}drain: {{max_window: {window}}}\n")).unwrap();
        assert_eq!(config.drain.max_window, Duration::ZERO);
    }
    for off in ["null", "none", "~"] {
        let config = parse(&format!("{LEAST}admin: {{listen: {off}}}\n")).unwrap();
        assert_eq!(config.admin.listen, None);
    }
}

#[test]
fn a_configuration_is_written_as_it_is_read() {
    for text in [
        LEAST,
        "registry: {leases: {file: l}, etcd: {endpoints: ['https://e:1'], prefix: p, tls: {ca: a, certificate: b, key: c}, user: u, password_file: d}, yorkie: {uri: 'mongodb://m:1', database: d, heartbeat: 2s, port: 80}, dns: {name: yorkie, record: srv, resolvers: [127.0.0.1]}}
listener: {address: '[::]:8080', tls: {certificate_chain: a, private_key: b}, access_log: false}
xds:
  advertise: 'control-plane:18000'
  tls: {certificate: a, key: b, client_ca: c, identity: ['u://{node}', d], on_proxy: {ca: e, certificate: f, key: g}}
  limits: {connections: 1, idle_timeout: 5s}
filter: {module: f, module_on_proxy: g}
policy: ring_hash:1:2:murmur2
key_rules: [{path: /a, resource: channel, keys: [{query: b}], no_key: {fixed: c}}]
projects: [{name: n, public_key: p}]
health: {check: {grpc: ''}, readmit: {after: 5s}, quorum: 3, incarnation: {}}
drain: {rate: 1, max_window: 0}
admin: {token_file: t}
",
        "registry: {file: m}\nfilter: {module: f}\nadmin: {listen: none}\n",
    ] {
        let config = parse(text).unwrap();
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(parse(&written), Ok(config), "{written}");
    }
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
    let example = include_str!("../../../envoy/key-rules.yaml");
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
fn the_default_projects_key_may_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("yorkies.yaml");
    let key = folder.path().join("key");
    fs::write(&path, format!("{LEAST}default_project_file: key\n")).unwrap();
    for (text, problem) in [
        (None, "cannot be read"),
        (Some(&b"\n"[..]), "is empty"),
        (Some(b"\xff\n"), "is not UTF-8"),
        (Some(b" \n"), "\" \""),
    ] {
        if let Some(text) = text {
            fs::write(&key, text).unwrap();
        }
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(
            error.contains("default_project_file: ") && error.contains(problem),
            "{error}"
        );
    }
    fs::write(&key, "0123456789abcdefghijkl\r\n").unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(
        config.default_project.as_deref(),
        Some("0123456789abcdefghijkl")
    );

    let both = format!("{LEAST}default_project_file: key\ndefault_project: x\n");
    let error = parse(&both).unwrap_err();
    assert!(error.contains("default_project_file: "), "{error}");
}

#[test]
fn paths_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("yorkies.yaml");
    fs::write(&path, LEAST).unwrap();
    let config = Config::load(&path).unwrap();
    let members = folder.path().join("members.yaml");
    assert_eq!(config.registry.file, Some(members));
    let text = format!(
        "{FILTER}registry: {{etcd: {{endpoints: ['https://e:1'], tls: {{ca: ca.pem}}, user: u, password_file: /secret}}}}\n"
    );
    fs::write(&path, text).unwrap();
    let etcd = Config::load(&path).unwrap().registry.etcd.unwrap();
    assert_eq!(etcd.tls.unwrap().ca, folder.path().join("ca.pem"));
    assert_eq!(etcd.password_file, Some("/secret".into()));
    let text = format!("{FILTER}registry: {{yorkie: {{uri_file: uri}}}}\n");
    fs::write(&path, text).unwrap();
    let yorkie = Config::load(&path).unwrap().registry.yorkie.unwrap();
    assert_eq!(yorkie.uri_file, Some(folder.path().join("uri")));
    assert_eq!(config.state_file, folder.path().join("state.json"));
}

const FILTER: &str = "filter: {module: filter.wasm}\n";

#[test]
fn members_come_from_a_file_or_a_name_or_both() {
    let dns = |text: &str| {
        let config = parse(&format!("{FILTER}registry: {{{text}}}\n")).unwrap();
        (config.registry.file.is_some(), config.registry.dns.unwrap())
    };
    let (has_file, least) = dns("dns: {name: yorkie, port: 8080}");
    assert!(!has_file);
    assert_eq!(
        (least.name.to_ascii(), least.port),
        ("yorkie".into(), Some(8080))
    );
    assert_eq!((least.record, least.resolvers), (Record::A, Vec::new()));
    assert_eq!(least.min_interval, Duration::from_millis(250));
    assert_eq!(least.max_interval, Duration::from_secs(1));

    let (has_file, all) = dns(
        "file: members.yaml, dns: {name: _yorkie._tcp.Yorkie.default.svc., record: srv, \
         min_interval: 1s, max_interval: 1h, resolvers: [10.0.0.1, '10.0.0.2:5353', '::1', '[::1]:54']}",
    );
    assert!(has_file);
    assert_eq!(all.name.to_ascii(), "_yorkie._tcp.Yorkie.default.svc.");
    assert_eq!((all.record, all.port), (Record::Srv, None));
    assert_eq!(all.max_interval, Duration::from_hours(1));
    let resolvers: Vec<_> = all.resolvers.iter().map(ToString::to_string).collect();
    let expected = ["10.0.0.1:53", "10.0.0.2:5353", "[::1]:53", "[::1]:54"];
    assert_eq!(resolvers, expected);

    let (_, six) = dns("dns: {name: yorkie, record: aaaa, port: 1}");
    assert_eq!(six.record, Record::Aaaa);
}

#[test]
fn a_bad_source_of_members_is_named_with_its_reason() {
    expect_bad(&[
        (
            "{}",
            "registry: has no source: expected file, leases, etcd, yorkie or dns",
        ),
        ("{consul: x}", "unknown field `consul`"),
        ("{leases: {folder: x}}", "unknown field `folder`"),
        (
            "{leases: {}}",
            "registry.leases: expected with admin.token_file",
        ),
        (
            "{leases: {}}\nadmin: {listen: none, token_file: t}",
            "registry.leases: expected with admin.listen",
        ),
        ("{dns: {port: 1}}", "missing field `name`"),
        ("{dns: {name: y, port: 1, ttl: 1s}}", "unknown field `ttl`"),
        (
            "{dns: {name: y, port: 1, record: txt}}",
            "unknown variant `txt`",
        ),
        ("{dns: {name: '', port: 1}}", "\"\" is no name to look up"),
        ("{dns: {name: ., port: 1}}", "\".\" is no name to look up"),
        (
            "{dns: {name: a..b, port: 1}}",
            "\"a..b\" is no name to look up",
        ),
        (
            "{dns: {name: a b, port: 1}}",
            "\"a b\" is no name to look up",
        ),
        (
            "{dns: {name: 'y:80', port: 1}}",
            "\"y:80\" is no name to look up",
        ),
        (
            "{dns: {name: 'y*', port: 1}}",
            "\"y*\" is no name to look up",
        ),
        (
            "{dns: {name: 10.0.0.1, port: 1}}",
            "and addresses in a members file",
        ),
        (
            "{dns: {name: y}}",
            "registry.dns.port: is missing: address records have none",
        ),
        (
            "{dns: {name: y, port: 0}}",
            "registry.dns.port: 0 is not usable",
        ),
        (
            "{dns: {name: y, record: srv, port: 1}}",
            "registry.dns.port: 1 is not usable: SRV records have their own",
        ),
        (
            "{dns: {name: y, port: 1, min_interval: 1ms}}",
            "registry.dns.min_interval: 1ms is not usable: expected 10ms to 1h",
        ),
        (
            "{dns: {name: y, port: 1, min_interval: 2s}}",
            "registry.dns.max_interval: 1s is not usable: expected 2s to 1h",
        ),
        (
            "{dns: {name: y, port: 1, resolvers: [dns.local]}}",
            "name server \"dns.local\" is not usable: expected IP, IP:PORT or [IP]:PORT",
        ),
        (
            "{dns: {name: y, port: 1, resolvers: ['10.0.0.1:0']}}",
            "name server \"10.0.0.1:0\" is not usable",
        ),
    ]);
}

#[test]
fn a_bad_etcd_is_named_with_its_reason() {
    expect_bad(&[
        ("{etcd: {}}", "missing field `endpoints`"),
        (
            "{etcd: {endpoints: []}}",
            "registry.etcd.endpoints: is empty: expected at least one",
        ),
        (
            "{etcd: {endpoints: ['etcd:2379']}}",
            "\"etcd:2379\" is not usable: expected http://HOST:PORT, without tls",
        ),
        (
            "{etcd: {endpoints: ['http://e:1', 'https://e:1']}}",
            "\"https://e:1\" is not usable: expected http://HOST:PORT, without tls",
        ),
        (
            "{etcd: {endpoints: ['http://e:1'], tls: {ca: c}}}",
            "\"http://e:1\" is not usable: expected https://HOST:PORT, with tls",
        ),
        (
            "{etcd: {endpoints: ['http://e:1/v3']}}",
            "\"http://e:1/v3\" is not usable",
        ),
        (
            "{etcd: {endpoints: ['http://e']}}",
            "\"http://e\" is not usable",
        ),
        (
            "{etcd: {endpoints: ['http://e:1'], prefix: ''}}",
            "registry.etcd.prefix: \"\" is not usable",
        ),
        (
            "{etcd: {endpoints: ['http://e:1'], user: u}}",
            "registry.etcd.user: expected with password_file",
        ),
        (
            "{etcd: {endpoints: ['https://e:1'], tls: {ca: c, certificate: d}}}",
            "registry.etcd.tls.certificate: expected with key",
        ),
    ]);
}

#[test]
fn a_bad_database_of_yorkies_is_named_with_its_reason_and_without_its_password() {
    let secret = "registry.yorkie.uri: has a user or a password: expected in a file";
    expect_bad(&[
        (
            "{yorkie: {}}",
            "registry.yorkie.uri: expected or uri_file, one of them",
        ),
        (
            "{yorkie: {uri: 'mongodb://m', uri_file: u}}",
            "registry.yorkie.uri: expected or uri_file, one of them",
        ),
        (
            "{yorkie: {uri: 'mongo:27017'}}",
            "\"mongo:27017\" is not usable: expected mongodb://HOST:PORT",
        ),
        (
            "{yorkie: {uri: 'mongodb://m', database: ''}}",
            "registry.yorkie.database: \"\" is not usable",
        ),
        (
            "{yorkie: {uri: 'mongodb://m', port: 0}}",
            "registry.yorkie.port: 0 is not usable",
        ),
        (
            "{yorkie: {uri: 'mongodb://m', heartbeat: 999ms}}",
            "registry.yorkie.heartbeat: 999ms is not usable: expected 1s to 1m",
        ),
    ]);
    for uri in [
        "mongodb://u:sesame@m",
        "u:sesame@m",
        "mongodb://m/?tlsCertificateKeyFilePassword=sesame",
    ] {
        let text = format!("{FILTER}registry: {{yorkie: {{uri: '{uri}'}}}}\n");
        let error = parse(&text).unwrap_err();
        assert!(
            error.contains(secret) && !error.contains("sesame"),
            "{error}"
        );
    }
}

/// Each registry is refused, with that in its message.
fn expect_bad(all: &[(&str, &str)]) {
    for (registry, message) in all {
        let error = parse(&format!("{FILTER}registry: {registry}\n")).unwrap_err();
        assert!(error.contains(message), "{registry}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn what_is_shown_of_it_has_every_setting_and_no_hash_of_a_secret() {
    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let text = format!(
        "registry: {{file: m}}\nfilter: {{module: f}}\ncluster_secret_sha256: {HASH}\n\
         projects: [{{name: p, public_key: k, secret_key_sha256: {HASH}}}]\n\
         admin: {{token_file: token}}\n"
    );
    let config: Config = serde_saphyr::from_str(&text).unwrap();
    let shown = config.without_secrets();
    assert!(!shown.to_string().contains(HASH), "{shown}");
    assert_eq!(shown["projects"][0]["secret_key_sha256"], "redacted");
    assert_eq!(shown["admin"]["token_file"], "token");
    let all = serde_json::to_value(&config).unwrap();
    let names = |value: &serde_json::Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&shown), names(&all));
}

#[test]
fn a_log_filter_that_means_nothing_is_refused() {
    let text = "registry: {file: m}\nfilter: {module: f}\nlog: {filter: 'xds_server=loud'}\n";
    let error = Config::parse(text, Path::new("c.yaml")).unwrap_err();
    assert!(error.to_string().contains("log.filter"), "{error}");
}

#[test]
fn grpc_clients_need_a_ring_that_they_can_build() {
    let with = |policy: &str, target: &str| {
        let clients = format!("grpc_clients: {{target: '{target}'}}");
        parse(&format!("{LEAST}policy: {policy}\n{clients}\n"))
    };
    let config = with("ring_hash:1024:4096", "direct").unwrap();
    assert_eq!(config.grpc_clients.unwrap().target, "direct");
    for policy in [
        "maglev",
        "ring_hash",
        "ring_hash:1:4097",
        "ring_hash:1:9:murmur2",
    ] {
        let error = with(policy, "direct").unwrap_err();
        assert!(error.contains("such as ring_hash:1024:4096"), "{error}");
    }
    for target in ["", "a b", "yorkies"] {
        let error = with("ring_hash:1024:4096", target).unwrap_err();
        assert!(error.contains("grpc_clients.target"), "{error}");
    }
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
