//! A listener of one's own, as in `envoy/own-listener.yaml`: the cluster, its
//! members and the filter come from the control plane all the same.

use std::fs;

use anyhow::{Result, ensure};
use http::{Method, StatusCode};
use sharding::{Policy, Roster};
use yorkies_tests::{
    Protocol, Request, Settings, TestEnvironment, assignment, equal_weights, expect_owners, keys,
    settled, workspace,
};

#[test]
fn a_listener_of_ones_own_routes_by_the_same_rules() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let settings = Settings {
            listener: false,
            ..Settings::default()
        };
        let control_plane = env.control_plane(settings).await?;
        let three = Roster::new(equal_weights(&members[..3]))?;
        control_plane.members().replace(&three)?;
        let bootstrap = bootstrap(control_plane.address().port())?;
        let envoy = env.envoy_of_bootstrap(&bootstrap).await?;
        let client = envoy.client(Protocol::H2c).await?;

        let epoch = settled(&[&client], 0).await?;
        let expected = assignment(Policy::default(), equal_weights(&members[..3]))?;
        expect_owners(&client, &expected, &keys(1_000)).await?;

        let four = Roster::new(equal_weights(&members))?;
        control_plane.members().replace(&four)?;
        settled(&[&client], epoch).await?;
        let expected = assignment(Policy::default(), equal_weights(&members))?;
        expect_owners(&client, &expected, &keys(1_000)).await?;

        let health = Request::new(Method::GET, "/yorkie.v1.YorkieService/health");
        client.send(&health).await?.answer()?;
        let keyless = client.send(&Request::new(Method::GET, "/document")).await?;
        ensure!(keyless.status == StatusCode::BAD_REQUEST, "{keyless:?}");
        Ok(())
    });
}

/// The file with free ports in place of its own.
fn bootstrap(xds_port: u16) -> Result<String> {
    let mut text = fs::read_to_string(workspace().join("envoy/own-listener.yaml"))?;
    for (from, to) in [
        (
            "address: 0.0.0.0, port_value: 8080",
            "address: 127.0.0.1, port_value: 0",
        ),
        ("port_value: 9901", "port_value: 0"),
        ("port_value: 18000", &format!("port_value: {xds_port}")),
    ] {
        ensure!(text.contains(from), "no {from:?} in own-listener.yaml");
        text = text.replace(from, to);
    }
    Ok(text)
}
