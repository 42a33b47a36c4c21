//! The documents say what is true: their commands run and print what is said,
//! their configurations load. What is not run is named.
//!
//! A comment right before a block of commands says in which scene it runs:
//! `<!-- run: offline -->`, see [`Scene`]. The block of `text` or `json` that
//! follows is what it prints. Commands in sentences are such as blocks have, or
//! are looked at in another way: see [`elsewhere`].

mod elsewhere;
mod folder;
mod register;
mod running;
mod start;
mod yaml;

use std::fs;
use std::io::{self, Write as _};

use anyhow::{Context, Result, ensure};
use folder::Folder;
use running::Running;
use yorkies_tests::manual::{Block, Part, Scene, documents, expect_alike};
use yorkies_tests::{TestEnvironment, workspace};

#[test]
fn who_follows_a_document_gets_what_it_says_and_its_configurations_load() {
    TestEnvironment::run(async |env| {
        let (mut loaded, mut offline, mut started) = (0, 0, 0);
        for document in documents()? {
            let name = document.path.display().to_string();
            let mut folder = Folder::new(env.folder(), &name)?;
            let listener = folder.place_router()?;
            let starts = document.parts.iter().any(Part::starts_a_router);
            for part in &document.parts {
                match part {
                    Part::Yaml(block) => {
                        folder.take(block, starts)?;
                        let loads = yaml::expect_loads(&folder, block).await;
                        loads.with_context(|| block.place.clone())?;
                        loaded += 1;
                    }
                    Part::Commands {
                        block,
                        scene: Scene::Offline { fails },
                        output,
                    } => {
                        let followed = folder
                            .follow(&block.text, *fails, said(output.as_ref()))
                            .await;
                        followed.with_context(|| block.place.clone())?;
                        offline += 1;
                    }
                    Part::Commands {
                        block,
                        scene: Scene::Start,
                        ..
                    } => {
                        let router = start::expect_router(&folder, &block.text, listener).await;
                        router.with_context(|| block.place.clone())?;
                        started += 1;
                    }
                    _ => {}
                }
            }
        }
        ensure!(loaded >= 9, "only {loaded} configurations were loaded");
        ensure!(offline >= 9, "only {offline} blocks were run");
        ensure!(started >= 2, "only {started} routers were started");
        Ok(())
    });
}

#[test]
fn a_running_router_prints_what_is_said() {
    TestEnvironment::run(async |env| {
        let running = Running::start(env).await?;
        let mut run = 0;
        for document in documents()? {
            for part in &document.parts {
                if let Part::Commands {
                    block,
                    scene: Scene::Running,
                    output,
                } = part
                {
                    let followed = running.follow(&block.text, said(output.as_ref())).await;
                    followed.with_context(|| block.place.clone())?;
                    run += 1;
                }
            }
        }
        ensure!(run >= 7, "only {run} blocks were run");
        Ok(())
    });
}

#[test]
fn who_registers_as_it_is_said_becomes_a_member() {
    TestEnvironment::run(async |env| {
        let mut run = 0;
        for document in documents()? {
            let mut configuration: Option<&Block> = None;
            for part in &document.parts {
                match part {
                    Part::Yaml(block) => configuration = Some(block),
                    Part::Commands {
                        block,
                        scene: Scene::Register,
                        output,
                    } => {
                        let of = configuration.context("no configuration")?;
                        let said = said(output.as_ref()).unwrap_or_default();
                        let member = register::expect_member(env, of, &block.text, said).await;
                        member.with_context(|| block.place.clone())?;
                        run += 1;
                    }
                    _ => {}
                }
            }
        }
        ensure!(run >= 2, "only {run} blocks were run");
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
        expect_alike(&format!("{}\n...", any(said)), &printed)
    });
}

#[test]
fn what_runs_elsewhere_or_nowhere_is_named() -> Result<()> {
    let mut named = Vec::new();
    for document in documents()? {
        for part in &document.parts {
            match part {
                Part::Commands { block, scene, .. } => {
                    for line in block.text.lines() {
                        let told = match scene {
                            Scene::Compose => elsewhere::expect_composed(line).map(Some),
                            Scene::Make => elsewhere::expect_target(line).map(Some),
                            Scene::Nowhere(reason) => Ok(Some(format!("not run: {reason}"))),
                            Scene::Offline { .. }
                            | Scene::Start
                            | Scene::Register
                            | Scene::Running => Ok(None),
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
    tell(&named)
}

#[test]
fn commands_in_sentences_are_known() -> Result<()> {
    let documents = documents()?;
    let parts = documents.iter().flat_map(|document| &document.parts);
    let blocks = parts.filter_map(|part| match part {
        Part::Commands { block, .. } => Some(block.text.lines().map(str::to_owned)),
        _ => None,
    });
    let blocks: Vec<_> = blocks.flatten().collect();
    let (mut named, mut commands) = (Vec::new(), Vec::new());
    for mention in documents.iter().flat_map(|document| &document.mentions) {
        let told = elsewhere::expect_known(&mention.command, &blocks);
        let told = told.with_context(|| mention.place.clone())?;
        named.push(format!("{}: {}: {told}", mention.place, mention.command));
        commands.push(mention.command.clone());
    }
    ensure!(commands.len() > 40, "only {} are known", commands.len());
    elsewhere::expect_needed(&commands)?;
    tell(&named)
}

fn said(output: Option<&Block>) -> Option<&str> {
    output.map(|output| &*output.text)
}

/// Past what the harness keeps to itself of tests that pass.
fn tell(named: &[String]) -> Result<()> {
    writeln!(io::stderr(), "\n{}", named.join("\n"))?;
    Ok(())
}
