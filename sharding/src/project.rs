//! What is configured about projects and secrets.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::key::{KeyError, canonical_project};

/// A project that requests may name otherwise than by its public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Its id in Yorkie's database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its public API key: the first half of its shard keys.
    pub public_key: String,
    /// SHA-256 of its secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_sha256: Option<Sha256Hash>,
}

/// A SHA-256 hash; as text 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Hash([u8; 32]);

/// Why settings about projects are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// Not a hash. The text is not shown: it may be the secret itself.
    #[error("a text of {0} bytes is no SHA-256 hash: expected 64 hexadecimal digits")]
    Hash(usize),
    /// Cannot be half of a shard key.
    #[error("public key {key:?} of project {name:?} is not usable: {error}")]
    PublicKey {
        /// The project.
        name: String,
        /// Its public key.
        key: String,
        /// What is wrong.
        error: KeyError,
    },
    /// Two projects that cannot be told apart.
    #[error("projects {0:?} and {1:?} have the same name, id or secret key")]
    Twice(String, String),
}

impl Sha256Hash {
    /// The hash of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<String> for Sha256Hash {
    type Error = ProjectError;

    fn try_from(text: String) -> Result<Self, ProjectError> {
        let wrong = || ProjectError::Hash(text.len());
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
            .collect();
        let digits = digits.ok_or_else(wrong)?;
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| wrong())?;
        if digits.len() == 64 {
            Ok(Self(bytes))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Sha256Hash> for String {
    fn from(hash: Sha256Hash) -> Self {
        hash.to_string()
    }
}

/// Checks a list of projects.
///
/// # Errors
/// The first that cannot be used, or is not told apart from another.
pub fn check_projects(projects: &[Project]) -> Result<(), ProjectError> {
    for (index, project) in projects.iter().enumerate() {
        check_public_key(&project.name, &project.public_key)?;
        let is_same = |other: &&Project| {
            other.name == project.name
                || (project.id.is_some() && other.id == project.id)
                || (project.secret_key_sha256.is_some()
                    && other.secret_key_sha256 == project.secret_key_sha256)
        };
        if let Some(other) = projects.iter().skip(index + 1).find(is_same) {
            return Err(ProjectError::Twice(
                project.name.clone(),
                other.name.clone(),
            ));
        }
    }
    Ok(())
}

/// Checks the public key of the project of that name.
///
/// # Errors
/// When it cannot be the first half of a shard key.
pub fn check_public_key(name: &str, key: &str) -> Result<(), ProjectError> {
    let error = match canonical_project(key.as_bytes()) {
        Ok(project) if project.is_empty() => KeyError::EmptyProject,
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    Err(ProjectError::PublicKey {
        name: name.to_owned(),
        key: key.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str, id: Option<&str>, hash: Option<u8>) -> Project {
        Project {
            name: name.to_owned(),
            id: id.map(str::to_owned),
            public_key: "p".to_owned(),
            secret_key_sha256: hash.map(|byte| Sha256Hash::new([byte; 32])),
        }
    }

    #[test]
    fn a_hash_reads_back_as_itself_in_lower_case() {
        let text = "00ff".repeat(16);
        let hash = Sha256Hash::try_from(text.to_uppercase()).unwrap();
        assert_eq!(hash.to_string(), text);
    }

    #[test]
    fn a_text_that_is_no_hash_is_refused_and_not_repeated() {
        for text in [
            "",
            "secret",
            &"0".repeat(63),
            &"0".repeat(65),
            &"g".repeat(64),
        ] {
            let error = Sha256Hash::try_from(text.to_owned()).unwrap_err();
            assert_eq!(error, ProjectError::Hash(text.len()));
        }
    }

    #[test]
    fn projects_have_to_differ_in_all_that_names_them() {
        let a = project("a", Some("1"), Some(1));
        assert_eq!(
            check_projects(&[a.clone(), project("b", None, None)]),
            Ok(())
        );
        for other in [
            project("a", None, None),
            project("b", Some("1"), None),
            project("b", None, Some(1)),
        ] {
            let error = check_projects(&[a.clone(), other]).unwrap_err();
            assert!(matches!(error, ProjectError::Twice(..)));
        }
    }

    #[test]
    fn a_public_key_has_to_be_half_of_a_shard_key() {
        assert_eq!(check_public_key("a", "xyz"), Ok(()));
        for key in ["", " ", "a\0"] {
            assert!(check_public_key("a", key).is_err());
        }
    }
}
