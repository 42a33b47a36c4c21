//! `docs/configuration.md` says what the code does: its tables are made from the
//! types of the configuration and from the command line. `make docs` writes
//! them.

#![forbid(unsafe_code)]

mod cells;
mod commands;
mod settings;
mod source;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use source::Source;

/// Set, it has the document written instead of compared.
const WRITE: &str = "YORKIES_WRITE_DOCS";

const START: &str = "<!-- generated: ";
const END: &str = "<!-- end of what is generated -->";

/// What has to be in the document.
const PARTS: [&str; 12] = [
    "settings",
    "enum Check",
    "enum Readmit",
    "struct KeyRule",
    "struct Learn",
    "enum KeySource",
    "enum ProjectSource",
    "enum NoKey",
    "struct Project",
    "struct Entry",
    "commands",
    "environment",
];

#[test]
fn the_reference_has_every_setting_and_argument_as_the_code_has_it() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = workspace.join("docs/configuration.md");
    let present = fs::read_to_string(&path).context("docs/configuration.md")?;
    let right = rewritten(&present, &source(&workspace)?)?;
    if env::var_os(WRITE).is_some() {
        return Ok(fs::write(path, right)?);
    }
    let mut lines = present.lines().zip(right.lines()).zip(1..);
    if let Some(((is, should), number)) = lines.find(|((is, should), _)| is != should) {
        bail!(
            "docs/configuration.md:{number}: make docs would write it\n is     {is}\n should {should}"
        );
    }
    ensure!(
        present == right,
        "docs/configuration.md ends elsewhere: make docs would write it"
    );
    Ok(())
}

/// The types of the configuration first: other crates have some of the same
/// name.
fn source(workspace: &Path) -> Result<Source> {
    let mut source = Source::default();
    for path in [
        "xds-server/src/config.rs",
        "xds-server/src/config",
        "xds-server/src/registry/entry.rs",
        "sharding/src/rules.rs",
        "sharding/src/key.rs",
        "sharding/src/project.rs",
        "sharding/src/filter_config.rs",
    ] {
        source.read(&workspace.join(path))?;
    }
    Ok(source)
}

/// The document with its generated parts made anew.
fn rewritten(document: &str, source: &Source) -> Result<String> {
    let (mut text, mut rest) = (String::new(), document);
    let mut parts = Vec::new();
    while let Some((before, from)) = rest.split_once(START) {
        let (part, from) = from.split_once(" -->").context("a part without a name")?;
        let (_, after) = from
            .split_once(END)
            .with_context(|| format!("{part}: has no end"))?;
        let made = made(part, source).with_context(|| part.to_owned())?;
        let made = made.trim_start_matches('\n');
        write!(text, "{before}{START}{part} -->\n\n{made}\n{END}")?;
        parts.push(part);
        rest = after;
    }
    text.push_str(rest);
    for part in PARTS {
        ensure!(parts.contains(&part), "the document has no part {part:?}");
    }
    Ok(text)
}

fn made(part: &str, source: &Source) -> Result<String> {
    match part.split_once(' ') {
        None if part == "settings" => settings::settings(source),
        None if part == "commands" => commands::commands(),
        None if part == "environment" => commands::environment(),
        Some(("struct", name)) => settings::table(source, name),
        Some(("enum", name)) => settings::choices(source, name),
        _ => bail!("nothing makes it"),
    }
}
