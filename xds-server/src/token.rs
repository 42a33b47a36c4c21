//! The token of those who may change something through the admin interface.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;
use thiserror::Error;

/// A shorter one could be found by trying. `openssl rand -base64 24` has 32.
const LEAST_LENGTH: usize = 16;

/// A token. It shows itself to nobody but the server that it is for.
#[derive(Clone)]
pub(crate) struct Token(String);

/// Why a file has no token that can be used.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    /// It cannot be read.
    #[error("{path}: cannot be read: {reason}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// It holds something else.
    #[error("{path}: is no token: expected at least {LEAST_LENGTH} visible ASCII characters", path = .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// The token in a file, without the blanks around it.
    ///
    /// # Errors
    /// When the file cannot be read or holds no token.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenError> {
        let text = fs::read_to_string(path).map_err(|reason| TokenError::Read {
            path: path.to_owned(),
            reason,
        })?;
        let token = text.trim();
        if token.len() < LEAST_LENGTH || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Unusable {
                path: path.to_owned(),
            });
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether somebody shows just this one. How long that takes tells nothing
    /// but whether the length is right.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }

    /// The token itself, to be sent.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Token, TokenError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Token::read(file.path())
    }

    #[test]
    fn a_token_is_itself_and_no_part_of_itself() {
        let token = read("0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in [
            "",
            "0123456789abcde",
            "0123456789abcdef0",
            "0123456789abcdeg",
        ] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_file_without_a_usable_token_is_an_error_that_does_not_show_it() {
        for text in [
            "",
            "\n",
            "too-short",
            "sixteen and more but with blanks",
            "ünsichtbar-0123456789",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.ends_with("expected at least 16 visible ASCII characters"),
                "{error}"
            );
            assert!(
                text.trim().is_empty() || !error.contains(text.trim()),
                "{error}"
            );
        }
        let error = Token::read(Path::new("/nowhere/token")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("/nowhere/token: cannot be read"),
            "{error}"
        );
    }
}
