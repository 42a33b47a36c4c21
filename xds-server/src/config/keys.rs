//! Settings about keys, projects and secrets: stricter here than on their way
//! to the filter, where an older reader must live with a newer writer.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use sharding::{
    FieldPath, KeyRule, KeySource, Kind, Learn, MAX_MAX_BODY, NoKey, PathPattern, Project,
    ProjectSource, Resource, Sha256Hash, check_projects, check_public_key,
};

use super::Config;

/// Rules without unknown fields.
pub(super) fn strict_rules<'de, D>(deserializer: D) -> Result<Vec<KeyRule>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        path: PathPattern,
        #[serde(default)]
        kind: Kind,
        #[serde(default)]
        resource: Option<Resource>,
        #[serde(default)]
        keys: Vec<KeySource>,
        #[serde(default)]
        projects: Vec<ProjectSource>,
        #[serde(default)]
        learn: Option<StrictLearn>,
        #[serde(default)]
        many: bool,
        #[serde(default)]
        internal: bool,
        #[serde(default)]
        no_key: NoKey,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct StrictLearn {
        id: FieldPath,
        key: FieldPath,
    }
    let rules = Vec::<Strict>::deserialize(deserializer)?;
    let rules = rules.into_iter().map(|rule| KeyRule {
        path: rule.path,
        kind: rule.kind,
        resource: rule.resource,
        keys: rule.keys,
        projects: rule.projects,
        learn: rule.learn.map(|learn| Learn {
            id: learn.id,
            key: learn.key,
        }),
        many: rule.many,
        internal: rule.internal,
        no_key: rule.no_key,
    });
    Ok(rules.collect())
}

/// Projects without unknown fields.
pub(super) fn strict_projects<'de, D>(deserializer: D) -> Result<Vec<Project>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        name: String,
        #[serde(default)]
        id: Option<String>,
        public_key: String,
        #[serde(default)]
        secret_key_sha256: Option<Sha256Hash>,
    }
    let projects = Vec::<Strict>::deserialize(deserializer)?;
    let projects = projects.into_iter().map(|project| Project {
        name: project.name,
        id: project.id,
        public_key: project.public_key,
        secret_key_sha256: project.secret_key_sha256,
    });
    Ok(projects.collect())
}

/// Checks what the types alone cannot; the error names the setting.
pub(super) fn check(config: &Config) -> Result<(), (&'static str, String)> {
    for rule in &config.key_rules {
        rule.check()
            .map_err(|error| ("key_rules", error.to_string()))?;
    }
    if let Some(key) = &config.default_project {
        check_public_key("default_project", key)
            .map_err(|error| ("default_project", error.to_string()))?;
    }
    if config.default_project_file.is_some() && config.default_project.is_some() {
        return Err((
            "default_project_file",
            "default_project is given too: expected one of them".to_owned(),
        ));
    }
    check_projects(&config.projects).map_err(|error| ("projects", error.to_string()))?;
    if config.cluster_secret_file.is_some() && config.cluster_secret_sha256.is_some() {
        return Err((
            "cluster_secret_file",
            "cluster_secret_sha256 is given too: expected one of them".to_owned(),
        ));
    }
    if !(1..=MAX_MAX_BODY).contains(&config.max_body) {
        return Err((
            "max_body",
            format!(
                "{} is not usable: expected 1 to {MAX_MAX_BODY} bytes",
                config.max_body
            ),
        ));
    }
    Ok(())
}

/// The hash of the secret in a file; a line break at its end is not part of it.
pub(super) fn secret_of(file: &Path) -> Result<Sha256Hash, String> {
    let secret = line_of(file)?;
    Ok(Sha256Hash::new(Sha256::digest(secret).into()))
}

/// The public key in a file; a line break at its end is not part of it.
pub(super) fn public_key_of(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let key =
        String::from_utf8(line_of(file)?).map_err(|_| format!("{shown}: is not UTF-8 text"))?;
    check_public_key("default", &key).map_err(|error| format!("{shown}: {error}"))?;
    Ok(key)
}

/// What a file says, without the line break at its end.
fn line_of(file: &Path) -> Result<Vec<u8>, String> {
    let shown = file.display();
    let mut bytes = fs::read(file).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
    for end in [b'\n', b'\r'] {
        bytes.pop_if(|last| *last == end);
    }
    if bytes.is_empty() {
        return Err(format!("{shown}: is empty"));
    }
    Ok(bytes)
}
