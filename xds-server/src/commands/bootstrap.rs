//! Prints a bootstrap for a proxy.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::bootstrap::{Bootstrap, ClientTls, HostPort, Mode};
use crate::config::{Config, OnProxy, XdsTls};

/// What a bootstrap is made for.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// Variant of the xDS protocol.
    #[arg(
        long,
        env = "YORKIES_BOOTSTRAP_MODE",
        value_enum,
        default_value = "delta"
    )]
    mode: Mode,
    /// Node id of the proxy, for logs, and for its certificate if there is one.
    #[arg(long, env = "YORKIES_BOOTSTRAP_NODE", default_value = "envoy")]
    node: String,
    /// Where the proxy finds the control plane; default: `xds.advertise`, else `xds.listen`.
    #[arg(long, env = "YORKIES_BOOTSTRAP_XDS", value_name = "HOST:PORT")]
    xds: Option<HostPort>,
    /// Where Envoy's admin interface listens.
    #[arg(
        long,
        env = "YORKIES_BOOTSTRAP_ADMIN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9901"
    )]
    admin: HostPort,
    /// Authorities of the control plane's certificate, on the proxy; default: `xds.tls.on_proxy.ca`.
    #[arg(long, env = "YORKIES_BOOTSTRAP_TLS_CA", value_name = "FILE")]
    tls_ca: Option<String>,
    /// Certificate of the proxy, there; default: `xds.tls.on_proxy.certificate`.
    #[arg(
        long,
        env = "YORKIES_BOOTSTRAP_TLS_CERTIFICATE",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_certificate: Option<String>,
    /// Its private key, there; default: `xds.tls.on_proxy.key`.
    #[arg(
        long,
        env = "YORKIES_BOOTSTRAP_TLS_KEY",
        value_name = "FILE",
        requires = "tls_certificate"
    )]
    tls_key: Option<String>,
    /// Name in the control plane's certificate; default: `xds.tls.on_proxy.name`, else its host.
    #[arg(long, env = "YORKIES_BOOTSTRAP_TLS_NAME", value_name = "NAME")]
    tls_name: Option<String>,
    /// Folder for two small files that have Envoy read renewed certificates; written here.
    #[arg(long, env = "YORKIES_BOOTSTRAP_SDS", value_name = "FOLDER")]
    sds: Option<PathBuf>,
}

/// Prints it.
pub(crate) fn bootstrap(config: &Config, asked: Asked) -> anyhow::Result<()> {
    let (setting, xds) = match (&asked.xds, &config.xds.advertise) {
        (Some(xds), _) => ("--xds", xds.clone()),
        (None, Some(advertise)) => ("xds.advertise", advertise.clone()),
        (None, None) => ("xds.listen", config.xds.listen.into()),
    };
    if !xds.is_reachable() {
        bail!("{setting} {xds} is nothing to connect to: give --xds HOST:PORT");
    }
    let tls = if let Some(tls) = &config.xds.tls {
        Some(asked.tls(tls, &xds)?)
    } else {
        asked.expect_no_tls()?;
        None
    };
    if let (Some(folder), Some(tls)) = (&asked.sds, &tls) {
        for (name, content) in tls.sds_files() {
            let path = folder.join(name);
            let text = serde_saphyr::to_string(&content)?;
            replace(&path, &text).with_context(|| format!("--sds: {}", path.display()))?;
        }
    }
    let bootstrap = Bootstrap {
        mode: asked.mode,
        node: asked.node,
        xds,
        admin: asked.admin,
        listener: config.listener.is_some(),
        tls,
    };
    let yaml = serde_saphyr::to_string(&bootstrap.document())?;
    io::stdout().write_all(yaml.as_bytes())?;
    Ok(())
}

impl Asked {
    fn tls(&self, tls: &XdsTls, xds: &HostPort) -> anyhow::Result<ClientTls> {
        let OnProxy {
            ca,
            certificate,
            key,
            name,
        } = &tls.on_proxy;
        let ca = self.tls_ca.as_ref().or(ca.as_ref());
        let ca = ca.context(
            "xds.tls is set, but not how proxies know the control plane: set xds.tls.on_proxy.ca, or give --tls-ca",
        )?;
        let certificate = self.tls_certificate.as_ref().or(certificate.as_ref());
        let certificate = certificate.zip(self.tls_key.as_ref().or(key.as_ref()));
        if certificate.is_none() && tls.client_ca.is_some() {
            bail!(
                "xds.tls.client_ca is set, but not what proxies show: set certificate and key in xds.tls.on_proxy, or give --tls-certificate and --tls-key"
            );
        }
        let name = self.tls_name.as_ref().or(name.as_ref());
        let sds = self.sds.as_deref().map(absolute).transpose()?;
        Ok(ClientTls {
            ca: ca.clone(),
            certificate: certificate.map(|(chain, key)| (chain.clone(), key.clone())),
            name: name.unwrap_or(&xds.host).clone(),
            sds,
        })
    }

    fn expect_no_tls(&self) -> anyhow::Result<()> {
        let flags = [
            ("--tls-ca", self.tls_ca.is_some()),
            ("--tls-certificate", self.tls_certificate.is_some()),
            ("--tls-name", self.tls_name.is_some()),
            ("--sds", self.sds.is_some()),
        ];
        match flags.iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => bail!("{flag} is given, but the configuration has no xds.tls"),
            None => Ok(()),
        }
    }
}

fn absolute(folder: &Path) -> anyhow::Result<String> {
    let folder = std::path::absolute(folder)?;
    let text = folder.to_str();
    Ok(text
        .with_context(|| format!("--sds {}: is no UTF-8", folder.display()))?
        .to_owned())
}

/// Envoy may be reading it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}
