//! The compose files: valid for the Compose that is there, and the demo runs as
//! the README says, where there is a Docker engine (`make compose-test`).

mod compose;
mod readme;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compose::Compose;
use sharding::{Assignment, FilterConfig};
use yorkies_tests::{TestEnvironment, eventually, run_xds_server, workspace};

const DEMO: &str = "docker-compose.demo.yml";

/// The documents of the audience, by shard key: those of the default project.
const DOCUMENTS: usize = 100;

#[test]
fn compose_understands_both_files() {
    TestEnvironment::run(async |_| {
        for file in ["docker-compose.yml", DEMO] {
            Compose::new(file)?.run(&["config", "-q"]).await?;
        }
        Ok(())
    });
}

#[test]
fn the_envoy_of_the_containers_has_the_bootstrap_that_is_printed() {
    TestEnvironment::run(async |env| {
        // Of the configuration only what a bootstrap depends on: the rest is about files of the containers.
        let text = fs::read_to_string(workspace().join("envoy/compose/yorkies.yaml"))?;
        let is_one = |line: &&str| {
            ["xds:", "listener:", "registry:"]
                .iter()
                .any(|key| line.starts_with(key))
        };
        let mut kept: Vec<&str> = text.lines().filter(is_one).collect();
        kept.push("filter: { module: filter.wasm }");
        fs::write(env.folder().join("yorkies.yaml"), kept.join("\n"))?;
        let arguments = [
            "bootstrap",
            "--config",
            "yorkies.yaml",
            "--admin",
            "0.0.0.0:9901",
        ];
        let printed = run_xds_server(env.folder(), &arguments).await?;
        let printed = String::from_utf8(printed.stdout)?;
        let file = fs::read_to_string(workspace().join("envoy/compose/envoy.yaml"))?;
        let is_comment = |line: &&str| line.starts_with('#');
        let file: Vec<&str> = file.lines().skip_while(is_comment).collect();
        ensure!(
            file == printed.lines().collect::<Vec<_>>(),
            "it prints\n{printed}"
        );
        Ok(())
    });
}

#[test]
fn what_the_containers_are_made_of_is_what_is_tested() -> Result<()> {
    let read = |file: &str| fs::read_to_string(workspace().join(file));
    let lock: serde_json::Value =
        serde_json::from_str(&read("tests/document-server/sdk/package-lock.json")?)?;
    let sdk = &lock["packages"]["node_modules/@yorkie-js/sdk"];
    let hash = sdk["integrity"]
        .as_str()
        .and_then(|hash| hash.strip_prefix("sha512-"));
    let hash = STANDARD.decode(hash.context("no hash")?)?;
    let hash = hash.iter().try_fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").map(|()| text)
    })?;
    let rust = read("rust-toolchain.toml")?;
    let rust = rust
        .lines()
        .find_map(|line| line.strip_prefix("channel = \"1.95"));
    ensure!(rust.is_some(), "another Rust than the images'");
    let envoy = format!("envoyproxy/envoy:v{}", read("envoy/VERSION")?.trim());
    let version = concat!("YORKIES_VERSION:-", env!("CARGO_PKG_VERSION"), "}");
    for (file, part) in [
        ("docker-compose.yml", envoy.as_str()),
        (DEMO, &envoy),
        ("docker-compose.yml", version),
        (DEMO, version),
        ("docker-compose.yml", "rust:1.95-slim-bookworm"),
        (DEMO, "rust:1.95-slim-bookworm"),
        ("envoy/images/Dockerfile", "rust:1.95-slim-bookworm"),
        ("envoy/images/Dockerfile", &hash),
        (
            "envoy/images/Dockerfile",
            &format!("sdk-{}.tgz", sdk["version"].as_str().context("no version")?),
        ),
    ] {
        ensure!(read(file)?.contains(part), "{file} lacks {part}");
    }
    Ok(())
}

#[test]
#[ignore = "takes minutes and a Docker engine: make compose-test"]
fn the_demo_in_containers_does_what_the_readme_says() {
    compose::run(async {
        let demo = Compose::new(DEMO)?;
        let steps = readme::steps(DEMO)?;
        let mut before = None;
        for step in &steps {
            let output = demo.run_line(step).await?;
            println!("$ {step}\n{output}");
            match step {
                _ if step.contains("--scale yorkie=5") => {
                    let before = before.take().context("it is not running")?;
                    expect_moved(&demo, &before, 5).await?;
                }
                _ if step.contains("xds-server status") => {
                    let members = members_shown(&output);
                    ensure!(members == 5, "{members} members of 5 are shown");
                }
                _ if step.contains("up -d") => {
                    compose::expect_small_and_unprivileged("xds-server")?;
                    compose::expect_small_and_unprivileged("document-server")?;
                    before = Some(expect_watched(&demo).await?);
                }
                _ => {}
            }
        }
        ensure!(
            steps.len() >= 5,
            "the README has {} steps only",
            steps.len()
        );
        Ok(())
    });
}

