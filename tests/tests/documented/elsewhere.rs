//! What is run elsewhere or nowhere, each with its reason.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use yorkies_tests::{workspace, xds_server_binary};

/// What must be green before anything lands.
const CI: &str = ".ci/run";

/// The test of the compose files, `make compose-test`.
const COMPOSE_TEST: &str = "tests/tests/compose/main.rs";

/// Commands in sentences that are in no block: who runs them, or why nobody does.
const NAMED: [(&str, &str); 5] = [
    (
        "docker buildx build",
        "not run: an image for another processor takes a builder of its own",
    ),
    (
        "docker compose restart yorkie",
        "not run: it is said there not to",
    ),
    (
        "systemctl reload",
        "not run: needs systemd; the signal that it sends is tested",
    ),
    ("promtool test rules", "run by tests/tests/monitoring"),
    ("promtool check rules", "run by tests/tests/monitoring"),
];

/// That a line of a block is a step of the test of the compose files, which takes
/// every such block.
pub(crate) fn expect_composed(line: &str) -> Result<String> {
    let is_step = line.starts_with("docker ");
    ensure!(is_step, "{line} does nothing with containers");
    if let Some((_, rest)) = line.split_once(" -f ") {
        let file = rest.split(' ').next().unwrap_or_default();
        ensure!(workspace().join(file).is_file(), "{file} does not exist");
    }
    Ok(format!("run by {COMPOSE_TEST}"))
}

/// That there is such a target, and who makes it for real.
pub(crate) fn expect_target(line: &str) -> Result<String> {
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

/// That a command in a sentence is one that a block has, a target of the
/// Makefile, or a subcommand of the control plane with options that it has; or
/// that it is named with a reason. `blocks` are the lines of all blocks.
pub(crate) fn expect_known(command: &str, blocks: &[String]) -> Result<String> {
    let program = command.split(' ').next().unwrap_or_default();
    match Path::new(program)
        .file_name()
        .and_then(|name| name.to_str())
    {
        Some("make") => return expect_target(command),
        Some("xds-server") => return expect_understood(command),
        _ => {}
    }
    if let Some(line) = blocks.iter().find(|line| is_part(command, line)) {
        return Ok(format!("a block has it: {line}"));
    }
    let named = NAMED.iter().find(|(named, _)| *named == command);
    let (_, reason) = named.with_context(|| {
        format!("`{command}` is in no block; make it one, or say why not in NAMED")
    })?;
    Ok((*reason).to_owned())
}

/// That every command which is named with a reason is in a sentence.
pub(crate) fn expect_needed(commands: &[String]) -> Result<()> {
    for (named, _) in NAMED {
        ensure!(
            commands.iter().any(|command| command == named),
            "NAMED has `{named}`, which no sentence has"
        );
    }
    Ok(())
}

/// Whether the words of the command are in that line, in that order.
fn is_part(command: &str, line: &str) -> bool {
    let mut words = line.split_whitespace();
    command
        .split(' ')
        .all(|wanted| words.any(|word| word == wanted))
}

fn expect_understood(command: &str) -> Result<String> {
    let mut words = command.split(' ').skip(1);
    let subcommand = words.next().context("names no subcommand")?;
    let output = Command::new(xds_server_binary()?)
        .args([subcommand, "--help"])
        .output()?;
    ensure!(output.status.success(), "there is no {subcommand}");
    let help = String::from_utf8(output.stdout)?;
    let has = |option: &str| help.split([' ', '\n', ',']).any(|word| word == option);
    let unknown = words.find(|word| word.starts_with("--") && !has(word));
    ensure!(unknown.is_none(), "{subcommand} has no {unknown:?}");
    Ok("there is such a subcommand".to_owned())
}

#[test]
fn a_command_in_a_sentence_that_nobody_would_check_is_named() {
    let blocks = ["docker compose -f x.yml up -d --build".to_owned()];
    for known in [
        "docker compose up -d",
        "make test",
        "xds-server plan --json",
    ] {
        let told = expect_known(known, &blocks);
        assert!(told.is_ok(), "{told:?}");
    }
    for unknown in [
        "docker compose up --scale yorkie=5",
        "docker up compose",
        "make haste",
        "xds-server obey",
        "xds-server plan --jso",
        "curl -i http://GATEWAY/",
    ] {
        let told = expect_known(unknown, &blocks);
        assert!(told.is_err(), "{unknown}: {told:?}");
    }
}
