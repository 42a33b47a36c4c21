//! What a control plane uses, and that it goes back to that.

use anyhow::{Result, ensure};
use yorkies_tests::{ControlPlane, Usage, eventually};

/// What may be left over in a control plane for other reasons: threads for
/// blocking work that have not gone yet, connections of its administration that
/// are not closed yet, memory that the allocator keeps.
const SPARE_THREADS: u64 = 4;
const SPARE_DESCRIPTORS: u64 = 6;
const SPARE_BYTES: u64 = 16 << 20;
const SPARE_TASKS: f64 = 6.0;

/// Connections of a proxy of two workers: its xDS stream, and the reports of each
/// worker.
const CONNECTIONS: f64 = 3.0;

/// What a process of a control plane uses.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    process: u32,
    pub(crate) usage: Usage,
    pub(crate) tasks: f64,
}

impl Footprint {
    pub(crate) async fn of(control_plane: &ControlPlane) -> Result<Self> {
        let process = control_plane.process_id()?;
        Ok(Self {
            process,
            usage: Usage::of(process)?,
            tasks: control_plane.metric("yorkies_tasks").await?,
        })
    }

    /// Waits until it has no more than it had here, at first, unless it is another
    /// process: then that begins here. Returns what it uses now.
    pub(crate) async fn expect_same(
        &mut self,
        control_plane: &ControlPlane,
        proxies: usize,
    ) -> Result<Self> {
        let present = Self::of(control_plane).await?;
        if present.process != self.process {
            *self = present;
        }
        let Self {
            usage: first,
            tasks,
            ..
        } = self;
        eventually("as at first", async || {
            let now = Self::of(control_plane).await?;
            let connections = control_plane.metric("yorkies_xds_connections").await?;
            ensure!(
                now.usage.threads <= first.threads + SPARE_THREADS
                    && now.usage.descriptors <= first.descriptors + SPARE_DESCRIPTORS
                    && now.usage.rss_bytes <= first.rss_bytes + SPARE_BYTES
                    && now.tasks <= *tasks + SPARE_TASKS
                    && connections <= CONNECTIONS * proxies as f64,
                "{connections} connections, {now:?} after {tasks} tasks and {first:?}"
            );
            Ok(now)
        })
        .await
    }
}
