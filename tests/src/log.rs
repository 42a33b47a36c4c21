//! Lines of the control plane's JSON log.

use serde_json::{Map, Value};

/// One event.
#[derive(Debug, Clone)]
pub struct LogLine {
    fields: Map<String, Value>,
    level: String,
}

impl LogLine {
    /// Reads a line; `None` if it is no event.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let Value::Object(mut event) = serde_json::from_str(line).ok()? else {
            return None;
        };
        let level = event.get("level")?.as_str()?.to_owned();
        let fields = match event.remove("fields") {
            Some(Value::Object(fields)) => fields,
            _ => event,
        };
        Some(Self { fields, level })
    }

    /// Its message.
    #[must_use]
    pub fn message(&self) -> &str {
        self.field("message").unwrap_or_default()
    }

    /// `INFO`, `WARN` and so on.
    #[must_use]
    pub fn level(&self) -> &str {
        &self.level
    }

    /// A field that is a text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// A field that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name)?.as_u64()
    }

    /// Message and fields as one text, for tests that look for a reason
    /// wherever it may be.
    #[must_use]
    pub fn text(&self) -> String {
        let values = self.fields.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        });
        values.collect::<Vec<_>>().join(" ")
    }
}
