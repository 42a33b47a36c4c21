//! Request headers as the host hands them over, read in place.

use sharding::{API_KEY, SHARD_KEY, SHARD_OWNER};

use crate::host::HostError;

/// The headers that matter to the filter, found in one pass without copying.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // each is a header of its own
pub struct RequestHeaders<'a> {
    /// `:method`
    pub method: &'a [u8],
    /// `:path`, with its query.
    pub path: &'a [u8],
    /// `content-type`
    pub content_type: &'a [u8],
    /// Every `x-shard-key`, in order.
    pub shard_keys: Values<'a>,
    /// Every `x-api-key`, in order.
    pub api_keys: Values<'a>,
    /// Whether there is an inbound `x-shard-owner`.
    pub has_owner: bool,
    /// Whether there is a `connect-protocol-version`.
    pub has_connect_version: bool,
    /// Whether there is an `access-control-request-method`: with `OPTIONS`, a
    /// CORS preflight.
    pub has_cors_method: bool,
    /// Whether it asks for another protocol (`upgrade`, or `:protocol` of an
    /// extended CONNECT): what follows stays open.
    pub is_upgrade: bool,
    /// All of them, for those that few requests are asked for.
    pub(crate) all: &'a [u8],
}

/// Every value of one header. One value takes no memory.
#[derive(Debug, Default)]
pub struct Values<'a> {
    first: Option<&'a [u8]>,
    more: Vec<&'a [u8]>,
}

impl<'a> Values<'a> {
    fn push(&mut self, value: &'a [u8]) {
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.more.push(value);
        }
    }

    /// How many there are, empty ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    /// Whether there is none, not even an empty one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The first, without blanks around it; empty when there is none.
    #[must_use]
    pub fn first_trimmed(&self) -> &'a [u8] {
        self.first.unwrap_or_default().trim_ascii()
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = &'a [u8]> {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    /// Those that are more than blanks.
    pub fn filled(&self) -> impl Iterator<Item = &'a [u8]> {
        self.all()
            .filter(|value| value.iter().any(|byte| !matches!(byte, b' ' | b'\t')))
    }
}

impl<'a> RequestHeaders<'a> {
    /// Reads the layout of the ABI: a count, a pair of lengths for each header,
    /// then names and values, each followed by a zero byte; numbers are 32-bit
    /// little endian.
    ///
    /// # Errors
    /// [`HostError::Unreadable`] for any other layout.
    pub fn read(bytes: &'a [u8]) -> Result<Self, HostError> {
        let mut headers = Self {
            all: bytes,
            ..Self::default()
        };
        Pairs::new(bytes)
            .and_then(|mut pairs| pairs.read_all(|name, value| headers.note(name, value)))
            .ok_or(HostError::Unreadable)?;
        Ok(headers)
    }

    /// Every value of the header of that name.
    #[must_use]
    pub fn values(&self, name: &str) -> Values<'a> {
        values(self.all, name)
    }

    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        // Envoy hands names over in lower case.
        match name {
            b":method" => self.method = value,
            b":path" => self.path = value,
            b"content-type" => self.content_type = value,
            b"connect-protocol-version" => self.has_connect_version = true,
            b"access-control-request-method" => self.has_cors_method = true,
            b"upgrade" | b":protocol" => self.is_upgrade = true,
            name if name == SHARD_KEY.as_bytes() => self.shard_keys.push(value),
            name if name == API_KEY.as_bytes() => self.api_keys.push(value),
            name if name == SHARD_OWNER.as_bytes() => self.has_owner = true,
            _ => {}
        }
    }
}

/// Every value of one header in the layout that [`RequestHeaders::read`] reads;
/// none where the layout breaks.
#[must_use]
pub fn values<'a>(bytes: &'a [u8], name: &str) -> Values<'a> {
    let mut values = Values::default();
    if let Some(mut pairs) = Pairs::new(bytes) {
        let _none_after_a_break = pairs.read_all(|other, value| {
            if other.eq_ignore_ascii_case(name.as_bytes()) {
                values.push(value);
            }
        });
    }
    values
}

