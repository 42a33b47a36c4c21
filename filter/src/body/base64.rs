//! Base64 as it comes: standard alphabet, padded, and since `grpc-web-text`
//! may encode each of its writes alone, padding in the middle too.

use super::error::{BodyError, Layer};

/// Decodes one character at a time.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    at: u64,
    /// Bits of the group of four characters that has begun.
    bits: u32,
    characters: u8,
    padding: u8,
}

/// What a group of four characters stands for: one to three bytes.
#[derive(Debug)]
pub(super) struct Group {
    bytes: [u8; 4],
    padding: u8,
}

impl Group {
    pub(super) fn bytes(&self) -> &[u8] {
        let end = 4 - usize::from(self.padding);
        self.bytes.get(1..end).unwrap_or_default()
    }
}

impl Base64 {
    /// Takes a character; gives a group when it is complete.
    pub(super) fn push(&mut self, character: u8) -> Result<Option<Group>, BodyError> {
        let problem = |problem| Layer::Base64.malformed(self.at, problem);
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if self.characters >= 2 => 0,
            b'=' => return Err(problem("misplaced padding")),
            _ => return Err(problem("not a character of base64")),
        };
        if character == b'=' {
            self.padding += 1;
        } else if self.padding > 0 {
            return Err(problem("misplaced padding"));
        }
        self.bits = self.bits << 6 | u32::from(value);
        self.characters += 1;
        if self.characters < 4 {
            self.at += 1;
            return Ok(None);
        }
        let unused = (1 << (8 * self.padding)) - 1;
        if self.bits & unused != 0 {
            return Err(problem("bits behind the end"));
        }
        let group = Group {
            bytes: self.bits.to_be_bytes(),
            padding: self.padding,
        };
        *self = Self {
            at: self.at + 1,
            ..Self::default()
        };
        Ok(Some(group))
    }

    /// Fails within a group.
    pub(super) fn end(&self) -> Result<(), BodyError> {
        if self.characters == 0 {
            Ok(())
        } else {
            Err(Layer::Base64.ended(self.at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Vec<u8>, BodyError> {
        let mut decoder = Base64::default();
        let mut bytes = Vec::new();
        for character in text.bytes() {
            if let Some(group) = decoder.push(character)? {
                bytes.extend(group.bytes());
            }
        }
        decoder.end().map(|()| bytes)
    }

    #[test]
    fn the_vectors_of_rfc_4648_decode() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decode(text).unwrap(), bytes.as_bytes(), "{text}");
        }
        assert_eq!(decode("+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
    }

    #[test]
    fn padding_in_the_middle_ends_one_write_of_the_client() {
        assert_eq!(decode("Zg==Zm8=Zm9v").unwrap(), b"ffofoo");
    }

    #[test]
    fn what_is_not_base64_is_refused_where_it_stands() {
        for (text, at, problem) in [
            ("=", 0, "misplaced padding"),
            ("Zm9vZ=", 5, "misplaced padding"),
            ("Zg=v", 3, "misplaced padding"),
            ("Zm9vZg===", 8, "misplaced padding"),
            ("Zm9v-", 4, "not a character of base64"),
            ("Zm\n", 2, "not a character of base64"),
            ("Zh==", 3, "bits behind the end"),
            ("Zm9=", 3, "bits behind the end"),
        ] {
            let error = Layer::Base64.malformed(at, problem);
            assert_eq!(decode(text), Err(error), "{text}");
        }
        assert_eq!(decode("Zm9vZ"), Err(Layer::Base64.ended(5)));
    }
}
