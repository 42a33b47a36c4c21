//! Takes out of JSON what need not be seen to be shown: hashes of secrets. One
//! who has them can try guesses without asking anybody.

use serde_json::Value;

/// What stands in the place of it.
const REDACTED: &str = "redacted";

/// How the names of such fields end.
const HASH: &str = "_sha256";

/// Replaces every hash of a secret, however deep.
pub(crate) fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name.ends_with(HASH) && !value.is_null() {
                    *value = REDACTED.into();
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(redact),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hashes_are_replaced_wherever_they_are_and_nothing_else_is() {
        let mut value = json!({
            "cluster_secret_sha256": "00ff",
            "projects": [{"name": "p", "secret_key_sha256": "aa"}, {"secret_key_sha256": null}],
            "sha256": "of the module",
        });
        redact(&mut value);
        let expected = json!({
            "cluster_secret_sha256": "redacted",
            "projects": [
                {"name": "p", "secret_key_sha256": "redacted"},
                {"secret_key_sha256": null},
            ],
            "sha256": "of the module",
        });
        assert_eq!(value, expected);
    }
}
