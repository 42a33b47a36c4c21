//! Certificates made for tests.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};

/// Link to the folder with the files that count.
const CURRENT: &str = "current";

/// Whose certificates are trusted.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// One of that name. Envoy tells authorities apart by it, and so it must be
    /// no other's.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = called(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// Its own certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate with these names: addresses, URIs or DNS names.
    pub fn issue(&self, names: &[&str]) -> Result<Issued> {
        let mut params = called("issued");
        for &name in names {
            params.subject_alt_names.push(if name.contains("://") {
                SanType::URI(name.try_into()?)
            } else if let Ok(address) = name.parse::<IpAddr>() {
                SanType::IpAddress(address)
            } else {
                SanType::DnsName(name.try_into()?)
            });
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn called(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Issued {
    /// Puts it into `certificate.pem` and `key.pem` of that folder, and the
    /// certificates of the authorities that its bearer trusts into `ca.pem`: all
    /// at once, as Kubernetes renews secrets.
    pub fn write(&self, folder: &Path, trusted: &[&Authority]) -> Result<()> {
        fs::create_dir_all(folder)?;
        let version = tempfile::Builder::new().tempdir_in(folder)?.keep();
        let trusted: String = trusted.iter().map(|authority| authority.pem()).collect();
        for (name, content) in [
            ("ca.pem", &trusted),
            ("certificate.pem", &self.certificate),
            ("key.pem", &self.key),
        ] {
            fs::write(version.join(name), content)?;
            let link = folder.join(name);
            if !link.exists() {
                symlink(Path::new(CURRENT).join(name), link)?;
            }
        }
        let new = folder.join("new");
        symlink(version.file_name().context("no name")?, &new)?;
        Ok(fs::rename(new, folder.join(CURRENT))?)
    }
}
