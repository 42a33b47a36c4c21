//! A control plane that wants to see certificates.

use std::path::PathBuf;

use anyhow::Result;
use yorkies_tests::{Authority, Settings, TestEnvironment};

/// What proxies are called in their certificates.
pub(crate) fn name_of(node: &str) -> String {
    format!("spiffe://yorkies/{node}")
}

/// Folders with certificates: `server`, and one of each node.
pub(crate) struct Scene {
    folder: PathBuf,
    pub(crate) authority: Authority,
}

impl Scene {
    /// One with a certificate of the server, and of nodes of these names.
    pub(crate) fn new(env: &TestEnvironment, nodes: &[&str]) -> Result<Self> {
        let this = Self {
            folder: env.folder().join("certificates"),
            authority: Authority::new("of everybody")?,
        };
        let server = this.authority.issue(&["127.0.0.1"])?;
        server.write(&this.of("server"), &[&this.authority])?;
        for node in nodes {
            let issued = this.authority.issue(&[&name_of(node)])?;
            issued.write(&this.of(node), &[&this.authority])?;
        }
        Ok(this)
    }

    /// The folder of somebody's certificate.
    pub(crate) fn of(&self, who: &str) -> PathBuf {
        self.folder.join(who)
    }

    /// Mutual TLS, with nodes known by their certificates.
    pub(crate) fn settings(&self) -> Settings {
        let server = self.of("server").display().to_string();
        let node = self.of("{node}").display().to_string();
        let identity = name_of("{node}");
        let flags = [
            ("--tls-ca", "/ca.pem"),
            ("--tls-certificate", "/certificate.pem"),
            ("--tls-key", "/key.pem"),
            ("--sds", ""),
        ];
        Settings {
            xds: format!(
                "tls: {{ certificate: \"{server}/certificate.pem\", key: \"{server}/key.pem\", \
                 client_ca: \"{server}/ca.pem\", identity: [\"{identity}\"] }}"
            ),
            bootstrap: flags
                .iter()
                .flat_map(|(flag, file)| [(*flag).to_owned(), format!("{node}{file}")])
                .collect(),
            ..Settings::default()
        }
    }
}
