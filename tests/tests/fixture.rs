//! The fixture itself, and the prediction against an Envoy that no component of
//! ours has configured.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sharding::{Member as Entry, Policy};
use yorkies_tests::{
    Process, Protocol, TestEnvironment, assignment, eventually, expect_hosts, keys,
};

/// Tells [`lives_until_killed`] where to leave the number of its child.
const PID_FILE: &str = "YORKIES_TEST_PID_FILE";

#[test]
fn a_stock_envoy_picks_the_predicted_owner() {
    TestEnvironment::run(async |env| {
        let members = env.members(5).await?;
        let entries: Vec<_> = (1..)
            .zip(&members)
            .map(|(weight, member)| member.entry(weight))
            .collect();
        let envoy = env.envoy_of_bootstrap(&static_bootstrap(&entries)).await?;
        let expected = assignment(Policy::default(), entries)?;
        for protocol in [Protocol::H2c, Protocol::Http1] {
            let client = envoy.client(protocol).await?;
            expect_hosts(&client, &expected, &keys(10_000)).await?;
        }
        Ok(())
    });
}

#[test]
fn an_envoy_comes_back_after_it_was_killed() {
    TestEnvironment::run(async |env| {
        let members = env.members(1).await?;
        let bootstrap = static_bootstrap(&[members[0].entry(1)]);
        let envoy = env.envoy_of_bootstrap(&bootstrap).await?;
        let client = envoy.client(Protocol::H2c).await?;
        client.ask("project/document").await?;
        envoy.kill().await?;
        let error = client.ask("project/document").await;
        ensure!(error.is_err(), "a killed Envoy answers: {error:?}");
        envoy.restart().await?;
        let client = envoy.client(Protocol::H2c).await?;
        client.ask("project/document").await?;
        Ok(())
    });
}

#[test]
fn children_end_when_their_test_is_killed() {
    TestEnvironment::run(async |env| {
        let pid_file = env.folder().join("pid");
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--ignored", "--exact", "lives_until_killed"])
            .env(PID_FILE, &pid_file);
        let test = Process::spawn(command, "test", env.folder())?;
        let child = eventually("started", async || {
            let pid: u32 = fs::read_to_string(&pid_file)?.parse()?;
            Ok(pid)
        })
        .await?;
        test.kill()?;
        eventually("ended", async || {
            let status = fs::read_to_string(format!("/proc/{child}/stat"));
            let is_gone = status.map_or(true, |status| status.contains(") Z "));
            ensure!(is_gone, "process {child} still runs");
            Ok(())
        })
        .await
    });
}

/// Part of the test above, as the process that is killed there.
#[test]
#[ignore = "does not end by itself"]
fn lives_until_killed() {
    let Some(pid_file) = std::env::var_os(PID_FILE) else {
        return;
    };
    let live = || -> Result<()> {
        let folder = std::path::Path::new(&pid_file)
            .parent()
            .context("no folder")?;
        let mut command = Command::new("sleep");
        command.arg("600");
        let process = Process::spawn(command, "sleep", folder)?;
        let new = folder.join("pid.new");
        fs::write(&new, process.id().to_string())?;
        fs::rename(new, &pid_file)?;
        loop {
            std::thread::park();
        }
    };
    live().unwrap();
}

fn static_bootstrap(members: &[Entry]) -> String {
    let endpoint = |member: &Entry| {
        let (id, ip, port) = (&member.id, member.address.ip(), member.address.port());
        let weight = member.weight;
        format!(
            r#"
        - endpoint: {{ address: {{ socket_address: {{ address: "{ip}", port_value: {port} }} }} }}
          load_balancing_weight: {weight}
          metadata: {{ filter_metadata: {{ envoy.lb: {{ hash_key: "{id}" }} }} }}"#
        )
    };
    let endpoints: String = members.iter().map(endpoint).collect();
    STATIC_BOOTSTRAP.replace("ENDPOINTS", &endpoints)
}

const STATIC_BOOTSTRAP: &str = r#"
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
static_resources:
  listeners:
  - name: clients
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: / }
                route:
                  cluster: members
                  hash_policy: [{ header: { header_name: x-shard-key } }]
          http_filters:
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: members
    type: STATIC
    lb_policy: MAGLEV
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
    load_assignment:
      cluster_name: members
      endpoints:
      - lb_endpoints: ENDPOINTS
"#;
