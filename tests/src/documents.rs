//! Document servers that speak Yorkie's protocol, behind a router.

use anyhow::{Context, Result};
use sharding::{Assignment, Policy, Roster};

use crate::{
    ControlPlane, DocumentServer, DocumentStore, Envoy, Mode, Settings, TestEnvironment, assignment,
};

/// Three document servers on one store, a control plane and an Envoy.
#[derive(Debug)]
pub struct Documents {
    /// The Envoy.
    pub envoy: Envoy,
    /// The assignment that is expected; its epoch means nothing.
    pub expected: Assignment,
    _control_plane: ControlPlane,
    _servers: Vec<DocumentServer>,
    _store: DocumentStore,
}

impl Documents {
    /// Starts them all.
    pub async fn start(env: &mut TestEnvironment, settings: Settings, mode: Mode) -> Result<Self> {
        let folder = env.folder().to_owned();
        let store = DocumentStore::start(&folder).await?;
        let mut servers = Vec::new();
        for number in 0..3 {
            let id = format!("yorkie-{number}");
            servers.push(DocumentServer::start(&folder, &id, &store).await?);
        }
        let entries: Vec<_> = servers.iter().map(|server| server.entry(1)).collect();
        let control_plane = env.control_plane(settings).await?;
        let roster = Roster::new(entries.clone())?;
        control_plane.members().replace(&roster)?;
        Ok(Self {
            envoy: env.envoy(&control_plane, mode).await?,
            expected: assignment(Policy::default(), entries)?,
            _control_plane: control_plane,
            _servers: servers,
            _store: store,
        })
    }

    /// The id of the server that owns that canonical key.
    pub fn owner(&self, key: &str) -> Result<&str> {
        let owner = self.expected.owner(key.as_bytes()).context("no member")?;
        Ok(&owner.member.id)
    }
}
