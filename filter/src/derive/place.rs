//! Keys outside the message: in the path, the query and other headers.

use sharding::{KeySource, Resource, ShardKey, decode_text};

use super::Request;
use crate::project::path_text;
use crate::refusal::Refusal;
use crate::rpc::query;

/// Where such a key is, for messages.
pub(super) const REQUEST_LINE: &str = "the request line or a header";

impl Request<'_> {
    /// The decoded text of a variable of the path.
    #[must_use]
    pub fn path_variable(&self, name: &str) -> Option<String> {
        let path = std::str::from_utf8(self.headers.path).ok()?;
        let path = path.split(['?', '#']).next()?;
        let variables = self.rule.path.variables(path)?;
        let (_, text) = variables.into_iter().find(|(other, _)| *other == name)?;
        Some(path_text(text))
    }

    /// What a place outside the message has, empty texts left out.
    pub(super) fn outside(&self, source: &KeySource) -> Vec<String> {
        let texts = match source {
            KeySource::Path(variable) => self.path_variable(variable).into_iter().collect(),
            KeySource::Query(name) => query::values(self.headers.path, name)
                .iter()
                .map(|text| decode_text(text).into_owned())
                .collect(),
            KeySource::Header(name) => {
                let values = self.headers.values(name);
                values
                    .filled()
                    .map(|text| decode_text(text).into_owned())
                    .collect()
            }
            _ => Vec::new(),
        };
        texts.into_iter().filter(|text| !text.is_empty()).collect()
    }
}

/// The one key that all of the texts spell; `None` when there are none.
pub(super) fn only(
    project: &str,
    resource: Resource,
    texts: &[String],
) -> Result<Option<ShardKey>, Refusal> {
    let mut found: Option<ShardKey> = None;
    for text in texts {
        let key = ShardKey::from_halves(project, text, resource)
            .map_err(|error| Refusal::malformed(REQUEST_LINE, error))?;
        match found {
            Some(first) if first != key => {
                return Err(Refusal::Ambiguous {
                    place: REQUEST_LINE,
                    first: first.to_string(),
                    second: key.to_string(),
                });
            }
            _ => found = Some(key),
        }
    }
    Ok(found)
}
