//! In which scene each command of a document runs, and what it is said to
//! print.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::blocks::{Block, blocks};

/// Where the commands of a block run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scene {
    /// In a folder with the files that the document has shown so far.
    Offline {
        /// Whether it is said to fail.
        fails: bool,
    },
    /// There too, and they go on: a control plane and an Envoy.
    Start,
    /// Beside a control plane, an Envoy and members that run.
    Running,
    /// With the control plane that was configured right before, and what that
    /// needs; they go on, and a member registers.
    Register,
    /// In `tests/tests/compose`.
    Compose,
    /// By hand: here it is only looked whether there is such a target.
    Make,
    /// Nowhere, and why.
    Nowhere(String),
}

/// A block of a document, understood.
#[derive(Debug)]
pub enum Part {
    /// Commands, and what they are said to print.
    Commands {
        /// The commands.
        block: Block,
        /// Where they run.
        scene: Scene,
        /// What they print.
        output: Option<Block>,
    },
    /// A file, or a part of one.
    Yaml(Block),
    /// What is not looked at, and why.
    Unchecked(Block, String),
}

impl Part {
    /// Whether these are commands that do.
    #[must_use]
    pub fn starts_a_router(&self) -> bool {
        matches!(
            self,
            Self::Commands {
                scene: Scene::Start,
                ..
            }
        )
    }
}

/// The blocks of the document at `path`, understood.
pub(super) fn parts(path: &Path, text: &str) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for block in blocks(path, text)? {
        let comment = block.comment.clone().unwrap_or_default();
        let nowhere = comment.strip_prefix("not run: ").map(str::to_owned);
        match &*block.language {
            "sh" | "console" => parts.push(Part::Commands {
                scene: scene(&comment).with_context(|| {
                    format!(
                        "{}: where does it run? say it in a comment right before",
                        block.place
                    )
                })?,
                block,
                output: None,
            }),
            "yaml" => parts.push(match nowhere {
                Some(reason) => Part::Unchecked(block, reason),
                None => Part::Yaml(block),
            }),
            "text" | "json" if comment == "picture" => {}
            "text" | "json" => match parts.last_mut() {
                Some(Part::Commands {
                    block: commands,
                    output: output @ None,
                    ..
                }) if commands.section == block.section => *output = Some(block),
                _ => bail!(
                    "{}: no command prints it; say <!-- picture --> if it is none's output",
                    block.place
                ),
            },
            other => bail!("{}: nobody checks {other}", block.place),
        }
    }
    Ok(parts)
}

fn scene(comment: &str) -> Result<Scene> {
    if let Some(reason) = comment.strip_prefix("not run: ") {
        ensure!(!reason.is_empty(), "not run, but why?");
        return Ok(Scene::Nowhere(reason.to_owned()));
    }
    Ok(match comment {
        "run: offline" => Scene::Offline { fails: false },
        "run: offline, fails" => Scene::Offline { fails: true },
        "run: start" => Scene::Start,
        "run: running" => Scene::Running,
        "run: register" => Scene::Register,
        "run: compose" => Scene::Compose,
        "run: make" => Scene::Make,
        other => bail!("{other:?} is no scene"),
    })
}

#[test]
fn a_block_that_nobody_would_check_is_named() {
    for (text, problem) in [
        ("```sh\nls\n```\n", "A.md:1: where does it run?"),
        (
            "<!-- run: mars -->\n```sh\nls\n```\n",
            "A.md:2: where does it run?",
        ),
        (
            "<!-- run: make -->\nthen\n```sh\nls\n```\n",
            "A.md:3: where does it run?",
        ),
        ("```text\na\n```\n", "A.md:1: no command prints it"),
        (
            "<!-- run: make -->\n```sh\nls\n```\n## Other\n```text\na\n```\n",
            "A.md:6: no command prints it",
        ),
        ("```toml\na\n```\n", "A.md:1: nobody checks toml"),
        ("```\na\n```\n", "A.md:1: says no language"),
        ("```sh\na\n", "A.md:1: no end"),
    ] {
        let error = parts(Path::new("A.md"), text).expect_err(text);
        assert!(format!("{error:#}").starts_with(problem), "{error:#}");
    }
}

#[test]
fn what_follows_a_command_in_its_section_is_its_output() -> Result<()> {
    let text = "<!-- run: offline -->\n```sh\na\n```\nprose\n```text\nb\n```\n<!-- picture -->\n```text\n```\n";
    let parts = parts(Path::new("A.md"), text)?;
    let [
        Part::Commands {
            scene,
            output: Some(output),
            ..
        },
    ] = parts.as_slice()
    else {
        bail!("{parts:?}");
    };
    ensure!(*scene == Scene::Offline { fails: false } && output.text == "b\n");
    Ok(())
}
