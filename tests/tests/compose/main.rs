//! The compose files: valid for the Compose that is there, and the demo runs as
//! the documents say, where there is a Docker engine (`make compose-test`).

mod compose;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compose::Compose;
use sharding::{Assignment, FilterConfig};
use yorkies_tests::manual::{Part, Scene, documents, expect_alike};
use yorkies_tests::{TestEnvironment, eventually, run_xds_server, workspace};

const DEMO: &str = "docker-compose.demo.yml";

/// The documents of the audience, by shard key: those of the default project.
const DOCUMENTS: usize = 100;

/// Compose 1 prints it after what it has coloured.
const PLAIN: &str = "\u{1b}[0m";

/// To so many servers the documents scale it.
const SERVERS: usize = 5;

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
fn the_demo_in_containers_does_what_the_documents_say() {
    compose::run(async {
        let demo = Compose::new(DEMO)?;
        let (mut before, mut run) = (None, 0);
        for document in documents()? {
            for part in &document.parts {
                if let Part::Commands {
                    block,
                    scene: Scene::Compose,
                    output,
                } = part
                {
                    let mut printed = String::new();
                    for line in block.text.lines() {
                        let told = demo.shell(line).await;
                        let told = told.with_context(|| block.place.clone())?;
                        println!("$ {line}\n{told}");
                        expect_done(&demo, line, &told, &mut before).await?;
                        printed += &told;
                        run += 1;
                    }
                    if let Some(said) = output {
                        let said = format!("...\n{}\n...", said.text.trim_end());
                        expect_alike(&said, &of_the_audience(&printed))?;
                    }
                }
            }
        }
        ensure!(run >= 13, "the documents have {run} steps only");
        Ok(())
    });
}

/// What a step has to come to; `before` is the assignment before it is scaled.
async fn expect_done(
    demo: &Compose,
    step: &str,
    printed: &str,
    before: &mut Option<Assignment>,
) -> Result<()> {
    if step.contains("--scale ")
        && let Some(before) = before.take()
    {
        return expect_moved(demo, &before, SERVERS).await;
    }
    if step.contains("--build") {
        compose::expect_small_and_unprivileged("xds-server")?;
        compose::expect_small_and_unprivileged("document-server")?;
        *before = Some(expect_watched(demo).await?);
    } else if step.contains("xds-server status") {
        let members = members_shown(printed);
        ensure!(members == SERVERS, "{members} members are shown");
    } else if !step.contains("logs") && !step.contains("down") {
        expect_placed(demo, SERVERS).await?;
    }
    Ok(())
}

/// Waits until everybody is where the assignment of so many servers says.
async fn expect_placed(demo: &Compose, servers: usize) -> Result<(Assignment, String)> {
    eventually("everybody in place", async || {
        let assignment = assignment(demo).await?;
        let members = assignment.roster().members().len();
        ensure!(members == servers, "{members} members of {servers}");
        let told = demo.run(&["logs", "audience"]).await?;
        ensure!(seats(&told)? == predicted(&assignment), "{told}");
        Ok((assignment, told))
    })
    .await
}

/// Without the name of the container before each line, be it in colours.
fn of_the_audience(printed: &str) -> String {
    let lines = printed.lines().map(|line| match line.split_once('|') {
        Some((name, line)) if name.contains("audience") => line.trim_start_matches(PLAIN),
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
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
    let (after, told) = expect_placed(demo, servers).await?;
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
