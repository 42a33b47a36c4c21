//! A string of JSON, as it comes, escapes resolved.

/// A string up to a limit.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    limit: usize,
    is_cut: bool,
    escape: Escape,
    /// First half of a surrogate pair; its second must follow.
    high: Option<u16>,
}

#[derive(Debug, Default)]
enum Escape {
    #[default]
    None,
    /// A backslash.
    Begun,
    /// `\u`, how many digits, and what they say.
    Unicode(u8, u16),
}

const UNPAIRED: &str = "half a surrogate pair";

impl Text {
    /// A string whose opening quote was read.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Takes a byte; tells whether it was the closing quote.
    pub(super) fn push(&mut self, byte: u8) -> Result<bool, &'static str> {
        match self.escape {
            Escape::None => match byte {
                b'\\' => self.escape = Escape::Begun,
                _ if self.high.is_some() => return Err(UNPAIRED),
                b'"' => return Ok(true),
                0..0x20 => return Err("a control character in a string"),
                _ => self.keep(&[byte]),
            },
            Escape::Begun => {
                self.escape = Escape::None;
                let byte = match byte {
                    b'u' => {
                        self.escape = Escape::Unicode(0, 0);
                        return Ok(false);
                    }
                    _ if self.high.is_some() => return Err(UNPAIRED),
                    b'"' | b'\\' | b'/' => byte,
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return Err("unknown escape in a string"),
                };
                self.keep(&[byte]);
            }
            Escape::Unicode(digits, unit) => {
                let digit = char::from(byte).to_digit(16);
                let digit = digit.ok_or("expected four hexadecimal digits")?;
                let unit = unit << 4 | digit as u16;
                if digits < 3 {
                    self.escape = Escape::Unicode(digits + 1, unit);
                } else {
                    self.escape = Escape::None;
                    self.unit(unit)?;
                }
            }
        }
        Ok(false)
    }

    /// Takes a unit of UTF-16.
    fn unit(&mut self, unit: u16) -> Result<(), &'static str> {
        let character = match self.high.take() {
            None if (0xd800..0xdc00).contains(&unit) => {
                self.high = Some(unit);
                return Ok(());
            }
            None => char::from_u32(u32::from(unit)),
            Some(high) => char::decode_utf16([high, unit]).next().and_then(Result::ok),
        };
        let character = character.ok_or(UNPAIRED)?;
        self.keep(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > self.limit {
            self.is_cut = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Whether it is longer than the limit.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// All of it, if it was kept and is text.
    pub(super) fn complete(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.bytes).ok();
        text.filter(|_| !self.is_cut)
    }

    /// The bytes that were kept.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, limit: usize) -> Result<Text, &'static str> {
        let mut string = Text::new(limit);
        let mut bytes = text.bytes();
        for byte in bytes.by_ref() {
            if string.push(byte)? {
                break;
            }
        }
        assert_eq!(bytes.next(), None, "the quote closes");
        Ok(string)
    }

    #[test]
    fn every_escape_is_resolved() {
        let text = r#"\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\uDe00é"#;
        assert_eq!(
            read(text, 99).unwrap().complete(),
            Some("\"\\/\u{8}\u{c}\n\r\tAé€😀é")
        );
    }

    #[test]
    fn half_a_surrogate_pair_is_refused_wherever_the_other_is_missing() {
        for text in [
            r#"\ud83d""#,
            r"\ud83dx",
            r"\ud83d\n",
            r"\ud83d\ud83d",
            r"\ud83d\u0041",
            r"\ude00",
        ] {
            assert_eq!(read(text, 99).err(), Some(UNPAIRED), "{text}");
        }
    }

    #[test]
    fn what_is_no_string_is_refused() {
        for text in ["\n", "\0", "\x1f", r"\x", r"\u00g", r"\u+041", r"\u é"] {
            assert!(read(text, 99).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_limit_counts_what_is_kept() {
        assert_eq!(read(r"\u0061é", 3).unwrap().complete(), Some("aé"));
        let cut = read(r"\u0061é", 2).unwrap();
        assert!(cut.is_cut());
        assert_eq!(cut.complete(), None);
    }
}