struct Pairs<'a> {
    lengths: &'a [u8],
    texts: &'a [u8],
}

impl<'a> Pairs<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (lengths, texts) = rest.split_at_checked(count.checked_mul(8)?)?;
        Some(Self { lengths, texts })
    }

    /// `None` where the layout breaks.
    fn read_all(&mut self, mut note: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
        while !self.lengths.is_empty() {
            let name = self.length()?;
            let value = self.length()?;
            note(self.text(name)?, self.text(value)?);
        }
        self.texts.is_empty().then_some(())
    }

    fn length(&mut self) -> Option<usize> {
        let (length, rest) = self.lengths.split_first_chunk()?;
        self.lengths = rest;
        usize::try_from(u32::from_le_bytes(*length)).ok()
    }

    fn text(&mut self, length: usize) -> Option<&'a [u8]> {
        let (text, rest) = self.texts.split_at_checked(length)?;
        self.texts = rest.strip_prefix(b"\0")?;
        Some(text)
    }
}

/// Writes headers in the layout that [`RequestHeaders::read`] reads.
#[must_use]
pub fn serialize<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<u8> {
    // No header that we write is near 4 GiB.
    let number = |n: usize| (n as u32).to_le_bytes();
    let mut bytes = number(pairs.clone().count()).to_vec();
    for (name, value) in pairs.clone() {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for text in pairs.flat_map(|(name, value)| [name, value]) {
        bytes.extend(text);
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(pairs: &[(&str, &[u8])]) -> Vec<u8> {
        serialize(pairs.iter().map(|(name, value)| (name.as_bytes(), *value)))
    }

    #[test]
    fn what_matters_is_found_wherever_it_stands() {
        let bytes = bytes(&[
            (":path", b"/a?b"),
            ("x-shard-key", b""),
            ("other", b"x"),
            ("x-shard-key", b"p/d"),
            ("x-api-key", b"\xff"),
            ("x-shard-owner", b"spoofed"),
            (":method", b"POST"),
            ("content-type", b"application/json"),
        ]);
        let headers = RequestHeaders::read(&bytes).unwrap();
        assert_eq!(headers.path, b"/a?b");
        assert_eq!(headers.method, b"POST");
        assert_eq!(headers.content_type, b"application/json");
        assert_eq!(headers.shard_keys.len(), 2);
        assert!(headers.shard_keys.filled().eq([b"p/d"]));
        assert!(headers.api_keys.filled().eq([b"\xff"]));
        assert!(headers.has_owner);
        assert!(headers.values("Other").filled().eq([b"x"]));
        assert!(headers.values("none").is_empty());
        assert!(!headers.has_connect_version && !headers.is_upgrade);
    }

    #[test]
    fn an_upgrade_shows_over_either_protocol() {
        for name in ["upgrade", ":protocol"] {
            let bytes = bytes(&[(name, b"websocket")]);
            assert!(RequestHeaders::read(&bytes).unwrap().is_upgrade, "{name}");
        }
    }

    #[test]
    fn blanks_are_no_value() {
        let bytes = bytes(&[("x-api-key", b" \t"), ("x-api-key", b"")]);
        let headers = RequestHeaders::read(&bytes).unwrap();
        assert_eq!(headers.api_keys.len(), 2);
        assert_eq!(headers.api_keys.filled().count(), 0);
    }

    #[test]
    fn another_layout_is_an_error() {
        let good = bytes(&[("a", b"b")]);
        for length in 0..good.len() {
            assert!(RequestHeaders::read(&good[..length]).is_err(), "{length}");
        }
        assert!(RequestHeaders::read(&[good.as_slice(), b"\0"].concat()).is_err());
        assert!(RequestHeaders::read(&[0xff; 64]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RequestHeaders::read(&bytes);
        }

        #[test]
        fn lying_lengths_do_not_panic(count in 0_u32..5, rest in proptest::collection::vec(0_u8..9, 0..99)) {
            let bytes = [count.to_le_bytes().as_slice(), &rest].concat();
            let _ = RequestHeaders::read(&bytes);
        }
    }
}
