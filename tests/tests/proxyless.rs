//! gRPC's own xDS clients, without a proxy: they reach the member that Envoy
//! reaches.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sharding::{Assignment, SHARD_KEY};
use yorkies_tests::{
    ControlPlane, GrpcClient, GrpcLibrary, Member, Mode, Protocol, Settings, TestEnvironment,
    equal_weights, eventually, expect_owners, keys, settled,
};

const PATH: &str = "/yorkie.v1.YorkieService/AttachDocument";
const TARGET: &str = "yorkies-grpc";

#[test]
fn a_client_of_the_c_core_reaches_the_owner_that_envoy_routes_to() {
    TestEnvironment::run(async |env| {
        let members = env.members(6).await?;
        let weighted = |members: &[Member]| -> Vec<_> {
            let numbered = members.iter().zip(1..);
            numbered.map(|(member, n)| member.entry(n)).collect()
        };
        let mut control_plane = serving(env).await?;
        control_plane.edit(weighted(&members[..5]))?;
        let envoy = env.envoy(&control_plane, Mode::Delta).await?;
        let client = envoy.client(Protocol::H2c).await?;
        let mut grpc =
            GrpcClient::proxyless(GrpcLibrary::Grpcio, control_plane.address(), TARGET).await?;

        let mut epoch = 0;
        for range in [0..5, 1..6, 0..6, 2..4] {
            control_plane.edit(weighted(&members[range]))?;
            let expected = control_plane.expected()?;
            epoch = settled(&[&client], epoch).await?;
            expect_owners(&client, &expected, &keys(400)).await?;
            followed(&control_plane, &mut grpc).await?;
            has_config(&control_plane, &expected).await?;
            reaches_owners(&mut grpc, &expected).await?;
        }

        let keyless = grpc.unary(PATH, &[], b"").await?;
        ensure!(keyless.code == "UNAVAILABLE", "{keyless:?}");
        Ok(())
    });
}

#[test]
fn a_client_that_knows_no_hash_keys_is_served_where_members_are_called_by_their_address() {
    TestEnvironment::run(async |env| {
        let members = env.members_at_one_port(4).await?;
        let named = env.member("by-name").await?;
        let mut control_plane = serving(env).await?;
        control_plane.edit(equal_weights(&members))?;
        let mut clients = Vec::new();
        for library in [GrpcLibrary::GrpcJs, GrpcLibrary::Grpcio] {
            clients.push(GrpcClient::proxyless(library, control_plane.address(), TARGET).await?);
        }
        for client in &mut clients {
            reaches_owners(client, &control_plane.expected()?).await?;
        }
        control_plane.edit(equal_weights(&members[1..]))?;
        for client in &mut clients {
            reaches_owners(client, &control_plane.expected()?).await?;
        }

        let [js, core] = &mut clients[..] else {
            unreachable!("there are two");
        };
        control_plane.edit([equal_weights(&members), equal_weights(&[named])].concat())?;
        reaches_owners(core, &control_plane.expected()?).await?;
        eventually("nobody", async || {
            let reply = js.unary(PATH, &[(SHARD_KEY, "a/b")], b"").await?;
            ensure!(reply.code == "UNAVAILABLE", "{reply:?}");
            Ok(())
        })
        .await?;
        control_plane
            .logged(&["Client not served", "GrpcJs"])
            .await?;
        Ok(())
    });
}

async fn serving(env: &mut TestEnvironment) -> Result<ControlPlane> {
    let settings = Settings {
        policy: "ring_hash:1024:4096".parse()?,
        more: "grpc_clients: { target: yorkies-grpc }\n",
        ..Settings::default()
    };
    env.control_plane(settings).await
}

/// Waits until the client says that it has accepted all that the control plane
/// has for it, which says the same.
async fn followed(control_plane: &ControlPlane, client: &mut GrpcClient) -> Result<()> {
    // It asks for nothing before its first call.
    client.unary(PATH, &[(SHARD_KEY, "a/b")], b"").await?;
    eventually("everything accepted", async || {
        let status = control_plane.status().await?;
        let proxies = status["proxies"].as_array().context("no proxies")?;
        let proxy = proxies.iter().find(|proxy| proxy["node"] == "Grpcio");
        let stream = &proxy.context("it is not connected")?["streams"][0];
        ensure!(stream["current"] == true, "{stream}");
        let types = stream["types"].as_object().context("no types")?;
        let has_nack = types.values().any(|of| of["nack"] != Value::Null);
        ensure!(!has_nack, "{stream}");
        let has = client.xds().await?;
        for kind in [
            "Listener",
            "RouteConfiguration",
            "Cluster",
            "ClusterLoadAssignment",
        ] {
            let of_kind = has
                .iter()
                .find(|resource| resource.type_url.ends_with(kind));
            let resource = of_kind.with_context(|| format!("no {kind}: {has:?}"))?;
            ensure!(resource.status == "ACKED", "{resource:?}");
        }
        Ok(())
    })
    .await
}

/// Fails unless what the control plane says that it has is what there is for it.
async fn has_config(control_plane: &ControlPlane, expected: &Assignment) -> Result<()> {
    let config = control_plane.admin("/v1/proxies/Grpcio/config").await?;
    let resources = config["streams"][0]["resources"].as_array();
    let resources = resources.context("no resources")?;
    let of = |kind: &str| {
        let mut all = resources.iter().filter(|resource| resource["kind"] == kind);
        let one = all
            .next()
            .with_context(|| format!("no {kind} in {config}"))?;
        ensure!(all.next().is_none(), "more than one {kind} in {config}");
        ensure!(one["state"] == "accepted", "{one}");
        Ok(&one["body"])
    };
    let listener = of("lds")?;
    let routes = &listener["api_listener"]["api_listener"]["rds"]["route_config_name"];
    ensure!(routes == TARGET, "{listener}");
    ensure!(of("rds")?["name"] == TARGET, "{config}");
    ensure!(of("cds")?["lb_policy"] == "RING_HASH", "{config}");
    let endpoints = of("eds")?;
    let members = endpoints["endpoints"][0]["lb_endpoints"].as_array();
    let members = members.context("no endpoints")?.len();
    ensure!(members == expected.roster().members().len(), "{endpoints}");
    Ok(())
}

/// Waits until it goes by that assignment, and then calls for many keys.
async fn reaches_owners(client: &mut GrpcClient, expected: &Assignment) -> Result<()> {
    eventually("at the owners", async || {
        expect_same(client, expected, 50).await
    })
    .await?;
    expect_same(client, expected, 400).await
}

/// Calls for that many keys, all of which have to be answered by their owner.
async fn expect_same(client: &mut GrpcClient, expected: &Assignment, count: usize) -> Result<()> {
    let mut wrong = Vec::new();
    for key in keys(count) {
        let owner = &expected.owner(key.as_bytes()).context("no member")?.member;
        let reply = client.unary(PATH, &[(SHARD_KEY, &key)], b"").await?;
        if reply.initial.get("x-answered-by") != Some(&owner.id) {
            wrong.push(format!("{key} belongs to {}, but: {reply:?}", owner.id));
        }
    }
    let shown = &wrong[..wrong.len().min(3)];
    ensure!(wrong.is_empty(), "{} of {count}: {shown:#?}", wrong.len());
    Ok(())
}
