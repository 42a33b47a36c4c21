//! The proxies' side of TLS to the control plane.

use std::net::IpAddr;
use std::path::Path;

use serde_json::{Value, json};

const UPSTREAM: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Files of SDS, and what is in them.
const CA: &str = "yorkies-ca";
const CERTIFICATE: &str = "yorkies-certificate";

/// What a proxy shows to the control plane, and by what it knows it. Paths are
/// on its machine, files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// Authorities of the control plane's certificate.
    pub ca: String,
    /// Certificate with its chain, and private key.
    pub certificate: Option<(String, String)>,
    /// Name that the control plane's certificate has to have: a host, or a URI.
    /// That of another proxy is of the same authorities, after all.
    pub name: String,
    /// Folder with the [files](Self::sds_files) that have Envoy read certificates
    /// again when they change. Left out, it reads them at its start only.
    pub sds: Option<String>,
}

impl ClientTls {
    /// The files of SDS: names and content. Envoy reads from them which files it
    /// has to watch.
    #[must_use]
    pub fn sds_files(&self) -> Vec<(String, Value)> {
        let authorities = (CA, "validation_context", self.validation());
        let certificate = self
            .certificate()
            .map(|certificate| (CERTIFICATE, "tls_certificate", certificate));
        let file = |(name, kind, mut content): (&str, &str, Value)| {
            // Files are replaced one by one: each of a folder tells about all.
            if let Some(folder) = self.folder(name) {
                content["watched_directory"] = json!({ "path": folder });
            }
            let secret = json!({ "@type": SECRET, "name": name, kind: content });
            (file_name(name), json!({ "resources": [secret] }))
        };
        [Some(authorities), certificate]
            .into_iter()
            .flatten()
            .map(file)
            .collect()
    }

    /// The transport socket of the cluster that leads to the control plane.
    pub(super) fn transport_socket(&self) -> Value {
        let mut common = json!({ "alpn_protocols": ["h2"] });
        if let Some(folder) = &self.sds {
            let secret = |name| {
                json!({ "name": name, "sds_config": {
                    "resource_api_version": "V3",
                    "path_config_source": { "path": joined(folder, &file_name(name)) },
                } })
            };
            common["validation_context_sds_secret_config"] = secret(CA);
            if self.certificate.is_some() {
                common["tls_certificate_sds_secret_configs"] = json!([secret(CERTIFICATE)]);
            }
        } else {
            common["validation_context"] = self.validation();
            if let Some(certificate) = self.certificate() {
                common["tls_certificates"] = json!([certificate]);
            }
        }
        let mut context = json!({ "@type": UPSTREAM, "common_tls_context": common });
        if self.name_type() == "DNS" {
            context["sni"] = json!(self.name);
        }
        json!({ "name": "envoy.transport_sockets.tls", "typed_config": context })
    }

    fn validation(&self) -> Value {
        json!({
            "trusted_ca": { "filename": self.ca },
            "match_typed_subject_alt_names": [{
                "san_type": self.name_type(),
                "matcher": { "exact": self.name },
            }],
        })
    }

    fn certificate(&self) -> Option<Value> {
        let (chain, key) = self.certificate.as_ref()?;
        Some(json!({
            "certificate_chain": { "filename": chain },
            "private_key": { "filename": key },
        }))
    }

    fn name_type(&self) -> &'static str {
        if self.name.contains("://") {
            "URI"
        } else if self.name.parse::<IpAddr>().is_ok() {
            "IP_ADDRESS"
        } else {
            "DNS"
        }
    }

    /// The folder that all files of a secret are in, if it is one. If not, Envoy
    /// watches each file.
    fn folder(&self, name: &str) -> Option<&Path> {
        let folder = |path| Path::new(path).parent();
        match (name, &self.certificate) {
            (CERTIFICATE, Some((chain, key))) => {
                folder(chain).filter(|parent| folder(key) == Some(parent))
            }
            _ => folder(&self.ca),
        }
    }
}

fn file_name(secret: &str) -> String {
    format!("{secret}.yaml")
}

fn joined(folder: &str, file: &str) -> String {
    format!("{}/{file}", folder.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(name: &str, sds: Option<&str>) -> ClientTls {
        ClientTls {
            ca: "/ca/ca.pem".to_owned(),
            certificate: Some(("/tls/chain.pem".to_owned(), "/tls/key.pem".to_owned())),
            name: name.to_owned(),
            sds: sds.map(str::to_owned),
        }
    }

    #[test]
    fn the_control_plane_is_known_by_its_name_of_whatever_kind() {
        for (name, kind, sni) in [
            ("xds.example", "DNS", json!("xds.example")),
            ("10.0.0.1", "IP_ADDRESS", Value::Null),
            ("::1", "IP_ADDRESS", Value::Null),
            ("spiffe://cluster/xds", "URI", Value::Null),
        ] {
            let socket = tls(name, None).transport_socket();
            let context = &socket["typed_config"];
            assert_eq!(context["sni"], sni, "{name}");
            let validation = &context["common_tls_context"]["validation_context"];
            let expected = json!([{ "san_type": kind, "matcher": { "exact": name } }]);
            assert_eq!(validation["match_typed_subject_alt_names"], expected);
            assert_eq!(validation["trusted_ca"]["filename"], "/ca/ca.pem");
        }
    }

    #[test]
    fn files_of_sds_are_where_the_bootstrap_looks_for_them() {
        let tls = tls("xds", Some("/sds/"));
        let socket = tls.transport_socket().to_string();
        let files = tls.sds_files();
        assert_eq!(files.len(), 2);
        for (name, content) in files {
            assert!(socket.contains(&format!("\"/sds/{name}\"")), "{socket}");
            let secret = &content["resources"][0];
            assert!(socket.contains(&secret["name"].to_string()), "{socket}");
            let watched = secret
                .get("validation_context")
                .map_or(&secret["tls_certificate"]["watched_directory"], |context| {
                    &context["watched_directory"]
                });
            let folder = if name.contains("ca.") { "/ca" } else { "/tls" };
            assert_eq!(watched["path"], folder);
        }
    }

    #[test]
    fn certificate_and_key_in_two_folders_are_watched_each_by_itself() {
        let mut tls = tls("xds", Some("/sds"));
        tls.certificate = Some(("/a/chain.pem".to_owned(), "/b/key.pem".to_owned()));
        let (_, content) = tls.sds_files().remove(1);
        let secret = &content["resources"][0]["tls_certificate"];
        assert_eq!(secret.get("watched_directory"), None);
        tls.certificate = None;
        assert_eq!(tls.sds_files().len(), 1);
    }
}
