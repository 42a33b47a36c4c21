//! What is measured: our control plane, started here, or any other.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::process::Command;
use yorkies_tests::{ControlPlane, Settings, TestEnvironment, eventually, members_nowhere};

use crate::External;

/// A change counts at once.
const AT_ONCE: &str = "rebalance: { settle: 0, settle_max: 0s }\n";

pub(crate) enum Target<'a> {
    Ours {
        control_plane: Box<ControlPlane>,
        members: u32,
        changes: u32,
    },
    Other(&'a External),
}

impl Target<'_> {
    /// Starts our control plane with that many members.
    pub(crate) async fn ours(env: &mut TestEnvironment, members: u32) -> Result<Self> {
        let settings = Settings {
            more: AT_ONCE,
            ..Settings::default()
        };
        let mut control_plane = env.control_plane(settings).await?;
        control_plane.edit(members_nowhere(members, 0))?;
        eventually("serving", async || control_plane.published().await).await?;
        Ok(Self::Ours {
            control_plane: Box::new(control_plane),
            members,
            changes: 0,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Ours { control_plane, .. } => control_plane.address(),
            Self::Other(other) => other.target,
        }
    }

    pub(crate) fn process(&self) -> Result<u32> {
        match self {
            Self::Ours { control_plane, .. } => control_plane.process_id(),
            Self::Other(other) => Ok(other.pid),
        }
    }

    /// Changes the weight of one member.
    pub(crate) async fn change(&mut self) -> Result<()> {
        match self {
            Self::Ours {
                control_plane,
                members,
                changes,
            } => {
                *changes += 1;
                control_plane.edit(members_nowhere(*members, *changes))
            }
            Self::Other(other) => {
                let status = Command::new("sh").args(["-c", &other.trigger]).status();
                let status = status.await?;
                ensure!(status.success(), "{:?}: {status}", other.trigger);
                Ok(())
            }
        }
    }
}
