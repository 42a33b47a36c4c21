//! State of the world and delta are two ways to the same configuration.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sharding::Roster;
use yorkies_tests::{
    Client, Envoy, Mode, Protocol, Settings, TestEnvironment, comparable_clusters, comparable_dump,
    settled,
};

#[test]
fn both_modes_give_the_same_configuration_at_once_and_after_changes() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let roster = |ids: &[usize]| {
            let entries = ids.iter().map(|&id| members[id].entry(1));
            Roster::new(entries.collect())
        };
        let control_plane = env.control_plane(Settings::default()).await?;
        control_plane.members().replace(&roster(&[0, 1])?)?;
        let mut envoys = Vec::new();
        let mut epoch = 0;
        for ids in [&[0, 1][..], &[0, 1, 2], &[1, 3], &[3, 0, 1, 2]] {
            control_plane.members().replace(&roster(ids)?)?;
            // At every step two more, who have not lived through the changes before.
            for mode in Mode::ALL {
                envoys.push(env.envoy(&control_plane, mode).await?);
            }
            epoch = expect_equal(&envoys, epoch).await?;
        }
        Ok(())
    });
}

async fn expect_equal(envoys: &[Envoy], epoch: u64) -> Result<u64> {
    let mut clients = Vec::new();
    for envoy in envoys {
        clients.push(envoy.client(Protocol::H2c).await?);
    }
    let epoch = settled(&clients.iter().collect::<Vec<&Client>>(), epoch).await?;
    let mut first = None;
    for envoy in envoys {
        let view = view(envoy).await?;
        let (name, expected) = first.get_or_insert_with(|| (envoy.name(), view.clone()));
        for (part, (here, there)) in ["dump", "clusters"].iter().zip(view.iter().zip(expected)) {
            let difference = difference("", here, there);
            ensure!(
                difference.is_none(),
                "{part} of {} and {name}: {difference:?}",
                envoy.name()
            );
        }
    }
    Ok(epoch)
}

async fn view(envoy: &Envoy) -> Result<[Value; 2]> {
    let admin = envoy.admin()?;
    let dump = comparable_dump(&admin.config_dump().await?);
    let clusters = comparable_clusters(&admin.clusters().await?);
    for part in [
        "yorkie-1",
        "ClustersConfigDump",
        "EndpointsConfigDump",
        "EcdsConfigDump",
    ] {
        ensure!(dump.to_string().contains(part), "no {part} in {dump:#}");
    }
    let hosts = clusters.as_array().context("no clusters")?.len();
    ensure!(hosts == 2, "expected two clusters in {clusters:#}");
    Ok([dump, clusters])
}

/// Path and values of the first difference.
fn difference(path: &str, a: &Value, b: &Value) -> Option<(String, Value, Value)> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => a
            .iter()
            .zip(b.values())
            .find_map(|((key, a), b)| difference(&format!("{path}/{key}"), a, b)),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => (0..)
            .zip(a.iter().zip(b))
            .find_map(|(index, (a, b)): (usize, _)| difference(&format!("{path}/{index}"), a, b)),
        (a, b) if a == b => None,
        (a, b) => Some((path.to_owned(), a.clone(), b.clone())),
    }
}
