//! Of settings together, as a file has them.

use std::time::Duration;

use super::*;

mod refused;
mod secrets;

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
        "registry: {leases: {file: l}, etcd: {endpoints: ['https://e:1'], prefix: p, tls: {ca: a, certificate: b, key: c}, user: u, password_file: d}, kubernetes: {selector: 'a=b', namespace: n, port: rpc, addresses: ipv6, kubeconfig: k, context: c}, yorkie: {uri: 'mongodb://m:1', database: d, heartbeat: 2s, port: 80}, dns: {name: yorkie, record: srv, resolvers: [127.0.0.1]}}
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
            "registry: has no source: expected file, leases, etcd, kubernetes, yorkie or dns",
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
            "{etcd: {endpoints: ['http://u:sesame@e:1']}}",
            "registry.etcd.endpoints",
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
fn a_bad_kubernetes_is_named_with_its_reason() {
    expect_bad(&[
        (
            "{kubernetes: {}}",
            "registry.kubernetes.service: expected without selector, and one of both",
        ),
        (
            "{kubernetes: {service: y, selector: 'a=b'}}",
            "registry.kubernetes.service: expected without selector",
        ),
        (
            "{kubernetes: {service: 'y,a=b'}}",
            "registry.kubernetes.service: \"y,a=b\" is not usable",
        ),
        (
            "{kubernetes: {service: y, namespace: ../x}}",
            "registry.kubernetes.namespace: \"../x\" is not usable",
        ),
        (
            "{kubernetes: {selector: ' '}}",
            "registry.kubernetes.selector: \"\" is not usable",
        ),
        (
            "{kubernetes: {service: y, port: 0}}",
            "port 0 is not usable: expected 1 to 65535, or a name",
        ),
        (
            "{kubernetes: {service: y, port: 65536}}",
            "port 65536 is not usable",
        ),
        (
            "{kubernetes: {service: y, port: '8080'}}",
            "port \"8080\" is not usable: expected a number, or a name such as rpc",
        ),
        (
            "{kubernetes: {service: y, context: c}}",
            "registry.kubernetes.context: expected with kubeconfig",
        ),
        (
            "{kubernetes: {service: y, hold_loss: 2h}}",
            "registry.kubernetes.hold_loss",
        ),
        (
            "{kubernetes: {service: y, addresses: ipv5}}",
            "unknown variant `ipv5`",
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
