//! What the control plane says of where its members come from.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::ControlPlane;
use crate::{LogLine, eventually};

impl ControlPlane {
    /// The epoch of its assignment, once it has one.
    pub async fn epoch(&self) -> Result<u64> {
        eventually("with an epoch", async || {
            let status = self.status().await?;
            status["epoch"].as_u64().context("no epoch")
        })
        .await
    }

    /// Waits until these members serve, as `id=address*weight`, and nothing else
    /// is on its way.
    pub async fn wait_for_members(&self, expected: &[String]) -> Result<()> {
        eventually("the expected members", async || {
            let status = self.status().await?;
            let members = status["members"].as_array().into_iter().flatten();
            let shown = members.map(|member| {
                let text = |name: &str| member[name].as_str().unwrap_or_default();
                format!("{}={}*{}", text("id"), text("address"), member["weight"])
            });
            let found: Vec<_> = shown.collect();
            ensure!(found == expected, "{found:?} instead of {expected:?}");
            ensure!(status["pending"] == false, "a change is on its way");
            Ok(())
        })
        .await
    }

    /// Waits until the last that it has refused of that source, since its
    /// start, was for that reason.
    pub async fn refused(&self, source: &str, why: &str) -> Result<()> {
        eventually("refused", async || {
            let log = self.log()?;
            let mut refused = log
                .iter()
                .filter(|line| line.message() == "Source of members refused")
                .filter(|line| line.level() == "ERROR" && line.field("source") == Some(source));
            let last = refused.next_back().map(LogLine::text).unwrap_or_default();
            ensure!(last.contains(why), "{last:?} instead of {why:?}");
            Ok(())
        })
        .await
    }

    /// Waits until that source has not been heard of for so long.
    pub async fn stale(&self, source: &str, at_least: Duration) -> Result<()> {
        eventually("stale", async || {
            let seconds = self.metric(&stale(source)).await?;
            ensure!(seconds >= at_least.as_secs_f64(), "stale for {seconds} s");
            Ok(())
        })
        .await
    }

    /// Waits until that source has just been heard of.
    pub async fn fresh(&self, source: &str) -> Result<()> {
        eventually("fresh", async || {
            let seconds = self.metric(&stale(source)).await?;
            ensure!(seconds <= 1.0, "stale for {seconds} s");
            Ok(())
        })
        .await
    }
}

fn stale(source: &str) -> String {
    format!("yorkies_registry_stale_seconds{{source=\"{source}\"}}")
}
