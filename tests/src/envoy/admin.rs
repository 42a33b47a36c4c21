//! Client of Envoy's administration.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::Value;

use crate::{Client, Protocol, Request};

/// The administration of one start of an Envoy.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
}

impl Admin {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            client: Client::new(address, Protocol::Http1),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// The text at a path.
    pub async fn get(&self, path: &str) -> Result<String> {
        let reply = self.client.send(&Request::new(Method::GET, path)).await?;
        ensure!(
            reply.status == StatusCode::OK,
            "{path}: {}: {}",
            reply.status,
            reply.text()
        );
        Ok(reply.text())
    }

    /// The JSON at a path.
    pub async fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_str(&self.get(path).await?).with_context(|| format!("{path} is no JSON"))
    }

    /// Major and minor version.
    pub async fn version(&self) -> Result<(u32, u32)> {
        let info = self.json("/server_info").await?;
        let version = info["version"].as_str().unwrap_or_default();
        let numbers = version.split('/').nth(1).unwrap_or_default();
        let mut numbers = numbers.split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
            _ => anyhow::bail!("no version: {version:?}"),
        }
    }

    /// Whether it is ready to serve.
    pub async fn ready(&self) -> Result<()> {
        self.get("/ready").await.map(drop)
    }

    /// Names and actual addresses of the listeners.
    pub async fn listeners(&self) -> Result<Vec<(String, SocketAddr)>> {
        let listeners = self.json("/listeners?format=json").await?;
        let listeners = listeners["listener_statuses"].as_array();
        let listener = |listener: &Value| {
            let address = &listener["local_address"]["socket_address"];
            let ip: IpAddr = address["address"].as_str()?.parse().ok()?;
            let port = u16::try_from(address["port_value"].as_u64()?).ok()?;
            Some((
                listener["name"].as_str()?.to_owned(),
                SocketAddr::new(ip, port),
            ))
        };
        Ok(listeners
            .into_iter()
            .flatten()
            .filter_map(listener)
            .collect())
    }

    /// All counters and gauges.
    pub async fn stats(&self) -> Result<BTreeMap<String, u64>> {
        let stats = self.get("/stats").await?;
        let stat = |line: &str| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(stats.lines().filter_map(stat).collect())
    }

    /// All configuration, with endpoints.
    pub async fn config_dump(&self) -> Result<Value> {
        self.json("/config_dump?include_eds").await
    }

    /// Clusters and their hosts.
    pub async fn clusters(&self) -> Result<Value> {
        self.json("/clusters?format=json").await
    }
}
