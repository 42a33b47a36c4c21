//! The shard key and its one canonical spelling.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

/// Longest canonical key, in bytes. Yorkie's longest document key is 120
/// characters; client keys are free text.
pub const MAX_KEY_LEN: usize = 2048;

/// What the second half of a shard key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A document: the whole text is its key.
    Document,
    /// A channel: sessions are shared by the first `.`-separated segment, so
    /// only that segment is the key.
    Channel,
    /// A client: free text.
    Client,
}

/// The canonical text that Envoy hashes.
///
/// ```text
/// shard-key  = project "/" resource
///            / 1*pchar "/"            ; a project alone, see `of_project`
/// project    = *pchar                 ; empty: the server's default project
/// resource   = 1*pchar                ; for a channel without "."
/// pchar      = unreserved / "%" 2HEXDIG(upper case)
/// unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~"     ; RFC 3986, 2.3
/// ```
///
/// Any spelling becomes canonical by these steps, in this order:
/// 1. bytes that are not UTF-8 are read as Latin-1 (what browsers send for a
///    header with such characters);
/// 2. the text is split at its *first* `/`;
/// 3. in each half a valid `%XX` is decoded, once;
/// 4. blanks and tabs around each half are dropped (a header cannot carry
///    them, a body can);
/// 5. a channel is cut at its first `.`;
/// 6. every byte outside `unreserved` is percent-encoded.
///
/// Refused: no `/`, an empty resource, a control character, more than
/// [`MAX_KEY_LEN`] bytes. Canonicalisation is idempotent, and on keys made of
/// unreserved characters it changes nothing but the cut of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardKey(String);

/// Why a text is not a shard key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No separator between project and resource.
    #[error("shard key {0:?} has no \"/\": expected project/resource")]
    NoSeparator(String),
    /// Nothing behind the separator, or a channel that starts with `.`.
    #[error("shard key {0:?} names no resource: expected project/resource")]
    EmptyResource(String),
    /// A project alone, and it is empty.
    #[error("the project is empty")]
    EmptyProject,
    /// A control character, raw or percent-encoded.
    #[error("shard key {0:?} has a control character")]
    ControlCharacter(String),
    /// Too long once canonical.
    #[error(
        "shard key of {0} bytes is too long: expected at most {MAX_KEY_LEN} bytes in canonical form"
    )]
    TooLong(usize),
}

impl ShardKey {
    /// Makes the value of an `x-shard-key` header canonical.
    ///
    /// # Errors
    /// The first rule of the grammar that `value` breaks.
    pub fn from_header(value: &[u8], resource: Resource) -> Result<Self, KeyError> {
        // Every byte gives at least one byte of the canonical text or is a blank, and blanks have a bound too.
        if value.len() > 3 * MAX_KEY_LEN {
            return Err(KeyError::TooLong(value.len()));
        }
        let text = decode_text(value);
        let Some((project, rest)) = text.split_once('/') else {
            return Err(KeyError::NoSeparator(text.into_owned()));
        };
        Self::from_halves(project, rest, resource)
    }

    /// Makes a project and the key of a resource, as a request names them,
    /// one canonical key.
    ///
    /// # Errors
    /// The first rule of the grammar that they break.
    pub fn from_halves(project: &str, key: &str, resource: Resource) -> Result<Self, KeyError> {
        let shown = || format!("{project}/{key}");
        // As for a header: what is this long is neither copied nor quoted.
        let length = project.len() + 1 + key.len();
        if length > 3 * MAX_KEY_LEN {
            return Err(KeyError::TooLong(length));
        }
        let project_bytes = percent_decode(project.as_bytes());
        let key_bytes = percent_decode(key.as_bytes());
        let project_bytes = trim_blanks(&project_bytes);
        let mut key_bytes = trim_blanks(&key_bytes);
        if resource == Resource::Channel {
            key_bytes = key_bytes
                .split(|&byte| byte == b'.')
                .next()
                .unwrap_or_default();
            key_bytes = trim_blanks(key_bytes);
        }
        if key_bytes.is_empty() {
            return Err(KeyError::EmptyResource(shown()));
        }
        if project_bytes
            .iter()
            .chain(key_bytes)
            .any(u8::is_ascii_control)
        {
            return Err(KeyError::ControlCharacter(shown()));
        }
        let mut canonical = String::with_capacity(project.len() + 1 + key.len());
        percent_encode(project_bytes, &mut canonical);
        canonical.push('/');
        percent_encode(key_bytes, &mut canonical);
        if canonical.len() > MAX_KEY_LEN {
            return Err(KeyError::TooLong(canonical.len()));
        }
        Ok(Self(canonical))
    }

