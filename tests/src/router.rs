//! The usual scene: a control plane, an Envoy, and clients of both protocols.

use anyhow::{Result, ensure};
use sharding::{Assignment, Member as Entry, Policy};

use crate::{
    Client, ControlPlane, Envoy, Mode, Protocol, Settings, TestEnvironment, expect_owners, settled,
};

/// One in this many keys is asked for over HTTP/1.1, the others over HTTP/2.
const HTTP1_SHARE: usize = 5;

/// A control plane and an Envoy that route, and what is expected of them.
#[derive(Debug)]
pub struct Router {
    /// The control plane.
    pub control_plane: ControlPlane,
    /// The Envoy.
    pub envoy: Envoy,
    /// A client over HTTP/2.
    pub h2c: Client,
    /// A client over HTTP/1.1.
    pub http1: Client,
    epoch: u64,
}

impl Router {
    /// Starts both with these members, and waits until they route.
    pub async fn start(
        env: &mut TestEnvironment,
        settings: Settings,
        mode: Mode,
        entries: Vec<Entry>,
    ) -> Result<Self> {
        let mut control_plane = env.control_plane(settings).await?;
        control_plane.edit(entries)?;
        let envoy = env.envoy(&control_plane, mode).await?;
        let mut this = Self {
            h2c: envoy.client(Protocol::H2c).await?,
            http1: envoy.client(Protocol::Http1).await?,
            control_plane,
            envoy,
            epoch: 0,
        };
        this.settle().await?;
        Ok(this)
    }

    /// As [`ControlPlane::expected`].
    pub fn expected(&self) -> Result<Assignment> {
        self.control_plane.expected()
    }

    /// The highest epoch that every worker is known to have.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// As [`ControlPlane::edit`].
    pub fn edit(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.control_plane.edit(entries)
    }

    /// Waits until every worker routes under a newer epoch.
    pub async fn settle(&mut self) -> Result<()> {
        self.epoch = settled(&[&self.h2c, &self.http1], self.epoch).await?;
        Ok(())
    }

    /// Replaces the members and waits until every worker routes to them.
    pub async fn change(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.edit(entries)?;
        self.settle().await
    }

    /// Restarts the control plane with another policy, and waits until every
    /// worker routes by it.
    pub async fn change_policy(&mut self, policy: Policy) -> Result<()> {
        self.control_plane.restart_with(policy).await?;
        self.settle().await
    }

    /// Connects to a new start of the Envoy, which must know the epoch that
    /// the last one knew.
    pub async fn reconnect(&mut self) -> Result<()> {
        self.h2c = self.envoy.client(Protocol::H2c).await?;
        self.http1 = self.envoy.client(Protocol::Http1).await?;
        let epoch = settled(&[&self.h2c, &self.http1], 0).await?;
        ensure!(
            epoch >= self.epoch,
            "epoch {epoch} after {}: it went back",
            self.epoch
        );
        self.epoch = epoch;
        Ok(())
    }

    /// Asks for all keys and expects the predicted owners to answer.
    pub async fn expect_owners(&self, keys: &[String]) -> Result<()> {
        let expected = self.expected()?;
        let (over_http1, over_h2c) = keys.split_at(keys.len() / HTTP1_SHARE);
        expect_owners(&self.h2c, &expected, over_h2c).await?;
        expect_owners(&self.http1, &expected, over_http1).await
    }
}
