//! Tables of settings.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xds_server::config::Config;

use crate::cells::{applied, cell, code, head, head_of_settings, holds, inner, row, shown};
use crate::source::{Field, Source};

/// Configurations that leave out as much as they can, in different ways: what
/// a setting is when it is left out is in the first that leaves it out, but
/// not the section that it is in.
const LEAST: [&str; 10] = [
    "registry: { file: m }\nfilter: { module: f }\nlistener: { address: '0.0.0.0:80' }\n",
    "registry: { dns: { name: yorkie, port: 80 } }\nfilter: { module: f }\nxds: { tls: { certificate: c, key: k } }\n",
    "registry: { dns: { name: yorkie, record: srv } }\nfilter: { module: f }\n",
    "registry: { file: m }\nfilter: { module: f }\nhealth: { check: tcp, incarnation: {} }\n",
    "registry: { etcd: { endpoints: ['https://e:2379'], tls: { ca: c } } }\nfilter: { module: f }\n",
    "registry: { kubernetes: { service: yorkie } }\nfilter: { module: f }\n",
    "registry: { kubernetes: { selector: app=yorkie } }\nfilter: { module: f }\n",
    "registry: { yorkie: { uri: 'mongodb://m' } }\nfilter: { module: f }\n",
    "registry: { yorkie: { uri_file: u } }\nfilter: { module: f }\n",
    "registry: { leases: {} }\nfilter: { module: f }\nadmin: { token_file: t }\n",
];

/// Every setting: a table for those at the top, and one for each section.
pub(crate) fn settings(source: &Source) -> Result<String> {
    let least: Result<Vec<_>> = LEAST.iter().map(|text| Least::load(text)).collect();
    let mut reference = Reference {
        source,
        least: least?,
        shown: BTreeSet::new(),
        text: String::new(),
    };
    reference.section("", "Config", "")?;
    reference.expect_complete()?;
    Ok(reference.text)
}

/// The fields of a struct that is not part of a section.
pub(crate) fn table(source: &Source, name: &str) -> Result<String> {
    let fields = source.fields(name)?;
    let fields = fields.with_context(|| format!("there is no struct {name}"))?;
    let mut text = head();
    for field in &fields {
        let left_out = match field {
            Field { required: true, .. } => "required".to_owned(),
            Field {
                literal: Some(literal),
                ..
            } => code(literal),
            Field { kind, .. } if kind == "bool" => code("false"),
            Field { kind, .. } if kind.starts_with("Option<") || kind.starts_with("Vec<") => {
                "none".to_owned()
            }
            Field { kind, .. } => {
                let choices = source.choices(kind)?.unwrap_or_default();
                let default = choices.iter().find(|choice| choice.is_default);
                code(&default.with_context(|| format!("{kind}: no default"))?.name)
            }
        };
        row(&mut text, source, &field.name, field, &[&left_out])?;
    }
    Ok(text)
}

/// The variants of an enum that is not part of a section.
pub(crate) fn choices(source: &Source, name: &str) -> Result<String> {
    let choices = source.choices(name)?;
    let mut text = "| value | what it says |\n|---|---|\n".to_owned();
    for choice in choices.with_context(|| format!("there is no enum {name}"))? {
        let value = match &choice.holds {
            Some(kind) => format!("{}: {}", choice.name, holds(kind)?),
            None => choice.name,
        };
        writeln!(text, "| {} | {} |", code(&value), cell(&choice.text))?;
    }
    Ok(text)
}

/// A configuration that leaves much out, as it was given and as it was read.
struct Least {
    given: Value,
    read: Value,
}

impl Least {
    fn load(text: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("yorkies.yaml");
        fs::write(&file, text)?;
        let read = serde_json::to_string(&Config::load(&file)?)?;
        // Paths are relative to the file.
        let read = read.replace(&format!("{}/", folder.path().display()), "");
        Ok(Self {
            given: serde_saphyr::from_str(text)?,
            read: serde_json::from_str(&read)?,
        })
    }
}

struct Reference<'a> {
    source: &'a Source,
    least: Vec<Least>,
    shown: BTreeSet<String>,
    text: String,
}

impl Reference<'_> {
    /// The table of a section, and then those of the sections in it.
    fn section(&mut self, path: &str, name: &str, about: &str) -> Result<()> {
        let fields = self.source.fields(name)?;
        let fields = fields.with_context(|| format!("{path}: no struct {name}"))?;
        if !path.is_empty() {
            write!(self.text, "\n### `{path}`\n\n{about}\n")?;
        }
        let (mut rows, mut sections) = (String::new(), Vec::new());
        for field in &fields {
            let path = [path, &field.name].map(str::to_owned).join(".");
            let path = path.trim_start_matches('.').to_owned();
            ensure!(!field.text.is_empty(), "{path}: says nothing of itself");
            let kind = inner(&field.kind);
            if self.source.fields(kind)?.is_some() {
                let presence = match field.required {
                    true => "Required. ",
                    false if field.kind == kind => "",
                    false => "Optional. ",
                };
                sections.push((path, kind.to_owned(), format!("{presence}{}", field.text)));
                continue;
            }
            let left_out = self.left_out(&path, field)?;
            let said = [left_out.as_str(), applied(&path)];
            row(&mut rows, self.source, &path, field, &said)?;
            self.shown.insert(path);
        }
        if !rows.is_empty() {
            self.text.push('\n');
            self.text.push_str(&head_of_settings());
            self.text.push_str(&rows);
        }
        for (path, kind, about) in sections {
            self.section(&path, &kind, &about)?;
        }
        Ok(())
    }

    fn left_out(&self, path: &str, field: &Field) -> Result<String> {
        if field.required {
            return Ok("required".to_owned());
        }
        let pointer = format!("/{}", path.replace('.', "/"));
        let mut values = self.least.iter().filter_map(|least| {
            let is_given = least.given.pointer(&pointer).is_some();
            (!is_given).then(|| least.read.pointer(&pointer)).flatten()
        });
        let value = values.next();
        value
            .with_context(|| format!("{path}: not known what it is when it is left out"))
            .and_then(shown)
    }

    /// Nothing that a configuration has is without a row, by its own name.
    fn expect_complete(&self) -> Result<()> {
        for least in &self.least {
            let mut leaves = BTreeSet::new();
            leaves_of(&least.read, "", &mut leaves);
            for leaf in leaves {
                let within =
                    |shown: &String| *shown == leaf || shown.starts_with(&format!("{leaf}."));
                ensure!(
                    self.shown.iter().any(within),
                    "{leaf}: is not in the source"
                );
            }
        }
        Ok(())
    }
}

fn leaves_of(value: &Value, path: &str, leaves: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                leaves_of(value, path.trim_start_matches('.'), leaves);
            }
        }
        _ => {
            leaves.insert(path.to_owned());
        }
    }
}
