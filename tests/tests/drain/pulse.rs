//! How long an Envoy and this process keep each other waiting, whatever else
//! the machine does: what a moment that a client sees can be late by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use yorkies_tests::{Client, Protocol};

/// Connections, so many that no worker is without one.
const CONNECTIONS: usize = 8;

const PAUSE: Duration = Duration::from_millis(5);

/// Requests, one after another on each connection, until stopped.
pub(crate) struct Pulse {
    stop: Arc<AtomicBool>,
    beats: JoinSet<Result<Duration>>,
}

impl Pulse {
    pub(crate) fn start(proxy: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut beats = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (client, stop) = (Client::new(proxy, Protocol::H2c), stop.clone());
            beats.spawn(async move {
                let mut worst = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    client.ask("project/pulse").await?;
                    tokio::time::sleep(PAUSE).await;
                    worst = worst.max(start.elapsed().saturating_sub(PAUSE));
                }
                Ok(worst)
            });
        }
        Self { stop, beats }
    }

    /// The longest wait.
    pub(crate) async fn stop(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let beats = self.beats.join_all().await.into_iter();
        let worst: Result<Vec<_>> = beats.collect();
        Ok(worst?.into_iter().max().unwrap_or_default())
    }
}
