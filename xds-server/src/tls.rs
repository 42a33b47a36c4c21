//! TLS of the xDS port: what proxies are shown, and who of them is let in.
//!
//! The files may be replaced while they are in use. New connections get what
//! was last good of them; open ones go on with what they have. Sessions are not
//! resumed, so every connection shows its certificate to the authorities of its
//! own time.

use std::sync::Arc;

use rustls::ServerConfig;
use thiserror::Error;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, rustls};

use crate::config::XdsTls;
use crate::files::LookAgain;
use crate::identity::{IdentityPattern, Names};

mod expiry;
mod follow;
mod material;
mod metrics;

use material::Material;
pub use material::TlsError;
pub use metrics::Metrics;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls {
    newest: watch::Receiver<Arc<ServerConfig>>,
    identity: Arc<[IdentityPattern]>,
}

/// A certificate of a client that does not say who it is.
#[derive(Debug, Error)]
#[error("names of the certificate cannot be read: {0}")]
pub struct Nameless(webpki::Error);

impl Tls {
    /// Reads the files, and follows them from then on. Needs a runtime.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn start(
        settings: &XdsTls,
        look_again: &LookAgain,
        metrics: Metrics,
    ) -> Result<Self, TlsError> {
        // Before the first look, so that no change is missed.
        let touches = look_again.follow(material::paths(settings));
        let material = Material::read(settings)?;
        metrics.expires(material.not_after());
        let (sender, newest) = watch::channel(Arc::new(material.server_config()?));
        let identity = settings.identity.clone().into();
        tokio::spawn(follow::follow(
            settings.clone(),
            material,
            touches,
            sender,
            metrics,
        ));
        Ok(Self { newest, identity })
    }

    /// Says whether the files can be used.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(settings: &XdsTls) -> Result<(), TlsError> {
        Material::read(settings)?.server_config().map(drop)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.newest.borrow()))
    }

    /// What decides who may be which node; empty if anybody may be any.
    pub(crate) fn identity(&self) -> &Arc<[IdentityPattern]> {
        &self.identity
    }
}

/// What the certificate that the other end has shown says that it is.
pub(crate) fn names(connection: &rustls::ServerConnection) -> Result<Names, Nameless> {
    let chain = connection.peer_certificates().unwrap_or_default();
    let Some(certificate) = chain.first() else {
        return Ok(Names::default());
    };
    let certificate = webpki::EndEntityCert::try_from(certificate).map_err(Nameless)?;
    Ok(Names {
        uris: certificate.valid_uri_names().map(str::to_owned).collect(),
        dns: certificate.valid_dns_names().map(str::to_owned).collect(),
    })
}

#[cfg(test)]
pub(crate) mod support;
#[cfg(test)]
mod tests;
