//! Members in etcd.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tonic::transport::Uri;

use super::Problem;

/// Members whose keys are in etcd, version 3.4 or later: a key for each, with a
/// value in JSON as an entry of a members file has it. Whoever registers a
/// member attaches its key to a lease, so that it leaves when nobody keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Etcd {
    /// Its servers, each `http://HOST:PORT`, or each `https://HOST:PORT`. The
    /// next is taken when one fails.
    pub endpoints: Vec<String>,
    /// What the keys of members begin with.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// How servers with `https` are known, and how they know the control plane.
    /// Its files are read for each connection.
    #[serde(default)]
    pub tls: Option<EtcdTls>,
    /// Who the control plane is there, if etcd wants to know: it has to read
    /// what has the prefix.
    #[serde(default)]
    pub user: Option<String>,
    /// File with the password of that user, read for each connection.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// Files for TLS, PEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdTls {
    /// Certificates of those who vouch for the servers.
    pub ca: PathBuf,
    /// The control plane's own certificate with its chain, where servers ask for
    /// one.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// Private key of that certificate.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

fn prefix() -> String {
    "/yorkies/members/".to_owned()
}

impl Etcd {
    /// The files that it names, by their settings.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let tls = self.tls.as_ref();
        let certificate = tls.and_then(|tls| tls.certificate.as_ref());
        let key = tls.and_then(|tls| tls.key.as_ref());
        [
            ("registry.etcd.tls.ca", tls.map(|tls| &tls.ca)),
            ("registry.etcd.tls.certificate", certificate),
            ("registry.etcd.tls.key", key),
            ("registry.etcd.password_file", self.password_file.as_ref()),
        ]
        .into_iter()
        .filter_map(|(setting, path)| Some((setting, path?)))
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let of_tls = self.tls.iter_mut().flat_map(|tls| {
            let EtcdTls {
                ca,
                certificate,
                key,
            } = tls;
            [ca].into_iter().chain(certificate).chain(key)
        });
        of_tls.chain(&mut self.password_file)
    }
}

pub(super) fn check(etcd: &Etcd) -> Result<(), Problem> {
    let Etcd {
        endpoints,
        prefix,
        tls,
        user,
        password_file,
    } = etcd;
    if endpoints.is_empty() {
        let reason = "is empty: expected at least one http://HOST:PORT or https://HOST:PORT";
        return Err(("registry.etcd.endpoints", reason.to_owned()));
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    for endpoint in endpoints {
        if !is_server(endpoint, scheme) {
            let with = if tls.is_some() { "with" } else { "without" };
            return Err((
                "registry.etcd.endpoints",
                format!("{endpoint:?} is not usable: expected {scheme}://HOST:PORT, {with} tls"),
            ));
        }
    }
    if prefix.is_empty() {
        let reason = "\"\" is not usable: expected what the keys of members begin with";
        return Err(("registry.etcd.prefix", reason.to_owned()));
    }
    if user.is_some() != password_file.is_some() {
        let reason = "expected with password_file, and only with it";
        return Err(("registry.etcd.user", reason.to_owned()));
    }
    let is_half = |tls: &EtcdTls| tls.certificate.is_some() != tls.key.is_some();
    if tls.as_ref().is_some_and(is_half) {
        let reason = "expected with key, and only with it";
        return Err(("registry.etcd.tls.certificate", reason.to_owned()));
    }
    Ok(())
}

fn is_server(endpoint: &str, scheme: &str) -> bool {
    let Ok(uri) = endpoint.parse::<Uri>() else {
        return false;
    };
    // A password in it would be logged with the configuration.
    let has_user = uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !has_user;
    uri.scheme_str() == Some(scheme) && uri.port_u16().is_some_and(|port| port != 0) && is_bare
}
