//! Flags have their names in the environment and in the configuration.

use clap::{Arg, Command, CommandFactory, Parser};
use serde_json::Value;

use super::Cli;
use crate::config::{Config, Log, LogFormat};

/// Flags of `serve`, and what says the same in the configuration. The flag that
/// names the configuration can have no place in it.
const SETTINGS: [(&str, Option<&str>); 3] = [
    ("config", None),
    ("log-format", Some("/log/format")),
    ("log", Some("/log/filter")),
];

/// Variables that mean the same for several subcommands.
const SHARED: [(&str, &str); 5] = [
    ("config", "YORKIES_CONFIG"),
    ("admin", "YORKIES_ADMIN"),
    ("token-file", "YORKIES_ADMIN_TOKEN_FILE"),
    ("log", "YORKIES_LOG"),
    ("log-format", "YORKIES_LOG_FORMAT"),
];

/// Questions: what differs from one call to the next. A variable that names
/// where one of them starts from would contradict the flags that name another.
const QUESTIONS: [&str; 3] = ["owner", "table", "plan"];

/// How an answer is shown.
const SHOWN: [&str; 3] = ["json", "proxies", "watch"];

fn flags(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let all = command.get_arguments();
    all.filter_map(|arg| Some((arg.get_long()?, arg)))
        .filter(|(flag, _)| !["help", "version"].contains(flag))
}

fn built() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

#[test]
fn every_flag_of_serve_has_a_variable_and_a_setting() {
    let command = built();
    let serve = command.find_subcommand("serve").unwrap();
    let least = "registry: {file: m}\nfilter: {module: f}\n";
    let config: Config = serde_saphyr::from_str(least).unwrap();
    let config = serde_json::to_value(config).unwrap();
    for (flag, arg) in flags(serve) {
        assert!(arg.get_env().is_some(), "--{flag} has no variable");
        let known = SETTINGS.iter().find(|(known, _)| *known == flag);
        let (_, setting) = known.unwrap_or_else(|| panic!("--{flag} has no setting"));
        if let Some(setting) = setting {
            assert_ne!(config.pointer(setting), None::<&Value>, "{setting}");
            let named = format!("`{}`", setting[1..].replace('/', "."));
            let help = arg.get_help().unwrap().to_string();
            assert!(help.contains(&named), "--{flag} does not say {named}");
        }
    }
    assert_eq!(flags(serve).count(), SETTINGS.len());
}

#[test]
fn flags_that_stay_the_same_from_call_to_call_have_variables_by_one_rule() {
    let command = built();
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name();
        for (flag, arg) in flags(subcommand) {
            let variable = arg.get_env().map(|variable| variable.to_str().unwrap());
            let is_question = QUESTIONS.contains(&name) && flag != "token-file";
            if is_question || SHOWN.contains(&flag) {
                assert_eq!(variable, None, "{name} --{flag}");
                continue;
            }
            let own = format!("YORKIES_{name}_{flag}")
                .replace('-', "_")
                .to_uppercase();
            let shared = SHARED.iter().find(|(shared, _)| *shared == flag);
            // Of a proxy, not of the control plane.
            let shared = shared.filter(|_| (name, flag) != ("bootstrap", "admin"));
            let expected = shared.map_or(own.as_str(), |(_, variable)| variable);
            assert_eq!(variable, Some(expected), "{name} --{flag}");
        }
    }
}

#[test]
fn the_command_line_counts_more_than_the_configuration() {
    let configured = Log {
        filter: "warn".to_owned(),
        format: LogFormat::Json,
    };
    let parsed = Cli::try_parse_from(["xds-server", "serve", "--config", "c", "--log", "debug"]);
    let super::Command::Serve { log, .. } = parsed.unwrap().command else {
        panic!("not serve");
    };
    let log = log.over(configured);
    assert_eq!(log.filter, "debug");
    assert_eq!(log.format, LogFormat::Json);
}