    /// The key of a request that has a project and nothing else: the project
    /// and the separator, which is the key of no document, channel or client.
    ///
    /// # Errors
    /// When the project is empty or breaks a rule of the grammar.
    pub fn of_project(project: &str) -> Result<Self, KeyError> {
        let project = canonical_project(project.as_bytes())?;
        if project.is_empty() {
            return Err(KeyError::EmptyProject);
        }
        Ok(Self(format!("{project}/")))
    }

    /// Whether `value` is canonical for certain: true for every key that
    /// clients build from valid names. Without allocating, unlike the full
    /// grammar.
    #[must_use]
    pub fn is_plain(value: &[u8], resource: Resource) -> bool {
        let mut halves = value.splitn(2, |&byte| byte == b'/');
        let (Some(project), Some(name)) = (halves.next(), halves.next()) else {
            return false;
        };
        let ends_at_dot = resource == Resource::Channel;
        value.len() <= MAX_KEY_LEN
            && !name.is_empty()
            && project.iter().copied().all(is_unreserved)
            && name
                .iter()
                .all(|&byte| is_unreserved(byte) && !(ends_at_dot && byte == b'.'))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The canonical project, possibly empty.
    #[must_use]
    pub fn project(&self) -> &str {
        self.0.split_once('/').map_or("", |(project, _)| project)
    }
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text of a header or a path: UTF-8 where it is valid, else Latin-1, in
/// which every byte is a character.
#[must_use]
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// A project, as a request names it, spelled as in a canonical key.
///
/// # Errors
/// The rule of the grammar that it breaks.
pub fn canonical_project(value: &[u8]) -> Result<Cow<'_, str>, KeyError> {
    let text = decode_text(value);
    if value.len() < MAX_KEY_LEN && value.iter().copied().all(is_unreserved) {
        return Ok(text);
    }
    // Its key stands for any: only the project is looked at.
    let key = ShardKey::from_halves(&text, "any", Resource::Document)?;
    Ok(Cow::Owned(key.project().to_owned()))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn trim_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Decodes every valid `%XX`, once; what escapes nothing is itself.
#[must_use]
pub fn percent_decode(mut bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match (first, rest) {
            (b'%', [high, low, after @ ..]) => {
                if let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) {
                    decoded.push(high << 4 | low);
                    bytes = after;
                } else {
                    decoded.push(b'%');
                }
            }
            _ => decoded.push(*first),
        }
    }
    decoded
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn percent_encode(bytes: &[u8], into: &mut String) {
    for &byte in bytes {
        if is_unreserved(byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            for nibble in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                into.push(digit.to_ascii_uppercase());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(value: &[u8]) -> String {
        ShardKey::from_header(value, Resource::Document)
            .unwrap()
            .to_string()
    }

    fn channel(value: &[u8]) -> String {
        ShardKey::from_header(value, Resource::Channel)
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_plain_key_stays_as_it_is() {
        assert_eq!(document(b"abc/note-1.draft_~x"), "abc/note-1.draft_~x");
    }

    #[test]
    fn the_first_slash_separates_and_later_ones_are_encoded() {
        assert_eq!(document(b"p/a/b"), "p/a%2Fb");
        assert_eq!(document(b"p/a%2fb"), "p/a%2Fb");
    }

    #[test]
    fn a_missing_project_stays_empty() {
        assert_eq!(document(b"/note"), "/note");
    }

    #[test]
    fn only_channels_are_cut_at_the_first_dot() {
        assert_eq!(channel(b"p/room.lobby.desk"), "p/room");
        assert_eq!(channel(b"p/room%2Elobby"), "p/room");
        assert_eq!(channel(b"p.q/room"), "p.q/room");
        assert_eq!(document(b"p/room.lobby"), "p/room.lobby");
    }

    #[test]
    fn blanks_around_either_half_are_dropped() {
        assert_eq!(document(b" \tp / my note \t"), "p/my%20note");
        assert_eq!(channel(b"p/room .x"), "p/room");
    }

    #[test]
    fn latin_1_and_utf_8_spell_one_key() {
        assert_eq!(document(b"p/caf\xe9"), "p/caf%C3%A9");
        assert_eq!(document("p/café".as_bytes()), "p/caf%C3%A9");
        assert_eq!(document(b"p/caf%C3%a9"), "p/caf%C3%A9");
    }

    #[test]
    fn a_percent_sign_that_escapes_nothing_is_itself() {
        assert_eq!(document(b"p/100%"), "p/100%25");
        assert_eq!(document(b"p/%4"), "p/%254");
        assert_eq!(document(b"p/%zz%41"), "p/%25zzA");
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_reason() {
        let too_long = [b"p/".as_slice(), &[b'a'; MAX_KEY_LEN]].concat();
        let cases: [(&[u8], &str); 8] = [
            (b"", "shard key \"\" has no \"/\""),
            (b"note", "shard key \"note\" has no \"/\""),
            (b"p/", "shard key \"p/\" names no resource"),
            (b"p/ %20", "shard key \"p/ %20\" names no resource"),
            (b"p/a\0", "shard key \"p/a\\0\" has a control character"),
            (b"p%0d/a", "shard key \"p%0d/a\" has a control character"),
            (&too_long, "shard key of 2050 bytes is too long"),
            (&[b' '; 9000], "shard key of 9000 bytes is too long"),
        ];
        for (value, message) in cases {
            let error = ShardKey::from_header(value, Resource::Document)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let error = ShardKey::from_header(b"p/.x", Resource::Channel).unwrap_err();
        assert_eq!(error, KeyError::EmptyResource("p/.x".to_owned()));
    }

    #[test]
    fn a_project_alone_is_the_key_of_nothing_else() {
        let key = |project| ShardKey::of_project(project).map(|key| key.to_string());
        assert_eq!(key("abc").unwrap(), "abc/");
        assert_eq!(key(" a/b ").unwrap(), "a%2Fb/");
        assert_eq!(key(" "), Err(KeyError::EmptyProject));
        assert!(ShardKey::from_header(b"abc/", Resource::Document).is_err());
    }

    #[test]
    fn a_project_is_spelled_as_in_a_key() {
        let project = |value| canonical_project(value).map(Cow::into_owned);
        assert_eq!(project(b"abc").unwrap(), "abc");
        assert_eq!(project(b"caf\xe9").unwrap(), "caf%C3%A9");
        assert!(project(b"a\0").is_err());
    }

    fn resources() -> impl Strategy<Value = Resource> {
        prop_oneof![
            Just(Resource::Document),
            Just(Resource::Channel),
            Just(Resource::Client)
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_become_canonical_once_and_for_all(
            value in proptest::collection::vec(any::<u8>(), 0..80),
            resource in resources(),
        ) {
            if let Ok(key) = ShardKey::from_header(&value, resource) {
                prop_assert!(key.as_str().bytes().all(|b| b.is_ascii_graphic()));
                let again = ShardKey::from_header(key.as_str().as_bytes(), resource);
                prop_assert_eq!(again.as_ref(), Ok(&key));
            }
        }

        #[test]
        fn plain_keys_are_canonical(
            value in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                r"[a-z%./ ~25F]{0,20}".prop_map(String::into_bytes),
                r"[a-zA-Z0-9]{0,22}/[a-zA-Z0-9\-._~]{0,120}".prop_map(String::into_bytes),
            ],
            resource in resources(),
        ) {
            if ShardKey::is_plain(&value, resource) {
                let key = ShardKey::from_header(&value, resource).unwrap();
                prop_assert_eq!(key.as_str().as_bytes(), value.as_slice());
            }
        }

        #[test]
        fn valid_document_keys_stay_apart(
            project in "[a-zA-Z0-9]{22}",
            a in r"[a-zA-Z0-9\-._~]{4,120}",
            b in r"[a-zA-Z0-9\-._~]{4,120}",
        ) {
            let key = |name: &str| document(format!("{project}/{name}").as_bytes());
            prop_assert_eq!(key(&a) == key(&b), a == b);
            prop_assert_eq!(key(&a), format!("{project}/{a}"));
        }

        #[test]
        fn header_and_body_spell_one_key(text in r"[^/\x00-\x1f\x7f%]{1,40}") {
            let body = ShardKey::from_halves("p", &text, Resource::Client);
            let header = ShardKey::from_header(format!("p/{text}").as_bytes(), Resource::Client);
            prop_assert_eq!(body, header);
        }
    }
}
