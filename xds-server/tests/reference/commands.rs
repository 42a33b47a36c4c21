//! The command line and the environment, as `clap` knows them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use clap::{Arg, Command, CommandFactory};
use xds_server::cli::Cli;

use crate::cells::{cell, code};

/// Every subcommand with a table of its arguments.
pub(crate) fn commands() -> Result<String> {
    let mut text = String::new();
    for command in subcommands() {
        let about = command.get_about().context("a command without a text")?;
        writeln!(
            text,
            "\n### `xds-server {}`\n\n{about}.\n",
            command.get_name()
        )?;
        text.push_str("| argument | left out | what it does |\n|---|---|---|\n");
        for argument in command
            .get_arguments()
            .filter(|argument| !is_help(argument))
        {
            let (name, left_out) = (spelled(argument), left_out(argument));
            writeln!(text, "| {name} | {left_out} | {} |", about_of(argument)?)?;
        }
    }
    Ok(text)
}

/// Every variable of the environment, and the arguments that it stands for.
pub(crate) fn environment() -> Result<String> {
    let mut variables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for command in subcommands() {
        for argument in command.get_arguments() {
            if let (Some(variable), Some(flag)) = (argument.get_env(), argument.get_long()) {
                let variable = variable.to_str().context("a variable that is no text")?;
                let stands_for = code(&format!("{} --{flag}", command.get_name()));
                let all = variables.entry(variable.to_owned()).or_default();
                all.push(stands_for);
            }
        }
    }
    let mut text = "| variable | stands for |\n|---|---|\n".to_owned();
    for (variable, stands_for) in variables {
        writeln!(text, "| {} | {} |", code(&variable), stands_for.join(", "))?;
    }
    Ok(text)
}

fn subcommands() -> Vec<Command> {
    let mut whole = Cli::command();
    whole.build();
    let all = whole.get_subcommands();
    all.filter(|command| command.get_name() != "help")
        .cloned()
        .collect()
}

fn is_help(argument: &Arg) -> bool {
    ["help", "version"].contains(&argument.get_id().as_str())
}

fn spelled(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let value = names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let value = value.join(" ");
    let takes_value = argument.get_action().takes_values();
    match argument.get_long() {
        Some(flag) if takes_value => code(&format!("--{flag} {value}")),
        Some(flag) => code(&format!("--{flag}")),
        None => code(&format!("{value}...")),
    }
}

fn left_out(argument: &Arg) -> String {
    let defaults = argument.get_default_values();
    let default: Vec<_> = defaults
        .iter()
        .map(|value| code(&value.to_string_lossy()))
        .collect();
    match default.as_slice() {
        [] if argument.is_required_set() => "required".to_owned(),
        [] => "none".to_owned(),
        _ if !argument.get_action().takes_values() => "no".to_owned(),
        defaults => defaults.join(", "),
    }
}

fn about_of(argument: &Arg) -> Result<String> {
    let name = argument.get_id();
    let help = argument.get_long_help().or(argument.get_help());
    let help = help.with_context(|| format!("{name}: says nothing of itself"))?;
    let mut about = help.to_string().replace('\n', " ");
    if !about.ends_with(['.', ']']) {
        about.push('.');
    }
    let values = argument.get_possible_values();
    if argument.get_action().takes_values() && !values.is_empty() {
        let values: Vec<_> = values.iter().map(|value| code(value.get_name())).collect();
        write!(about, " One of {}.", values.join(", "))?;
    }
    Ok(cell(&about))
}
