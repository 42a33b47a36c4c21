//! Files that a connection needs, read anew for each.

use std::fs;
use std::path::Path;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::session::SessionError;
use crate::config::EtcdTls;

/// How a server is known, and who this is.
pub(super) fn tls(files: &EtcdTls) -> Result<ClientTlsConfig, SessionError> {
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&files.ca)?));
    if let (Some(certificate), Some(key)) = (&files.certificate, &files.key) {
        config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(config)
}

/// What is in such a file now.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SessionError> {
    fs::read(path).map_err(|reason| SessionError::File {
        path: path.to_owned(),
        reason,
    })
}
