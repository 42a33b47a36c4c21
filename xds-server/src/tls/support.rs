//! Certificates made for tests.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::rustls;

use crate::config::{OnProxy, XdsTls};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key, PEM, with these names.
pub(crate) fn issue(authority: &Authority, names: &[SanType]) -> [String; 2] {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    issue_as(authority, &params)
}

/// The same, as these say.
pub(crate) fn issue_as(authority: &Authority, params: &CertificateParams) -> [String; 2] {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    [certificate.pem(), key.serialize_pem()]
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

pub(crate) fn write(folder: &Path, [certificate, key]: &[String; 2]) {
    fs::write(folder.join("key.pem"), key).unwrap();
    fs::write(folder.join("certificate.pem"), certificate).unwrap();
}

/// Files of a server that has that authority, and what names them.
pub(crate) fn files(folder: &Path, authority: &Authority) -> XdsTls {
    write(folder, &issue(authority, &[dns("xds")]));
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    XdsTls {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
        client_ca: Some(folder.join("ca.pem")),
        identity: Vec::new(),
        on_proxy: OnProxy::default(),
    }
}

pub(crate) fn client(authority: &Authority, shown: Option<&[String; 2]>) -> ClientConfig {
    let mut authorities = RootCertStore::empty();
    authorities.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some([certificate, key]) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