/// Everybody watches, the page is there, and everybody is where the assignment
/// says, which is returned.
async fn expect_watched(demo: &Compose) -> Result<Assignment> {
    let expected = format!("{DOCUMENTS} of {DOCUMENTS} documents are watched");
    eventually("an audience", async || {
        let told = demo.run(&["logs", "audience"]).await?;
        ensure!(told.contains(&expected), "{told}");
        Ok(())
    })
    .await?;
    let page = demo.get("/demo/").await?;
    ensure!(page.contains("<html"), "{page}");
    let seats = seats(&demo.run(&["logs", "audience"]).await?)?;
    let assignment = assignment(demo).await?;
    ensure!(seats == predicted(&assignment), "{seats:?}");
    Ok(assignment)
}

/// After a change of the number of servers everybody is where the assignment
/// says, and at least the streams of documents that moved have ended. More only
/// if the DNS told of the servers one after another.
async fn expect_moved(demo: &Compose, before: &Assignment, servers: usize) -> Result<()> {
    let (after, told) = eventually("a rebalance", async || {
        let after = assignment(demo).await?;
        let members = after.roster().members().len();
        ensure!(members == servers, "{members} members of {servers}");
        let told = demo.run(&["logs", "audience"]).await?;
        ensure!(seats(&told)? == predicted(&after), "{told}");
        Ok((after, told))
    })
    .await?;
    let ended: usize = told.lines().filter_map(moved).sum();
    let needed = keys()
        .filter(|key| owner(before, key) != owner(&after, key))
        .count();
    let rebalances = demo
        .run(&["exec", "-T", "control-plane", "xds-server", "status"])
        .await?;
    let rebalances = rebalances.matches(" ago ").count() - 1;
    ensure!(
        needed > 0
            && if rebalances == 1 {
                ended == needed
            } else {
                ended >= needed
            },
        "{ended} streams ended in {rebalances} rebalances, {needed} documents moved:\n{told}"
    );
    Ok(())
}

/// The rows of the table of members, which ends with an empty line.
fn members_shown(status: &str) -> usize {
    let lines = status.lines().map(str::trim_start);
    lines
        .skip_while(|line| !line.starts_with("MEMBER "))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .count()
}

/// The assignment in force, from the control plane's own state.
async fn assignment(demo: &Compose) -> Result<Assignment> {
    let state = demo
        .run(&[
            "exec",
            "-T",
            "control-plane",
            "cat",
            "/var/lib/yorkies/state.json",
        ])
        .await?;
    let state = FilterConfig::from_json(state.as_bytes())?;
    state.config.assignment().context("there are no members")
}

/// How many documents each server has by that assignment.
fn predicted(assignment: &Assignment) -> BTreeMap<String, usize> {
    let mut documents = BTreeMap::new();
    for owner in keys().filter_map(|key| owner(assignment, &key)) {
        *documents.entry(owner).or_default() += 1;
    }
    documents
}

fn keys() -> impl Iterator<Item = String> {
    (0..DOCUMENTS).map(|number| format!("K3yOfTheDefaultProject/document-{number}"))
}

fn owner(assignment: &Assignment, key: &str) -> Option<String> {
    let owner = assignment.owner(key.as_bytes())?;
    Some(owner.member.id.clone())
}

/// How many documents each server has, as the audience told it last.
fn seats(told: &str) -> Result<BTreeMap<String, usize>> {
    let (_, last) = told
        .rsplit_once("  now ")
        .context("the audience is silent")?;
    let line = last.lines().next().unwrap_or_default();
    line.split(", ")
        .map(|seat| {
            let (server, documents) = seat.split_once(' ').context("no number")?;
            Ok((server.to_owned(), documents.trim().parse()?))
        })
        .collect()
}

/// The number of streams that ended, in a line of the audience.
fn moved(line: &str) -> Option<usize> {
    let (before, _) = line.split_once(" streams ended, ")?;
    before
        .rsplit_once(" of ")?
        .0
        .rsplit(' ')
        .next()?
        .parse()
        .ok()
}
