//! Compressed requests; answers are never compressed.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;

use super::error::{Code, RpcError};

/// How a request's messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Identity,
    /// With gzip.
    Gzip,
}

impl Compression {
    /// Reads an encoding header.
    ///
    /// # Errors
    /// `unimplemented` for anything but `gzip` and `identity`.
    pub fn from_header(value: Option<&str>) -> Result<Self, RpcError> {
        match value {
            None | Some("" | "identity") => Ok(Self::Identity),
            Some("gzip") => Ok(Self::Gzip),
            Some(other) => Err(RpcError::new(
                Code::Unimplemented,
                format!("unknown compression \"{other}\": supported encodings are gzip"),
            )),
        }
    }

    /// Undoes the compression.
    ///
    /// # Errors
    /// `invalid_argument` for damaged data, `resource_exhausted` when the
    /// message grows over `limit`.
    pub fn decompress(self, data: Bytes, limit: usize) -> Result<Bytes, RpcError> {
        if self == Self::Identity || data.is_empty() {
            return Ok(data);
        }
        let mut plain = Vec::new();
        GzDecoder::new(data.as_ref())
            .take(limit as u64 + 1)
            .read_to_end(&mut plain)
            .map_err(|error| {
                RpcError::new(
                    Code::InvalidArgument,
                    format!("decompress message: {error}"),
                )
            })?;
        if plain.len() > limit {
            return Err(RpcError::new(
                Code::ResourceExhausted,
                format!("message is larger than configured max {limit}"),
            ));
        }
        Ok(plain.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).expect("in memory");
        encoder.finish().expect("in memory").into()
    }

    #[test]
    fn gzip_is_undone_within_the_limit() {
        let plain = Compression::Gzip
            .decompress(gzip(b"hello"), 5)
            .expect("valid");
        assert_eq!(plain, "hello");
        let error = Compression::Gzip
            .decompress(gzip(&[0; 4096]), 100)
            .expect_err("a bomb");
        assert_eq!(error.code, Code::ResourceExhausted);
    }

    #[test]
    fn damaged_and_unknown_data_is_refused() {
        let error = Compression::Gzip
            .decompress(Bytes::from_static(b"no"), 9)
            .expect_err("");
        assert_eq!(error.code, Code::InvalidArgument);
        let error = Compression::from_header(Some("br")).expect_err("");
        assert_eq!(error.code, Code::Unimplemented);
    }
}
