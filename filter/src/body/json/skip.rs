//! A value of JSON that is not wanted, passed over without keeping it.
//!
//! Brackets are counted, not matched, so nesting takes no memory: for valid
//! JSON the two are the same, and the other is refused by the server. Bytes
//! that are in no JSON (comments, single quotes) are refused, lest a lenient
//! decoder see the end of the value elsewhere.

/// Within a value.
#[derive(Debug, Default)]
pub(super) struct Skip {
    depth: u64,
    within: Within,
}

#[derive(Debug, Default)]
enum Within {
    /// Between tokens.
    #[default]
    Structure,
    /// A number or a literal.
    Scalar,
    String,
    /// Behind a backslash in a string.
    Escape,
}

/// How far the value goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// Further.
    More,
    /// To this byte.
    All,
    /// To the byte before this one.
    AllBefore,
}

impl Skip {
    /// Takes a byte, the first of the value to begin with.
    pub(super) fn push(&mut self, byte: u8) -> Result<Skipped, &'static str> {
        match self.within {
            Within::Escape => {
                self.within = Within::String;
                in_string(byte)
            }
            Within::String if byte == b'\\' => {
                self.within = Within::Escape;
                Ok(Skipped::More)
            }
            Within::String if byte == b'"' => Ok(self.end_of_token()),
            Within::String => in_string(byte),
            Within::Scalar if is_scalar(byte) => Ok(Skipped::More),
            Within::Scalar if self.depth == 0 => Ok(Skipped::AllBefore),
            Within::Scalar | Within::Structure => self.token(byte),
        }
    }

    fn token(&mut self, byte: u8) -> Result<Skipped, &'static str> {
        self.within = Within::Structure;
        match byte {
            b'"' => self.within = Within::String,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                return Ok(self.end_of_token());
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if self.depth > 0 => {}
            _ if is_scalar(byte) => self.within = Within::Scalar,
            _ => return Err("expected a value"),
        }
        Ok(Skipped::More)
    }

    fn end_of_token(&mut self) -> Skipped {
        self.within = Within::Structure;
        if self.depth == 0 {
            Skipped::All
        } else {
            Skipped::More
        }
    }
}

fn in_string(byte: u8) -> Result<Skipped, &'static str> {
    if byte < 0x20 {
        return Err("a control character in a string");
    }
    Ok(Skipped::More)
}

fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of a text its first value takes.
    fn length(text: &str) -> Result<usize, &'static str> {
        let mut skip = Skip::default();
        for (at, byte) in text.bytes().enumerate() {
            match skip.push(byte)? {
                Skipped::More => {}
                Skipped::All => return Ok(at + 1),
                Skipped::AllBefore => return Ok(at),
            }
        }
        Err("no end")
    }

    #[test]
    fn a_value_ends_where_json_says() {
        for value in [
            "1",
            "-1.5e+3",
            "true",
            "null",
            r#""""#,
            r#""a\"b\\""#,
            r#""}]{[,""#,
            "[]",
            "{}",
            r#"{ "a" : [1, {"b": null}, "]"] , "c":0}"#,
        ] {
            for rest in ["", " ", ",", "}", "]"] {
                let scalar = value.bytes().all(is_scalar);
                if scalar && rest.is_empty() {
                    continue;
                }
                let text = format!("{value}{rest}");
                assert_eq!(length(&text), Ok(value.len()), "{text}");
            }
        }
    }

    #[test]
    fn nesting_takes_no_memory() {
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        assert_eq!(length(&deep), Ok(100_000));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "}", "]", ",", ":", "'a'", "/**/1", "[/*\"*/]", "[']']", "\"\n\"", "\"\\\n\"", "é",
        ] {
            assert!(
                matches!(length(text), Err(problem) if problem != "no end"),
                "{text:?}"
            );
        }
    }
}
