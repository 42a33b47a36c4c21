//! The files, and what rustls makes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::rustls;

use super::expiry::not_after;
use crate::config::XdsTls;

const CERTIFICATE: &str = "xds.tls.certificate";
const KEY: &str = "xds.tls.key";
const CLIENT_CA: &str = "xds.tls.client_ca";

/// What gRPC speaks.
const ALPN: &[u8] = b"h2";

/// Why files cannot be used. Tells their paths and nothing of what is in them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting} {path}: cannot be read: {reason}", path = .path.display())]
    Read {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A file is not PEM, or does not have what is looked for.
    #[error("{setting} {path}: has no usable {expected} in PEM", path = .path.display())]
    Pem {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should have.
        expected: &'static str,
    },
    /// Certificate and key cannot be used, or not together.
    #[error("{CERTIFICATE} {certificate} with {KEY} {key}: {reason}", certificate = .certificate.display(), key = .key.display())]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What rustls does not like.
        reason: rustls::Error,
    },
    /// An authority cannot be used.
    #[error("{CLIENT_CA} {path}: {reason}", path = .path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What rustls does not like.
        reason: String,
    },
}

/// The content of the files. It has secrets and so is never shown.
#[derive(PartialEq, Eq)]
pub(super) struct Material {
    certificate: File,
    key: File,
    client_ca: Option<File>,
}

#[derive(PartialEq, Eq)]
struct File {
    setting: &'static str,
    path: PathBuf,
    content: Vec<u8>,
}

/// The files that are read.
pub(super) fn paths(settings: &XdsTls) -> impl Iterator<Item = &Path> {
    let required = [&settings.certificate, &settings.key];
    required
        .into_iter()
        .chain(&settings.client_ca)
        .map(PathBuf::as_path)
}

impl Material {
    pub(super) fn read(settings: &XdsTls) -> Result<Self, TlsError> {
        let client_ca = settings.client_ca.as_deref();
        Ok(Self {
            certificate: File::read(CERTIFICATE, &settings.certificate)?,
            key: File::read(KEY, &settings.key)?,
            client_ca: client_ca
                .map(|path| File::read(CLIENT_CA, path))
                .transpose()?,
        })
    }

    pub(super) fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|reason| self.pair(reason))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let refused = |reason: String| TlsError::Authority {
                    path: file.path.clone(),
                    reason,
                };
                let mut authorities = RootCertStore::empty();
                for authority in file.certificates()? {
                    let added = authorities.add(authority);
                    added.map_err(|reason| refused(reason.to_string()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(authorities.into(), provider)
                        .build()
                        .map_err(|reason: VerifierBuilderError| refused(reason.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(self.certificate.certificates()?, self.key.private_key()?)
            .map_err(|reason| self.pair(reason))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// When the first certificate of the chain expires, in seconds of unix time.
    pub(super) fn not_after(&self) -> Option<i64> {
        let chain = self.certificate.certificates().ok()?;
        let dates = chain.iter().map(|certificate| not_after(certificate));
        dates.min().flatten()
    }

    fn pair(&self, reason: rustls::Error) -> TlsError {
        TlsError::Pair {
            certificate: self.certificate.path.clone(),
            key: self.key.path.clone(),
            reason,
        }
    }
}

impl File {
    fn read(setting: &'static str, path: &Path) -> Result<Self, TlsError> {
        let content = fs::metadata(path).and_then(|file| {
            // Reading a pipe could wait for ever.
            if file.is_file() {
                fs::read(path)
            } else {
                Err(io::Error::other("not a regular file"))
            }
        });
        let content = content.map_err(|reason| TlsError::Read {
            setting,
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self {
            setting,
            path: path.to_owned(),
            content,
        })
    }

    /// At least one.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.content).collect();
        let found = found.ok().filter(|found| !found.is_empty());
        found.ok_or_else(|| self.pem("certificate"))
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.content).map_err(|_| self.pem("private key"))
    }

    fn pem(&self, expected: &'static str) -> TlsError {
        TlsError::Pem {
            setting: self.setting,
            path: self.path.clone(),
            expected,
        }
    }
}
