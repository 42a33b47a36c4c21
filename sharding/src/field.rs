//! Where in a message a value is: one description for protobuf and for its
//! JSON form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Deepest path; bounds what a reader of messages has to keep in mind.
pub const MAX_FIELD_DEPTH: usize = 8;

/// Largest field number of protobuf.
const MAX_FIELD_NUMBER: u32 = (1 << 29) - 1;

/// A path of fields from the root of a message, such as
/// `change_pack=2.document_key=1`: each field by the name that its `.proto`
/// gives it and by its number. A repeated field stands for each of its
/// elements.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldPath {
    fields: Vec<Field>,
}

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    name: String,
    json_name: String,
    number: u32,
}

/// Why a text is no field path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "field path {0:?} is not usable: expected name=number for each field, joined by dots, such as change_pack=2.document_key=1, at most {MAX_FIELD_DEPTH} deep"
)]
pub struct FieldPathError(String);

impl FieldPath {
    /// The fields, outermost first; at least one.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether this path goes on where `outer` ends, by number or by name.
    #[must_use]
    pub fn leads_through(&self, outer: &Self) -> bool {
        let all = |same: fn(&Field, &Field) -> bool| {
            let mut pairs = self.fields.iter().zip(&outer.fields);
            pairs.all(|(a, b)| same(a, b))
        };
        self.fields.len() > outer.fields.len()
            && (all(|a, b| a.number == b.number) || all(|a, b| a.json_name == b.json_name))
    }
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        let (name, number) = text.split_once('=')?;
        let number = number.parse().ok()?;
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (named && (1..=MAX_FIELD_NUMBER).contains(&number)).then(|| Self {
            json_name: lower_camel_case(name),
            name: name.to_owned(),
            number,
        })
    }

    /// Number on the wire.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Name in the `.proto`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name that the JSON mapping of proto3 writes.
    #[must_use]
    pub fn json_name(&self) -> &str {
        &self.json_name
    }

    /// Whether a JSON object key means this field: a reader has to accept both
    /// its names (proto3 JSON mapping).
    #[must_use]
    pub fn is_named(&self, key: &str) -> bool {
        key == self.json_name || key == self.name
    }
}

/// As protobuf derives JSON names: a letter after an underscore in upper case,
/// underscores dropped.
fn lower_camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut after_underscore = false;
    for character in name.chars() {
        if character == '_' {
            after_underscore = true;
        } else if std::mem::take(&mut after_underscore) {
            camel.push(character.to_ascii_uppercase());
        } else {
            camel.push(character);
        }
    }
    camel
}

impl FromStr for FieldPath {
    type Err = FieldPathError;

    fn from_str(text: &str) -> Result<Self, FieldPathError> {
        let fields: Option<Vec<_>> = text.split('.').map(Field::parse).collect();
        match fields {
            Some(fields) if fields.len() <= MAX_FIELD_DEPTH => Ok(Self { fields }),
            _ => Err(FieldPathError(text.to_owned())),
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write!(f, "{}={}", field.name, field.number)?;
        }
        Ok(())
    }
}

impl TryFrom<String> for FieldPath {
    type Error = FieldPathError;

    fn try_from(text: String) -> Result<Self, FieldPathError> {
        text.parse()
    }
}

impl From<FieldPath> for String {
    fn from(path: FieldPath) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_as_itself() {
        for text in [
            "client_key=1",
            "change_pack=2.document_key=1",
            "a=536870911",
        ] {
            let path: FieldPath = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn a_field_has_both_its_json_names_and_no_other() {
        let path: FieldPath = "change_pack=2".parse().unwrap();
        let [field] = path.fields() else {
            panic!("{path}")
        };
        assert!(field.is_named("change_pack") && field.is_named("changePack"));
        assert!(!field.is_named("changepack") && !field.is_named("ChangePack"));
    }

    #[test]
    fn json_names_are_those_of_protobuf() {
        for (name, json_name) in [
            ("a", "a"),
            ("a_b", "aB"),
            ("a__b_", "aB"),
            ("aB_c1", "aBC1"),
        ] {
            assert_eq!(lower_camel_case(name), json_name);
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "",
            "a",
            "a=0",
            "=1",
            "1a=1",
            "a=1.",
            "a=536870912",
            "a=x",
            "a b=1",
        ] {
            assert_eq!(
                text.parse::<FieldPath>(),
                Err(FieldPathError(text.to_owned()))
            );
        }
        let deep = ["a=1"; MAX_FIELD_DEPTH + 1].join(".");
        assert!(deep.parse::<FieldPath>().is_err());
    }
}
