//! The documents say what is true: their commands run and print what is said,
//! their configurations load. What is not run is named.
//!
//! A comment right before a block of commands says in which scene it runs:
//! `<!-- run: offline -->`, see [`scene::Scene`]. The block of `text` or `json`
//! that follows is what it prints.

mod expected;
mod folder;
mod markdown;
mod running;
mod scene;
mod start;
mod yaml;

use std::fs;
use std::io::{self, Write as _};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use folder::Folder;
use running::Running;
use scene::{Part, Scene, documents};
use yorkies_tests::{TestEnvironment, workspace};

/// What must be green before anything lands.
const CI: &str = ".ci/run";

/// The test of the compose files, `make compose-test`.
const COMPOSE_TEST: &str = "tests/tests/compose/main.rs";

#[test]
fn commands_without_a_server_print_what_is_said() {
    TestEnvironment::run(async |env| {
        let mut run = 0;
        for (path, parts) in documents()? {
            let folder = Folder::new(env.folder(), &path.display().to_string())?;
            for part in &parts {
                match part {
                    Part::Yaml(block) => folder.take(block)?,
                    Part::Commands {
                        block,
                        scene: Scene::Offline { fails },
                        output,
                    } => {
                        let said = output.as_ref().map(|output| &*output.text);
                        let followed = folder.follow(&block.text, *fails, said).await;
                        followed.with_context(|| block.place.clone())?;
                        run += 1;
                    }
                    _ => {}
                }
            }
        }
        ensure!(run >= 5, "only {run} blocks were run");
        Ok(())
    });
}

#[test]
fn a_running_router_prints_what_is_said() {
    TestEnvironment::run(async |env| {
        let running = Running::start(env).await?;
        let mut run = 0;
        for (_, parts) in documents()? {
            for part in &parts {
                if let Part::Commands {
                    block,
                    scene: Scene::Running,
                    output,
                } = part
                {
                    let said = output.as_ref().map(|output| &*output.text);
                    let followed = running.follow(&block.text, said).await;
                    followed.with_context(|| block.place.clone())?;
                    run += 1;
                }
            }
        }
        ensure!(run >= 4, "only {run} blocks were run");
        Ok(())
    });
}

#[test]
fn the_demo_prints_what_is_said() {
    TestEnvironment::run(async |_| {
        let readme = fs::read_to_string(workspace().join("README.md"))?;
        let (_, after) = readme.split_once("make demo\n").context("no demo")?;
        let (_, said) = after.split_once("```text\n").context("no output")?;
        let (said, _) = said.split_once("```").context("no end")?;
        let demo = tokio::process::Command::new(env!("CARGO_BIN_EXE_demo"))
            .current_dir(workspace())
            .kill_on_drop(true)
            .output()
            .await?;
        let errors = String::from_utf8_lossy(&demo.stderr);
        ensure!(demo.status.success(), "{errors}");
        // Which of the documents are shown is chance. What comes after is what `status` prints.
        let any = |text: &str| text.replace(|digit: char| digit.is_ascii_digit(), "");
        let printed = any(&String::from_utf8(demo.stdout)?);
        expected::expect_alike(&format!("{}\n...", any(said)), &printed)
    });
}

#[test]
fn the_commands_that_start_a_router_start_one() {
    TestEnvironment::run(async |env| {
        let mut run = 0;
        for (path, parts) in documents()? {
            let folder = Folder::new(env.folder(), &path.display().to_string())?;
            for part in &parts {
                match part {
                    Part::Yaml(block) => folder.take(block)?,
                    Part::Commands {
                        block,
                        scene: Scene::Start,
                        ..
                    } => {
                        let started = start::expect_router(&folder, &block.text).await;
                        started.with_context(|| block.place.clone())?;
                        run += 1;
                    }
                    _ => {}
                }
            }
        }
        ensure!(run > 0, "no document starts a router");
        Ok(())
    });
}

#[test]
fn every_configuration_loads() {
    TestEnvironment::run(async |env| {
        let folder = Folder::new(env.folder(), "shown")?;
        let mut loaded = 0;
        for (_, parts) in documents()? {
            for part in &parts {
                if let Part::Yaml(block) = part {
                    let loads = yaml::expect_loads(&folder, block).await;
                    loads.with_context(|| block.place.clone())?;
                    loaded += 1;
                }
            }
        }
        ensure!(loaded >= 8, "only {loaded} blocks were loaded");
        Ok(())
    });
}

#[test]
fn what_runs_elsewhere_or_nowhere_is_named() -> Result<()> {
    let compose = fs::read_to_string(workspace().join(COMPOSE_TEST))?;
    let mut named = Vec::new();
    for (_, parts) in documents()? {
        for part in &parts {
            match part {
                Part::Commands { block, scene, .. } => {
                    for line in block.text.lines() {
                        let told = match scene {
                            Scene::Compose => expect_composed(line, &compose).map(Some),
                            Scene::Make => made(line).map(Some),
                            Scene::Nowhere(reason) => Ok(Some(format!("not run: {reason}"))),
                            Scene::Offline { .. } | Scene::Start | Scene::Running => Ok(None),
                        };
                        let told = told.with_context(|| block.place.clone())?;
                        named.extend(told.map(|told| format!("{}: {line}: {told}", block.place)));
                    }
                }
                Part::Unchecked(block, reason) => {
                    named.push(format!("{}: not run: {reason}", block.place));
                }
                Part::Yaml(_) => {}
            }
        }
    }
    ensure!(!named.is_empty(), "nothing is named");
    // Past what the harness keeps to itself of tests that pass.
    writeln!(io::stderr(), "\n{}", named.join("\n"))?;
    Ok(())
}

/// That it is a step of a file that the test of the compose files runs.
fn expect_composed(line: &str, compose: &str) -> Result<String> {
    let rest = line.strip_prefix("docker compose -f ");
    let file = rest.and_then(|rest| rest.split(' ').next());
    let file = file.context("names no compose file")?;
    ensure!(workspace().join(file).is_file(), "{file} does not exist");
    ensure!(compose.contains(file), "{COMPOSE_TEST} does not run {file}");
    Ok(format!("run by {COMPOSE_TEST}"))
}

/// That there is such a target, and who makes it for real.
fn made(line: &str) -> Result<String> {
    let command = line.split(" #").next().unwrap_or(line).trim();
    let target = command.strip_prefix("make ").context("is no target")?;
    let output = Command::new("make")
        .args(["-n", target])
        .current_dir(workspace())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {errors}");
    let ci = fs::read_to_string(workspace().join(CI))?;
    if ci.lines().any(|line| line == command) {
        return Ok(format!("made by {CI}"));
    }
    Ok("there is such a target; nobody makes it but people".to_owned())
}
