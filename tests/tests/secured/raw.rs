//! Clients that are no proxies.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, DEFAULT_VERSIONS, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};
use yorkies_tests::{Authority, Issued};

/// The preface of HTTP/2 and empty settings (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A client that shows that certificate.
pub(crate) fn shown(
    authority: &Authority,
    certificate: Option<&Issued>,
    versions: Option<&[&'static SupportedProtocolVersion]>,
) -> Result<ClientConfig> {
    let mut authorities = RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions.unwrap_or(DEFAULT_VERSIONS))?
        .with_root_certificates(authorities);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(Issued { certificate, key }) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
            builder.with_client_auth_cert(vec![certificate], key)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Which TLS the server speaks with it, if it goes on to HTTP/2: under 1.3 a
/// client learns only then that it is refused.
pub(crate) async fn connects(
    address: SocketAddr,
    client: ClientConfig,
) -> Result<Option<ProtocolVersion>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::from(address.ip());
    let mut stream = TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await?;
    stream.write_all(PREFACE).await?;
    stream.read_u8().await.context("closed")?;
    let (_, connection) = stream.get_ref();
    Ok(connection.protocol_version())
}
