//! What ends streams whose document has moved.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use yorkies_tests::{ControlPlane, Envoy, TestEnvironment, workspace};

/// With which streams are cut in turn under the timers, as long after a start.
const TIMER: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Practice {
    /// The drain of a rebalance, all at once.
    Drain,
    /// The drain of a rebalance, 500 streams a second.
    Paced,
    /// `stream_idle_timeout: 60s`, as Yorkie's chart has it.
    IdleTimeout,
    /// `max_connection_duration: 60s`.
    ConnectionDuration,
}

impl Practice {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain, window 0",
            Self::Paced => "drain, 500 streams a second",
            Self::IdleTimeout => "stream_idle_timeout: 60s",
            Self::ConnectionDuration => "max_connection_duration: 60s",
        }
    }

    pub(crate) fn drains(self) -> bool {
        matches!(self, Self::Drain | Self::Paced)
    }

    /// Over how long the streams are opened: under a timer those of a real day
    /// are of any age.
    pub(crate) fn opening(self) -> Duration {
        if self.drains() { Duration::ZERO } else { TIMER }
    }

    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::Drain => "drain: { max_window: 0s }\n",
            Self::Paced => "drain: { rate: 500, max_window: 10s }\n",
            Self::IdleTimeout | Self::ConnectionDuration => "drain: { enabled: false }\n",
        }
    }

    /// An Envoy with the example of an own listener and this practice's setting.
    pub(crate) async fn envoy(
        self,
        env: &mut TestEnvironment,
        node: &str,
        control_plane: &ControlPlane,
    ) -> Result<Envoy> {
        let example = fs::read_to_string(workspace().join("envoy/own-listener.yaml"))?;
        let text = self.listener(&example);
        ensure!(
            self.drains() || text != example,
            "the example has changed: {self:?} is not set"
        );
        let port = control_plane.address().port().to_string();
        let text = text
            .replace("  id: own-listener\n", &format!("  id: {node}\n"))
            .replace("port_value: 18000", &format!("port_value: {port}"))
            .replace("port_value: 9901", "port_value: 0")
            .replace(
                "address: 0.0.0.0, port_value: 8080",
                "address: 127.0.0.1, port_value: 0",
            );
        env.envoy_of_bootstrap(&text).await
    }

    fn listener(self, text: &str) -> String {
        match self {
            Self::Drain | Self::Paced => text.to_owned(),
            Self::IdleTimeout => text
                .replace("stream_idle_timeout: 0s ", "stream_idle_timeout: 60s ")
                // That of the route has the last word.
                .replace(", idle_timeout: 0s", "")
                .replace("                  idle_timeout: 0s\n", ""),
            Self::ConnectionDuration => text.replace(
                "          use_remote_address: true\n",
                "          use_remote_address: true\n          common_http_protocol_options: { max_connection_duration: 60s }\n",
            ),
        }
    }
}
