//! Rows of the tables and what stands in them.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde_json::Value;
use xds_server::config::Applied;

use crate::source::{Choice, Field, Source};

/// The head of a table of fields.
pub(crate) fn head() -> String {
    "| setting | values | left out | what it does |\n|---|---|---|---|\n".to_owned()
}

/// The head of a table of settings, which says how each is changed.
pub(crate) fn head_of_settings() -> String {
    "| setting | values | left out | to change | what it does |\n|---|---|---|---|---|\n".to_owned()
}

/// What brings a change of a setting into force, in a word.
pub(crate) fn applied(path: &str) -> &'static str {
    match Applied::of(path) {
        Applied::ByReload => "reload",
        Applied::ByRestart => "restart",
        Applied::ByBootstrap => "bootstrap",
    }
}

/// Adds the row of a field, with what else is said of it before its text.
pub(crate) fn row(
    text: &mut String,
    source: &Source,
    path: &str,
    field: &Field,
    said: &[&str],
) -> Result<()> {
    let choices = source.choices(inner(&field.kind))?.unwrap_or_default();
    let mut about = field.text.clone();
    let values = if is_plain(&choices) {
        for choice in &choices {
            write!(about, " {}: {}", code(&choice.name), choice.text)?;
        }
        let names: Vec<_> = choices.iter().map(|choice| code(&choice.name)).collect();
        names.join(", ")
    } else {
        values(&field.kind)?.to_owned()
    };
    let (path, about) = (code(path), cell(&about));
    Ok(writeln!(
        text,
        "| {path} | {values} | {} | {about} |",
        said.join(" | ")
    )?)
}

/// Whether these are names and nothing else; others have a table of their own.
fn is_plain(choices: &[Choice]) -> bool {
    !choices.is_empty() && choices.iter().all(|choice| choice.holds.is_none())
}

/// The type that may be left out.
pub(crate) fn inner(kind: &str) -> &str {
    kind.strip_prefix("Option<")
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(kind)
}

/// What a person writes for a value of that type.
fn values(kind: &str) -> Result<&'static str> {
    Ok(match inner(kind) {
        "bool" => "`true`, `false`",
        "u16" | "NonZeroU16" | "u32" => "number",
        "String" => "text",
        "PathBuf" => "path",
        "Duration" => "duration",
        "SocketAddr" => "`IP:PORT`",
        "HostPort" => "`HOST:PORT`",
        "Name" => "DNS name",
        "ServicePort" => "number or name",
        "Sha256Hash" => "64 hexadecimal digits",
        "Policy" => "[policy](#policies)",
        "PathPattern" => "[path](#paths)",
        "FieldPath" => "[field](#fields-of-messages)",
        "Learn" => "`{ id: FIELD, key: FIELD }`",
        "Check" => "[check](#checks)",
        "Readmit" => "[rule](#readmission)",
        "NoKey" => "[answer](#without-a-key)",
        "Vec<String>" | "Vec<IdentityPattern>" => "list of texts",
        "Vec<SocketAddr>" => "list of addresses",
        "Vec<KeyRule>" => "list of [rules](#key-rules)",
        "Vec<Project>" => "list of [projects](#projects)",
        "Vec<KeySource>" => "list of [places](#places-of-a-key)",
        "Vec<ProjectSource>" => "list of [places](#places-of-a-project)",
        kind => bail!("how does a person write a {kind}? say it here"),
    })
}

/// The same within a value.
pub(crate) fn holds(kind: &str) -> Result<&'static str> {
    Ok(match kind {
        "Duration" => "DURATION",
        "FieldPath" => "FIELD",
        "String" => "TEXT",
        kind => bail!("how does a person write a {kind}? say it here"),
    })
}

/// A value as it stands in a file.
pub(crate) fn shown(value: &Value) -> Result<String> {
    Ok(match value {
        Value::Null => "none".to_owned(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::String(text) => code(text),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) => {
            code(&value.to_string().replace(',', ", "))
        }
        Value::Object(_) => bail!("{value} is a section"),
    })
}

pub(crate) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// A text that does not end its cell.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
