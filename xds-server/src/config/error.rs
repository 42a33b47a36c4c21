//! Why a configuration is refused.

use std::path::PathBuf;

use thiserror::Error;

/// Why a configuration is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {reason}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// Not YAML, or a field that breaks its rule; the message has line and
    /// column.
    #[error("{path}: {message}", path = .path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// Well-formed, but not usable.
    #[error("{path}: {setting}: {reason}", path = .path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// Dotted path of the setting.
        setting: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
}
