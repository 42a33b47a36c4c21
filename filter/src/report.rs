//! What the control plane is told: which VM speaks, and when.

use std::cell::OnceCell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use prost::Message;
use sharding::{REPORTS_SERVICE, Report, SEND_METHOD};

use crate::drain::Step;
use crate::host::{GrpcCall, Host};
use crate::metrics::{Counter, Metrics};

/// Least time between two reports, unless the phase changes. Less than a slow
/// tick, whose timer is not exact.
const SOONEST: Duration = Duration::from_millis(900);

/// Most time between two reports of the same, a little less than 5 s.
const LATEST: Duration = Duration::from_millis(4_900);

/// The control plane has that long to answer. Envoy drops the call afterwards;
/// the next report says it all again.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The reports of one VM.
#[derive(Debug)]
pub struct Reports {
    vm: OnceCell<u64>,
    node: OnceCell<String>,
    sent: u64,
    last: Option<Told>,
}

/// The last report.
#[derive(Debug)]
struct Told {
    at: Duration,
    step: Step,
    report: Report,
    has_failed: bool,
    /// Whether an earlier report told of the step: one may be lost, and a
    /// rebalance waits for it.
    is_repeated: bool,
}

/// `envoy.config.core.v3.GrpcService`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
struct GrpcService {
    #[prost(message, optional, tag = "1")]
    envoy_grpc: Option<EnvoyGrpc>,
}

/// `envoy.config.core.v3.GrpcService.EnvoyGrpc`.
#[derive(Clone, PartialEq, Message)]
struct EnvoyGrpc {
    #[prost(string, tag = "1")]
    cluster_name: String,
}

impl Reports {
    /// None was sent.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            vm: OnceCell::new(),
            node: OnceCell::new(),
            sent: 0,
            last: None,
        }
    }

    /// Sends the `report` of a VM that is at that step to that cluster, if one is
    /// due. Nobody waits for the answer.
    pub fn tell(
        &mut self,
        host: &impl Host,
        metrics: &Metrics,
        cluster: &str,
        (step, now): (Step, Duration),
        report: impl FnOnce() -> Report,
    ) {
        let last = self.last.as_ref().filter(|last| last.step == step);
        let since = last.map(|last| now.saturating_sub(last.at));
        if since.is_some_and(|since| since < SOONEST) {
            return;
        }
        let report = Report {
            // The state of a hasher is random, which is all that is random in std.
            vm: *self.vm.get_or_init(|| RandomState::new().hash_one(0)),
            node: self.node(host),
            ..report()
        };
        let is_repeated = last.is_some();
        let is_old =
            last.is_some_and(|last| last.report == report && !last.has_failed && last.is_repeated);
        if is_old && since.is_some_and(|since| since < LATEST) {
            return;
        }
        self.sent += 1;
        let numbered = Report {
            sequence: self.sent,
            ..report.clone()
        };
        let has_failed = !send(host, cluster, &numbered);
        let counter = if has_failed {
            Counter::ReportsFailed
        } else {
            Counter::ReportsSent
        };
        metrics.add(counter, 1);
        self.last = Some(Told {
            at: now,
            step,
            report,
            has_failed,
            is_repeated,
        });
    }

    /// The next report is due at once.
    pub fn forget(&mut self) {
        self.last = None;
    }

    fn node(&self, host: &impl Host) -> String {
        if let Some(node) = self.node.get() {
            return node.clone();
        }
        let Ok(node) = host.property(&["xds", "node", "id"]) else {
            return String::new();
        };
        let node = String::from_utf8_lossy(&node).into_owned();
        self.node.get_or_init(|| node).clone()
    }
}

fn send(host: &impl Host, cluster: &str, report: &Report) -> bool {
    let target = GrpcService {
        envoy_grpc: Some(EnvoyGrpc {
            cluster_name: cluster.to_owned(),
        }),
    };
    let sent = host.grpc_call(&GrpcCall {
        target: &target.encode_to_vec(),
        service: REPORTS_SERVICE,
        method: SEND_METHOD,
        message: &report.encode_to_vec(),
        timeout: TIMEOUT,
    });
    sent.is_ok()
}

impl Default for Reports {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::MockHost;
    use sharding::Phase;

    struct Teller {
        host: MockHost,
        metrics: Metrics,
        reports: Reports,
    }

    impl Teller {
        fn new() -> Self {
            let host = MockHost::default();
            host.property_of(None, "xds.node.id", "proxy-1");
            Self {
                host,
                metrics: Metrics::new(),
                reports: Reports::new(),
            }
        }

        fn tell(&mut self, ms: u64, report: &Report) -> Vec<Report> {
            let (host, metrics) = (&self.host, &self.metrics);
            let step = Step {
                epoch: report.epoch,
                phase: report.phase(),
                is_settled: report.misplaced == 0,
            };
            let when = (step, Duration::from_millis(ms));
            let report = || report.clone();
            self.reports.tell(host, metrics, "xds", when, report);
            let calls = self.host.take_grpc_calls().into_iter();
            calls
                .map(|call| Report::decode(call.message.as_slice()).unwrap())
                .collect()
        }
    }

    fn report(epoch: u64, phase: Phase, open: u64, misplaced: u64) -> Report {
        Report {
            epoch,
            phase: phase.into(),
            open,
            misplaced,
            ..Report::default()
        }
    }

    #[test]
    fn a_report_says_who_it_is_from_and_goes_to_the_cluster_of_the_control_plane() {
        let mut teller = Teller::new();
        let sent = teller.tell(0, &report(7, Phase::Hold, 3, 1));
        let [first] = &sent[..] else {
            panic!("{sent:?}");
        };
        assert_eq!((first.node.as_str(), first.open), ("proxy-1", 3));
        assert_ne!(first.vm, 0);
        let again = teller.tell(9_000, &report(7, Phase::Hold, 3, 1));
        let second = Report {
            sequence: 2,
            ..first.clone()
        };
        assert_eq!((first.sequence, &again[0]), (1, &second));

        let other = Teller::new().tell(0, &report(7, Phase::Hold, 3, 1));
        assert_ne!(other[0].vm, first.vm);

        assert!(send(&teller.host, "xds", first));
        let call = teller.host.take_grpc_calls().remove(0);
        // Field 1 with a message whose field 1 is the name.
        assert_eq!(call.target, b"\x0a\x05\x0a\x03xds");
        assert_eq!(call.method, "yorkies.report.v1.Reports/Send");
    }

    #[test]
    fn every_step_is_told_at_once_and_once() {
        let mut teller = Teller::new();
        for (ms, report, is_told) in [
            (0, report(7, Phase::Hold, 5, 0), true),
            (1, report(7, Phase::Hold, 6, 0), false),
            (2, report(8, Phase::Hold, 6, 0), true),
            (3, report(8, Phase::Hold, 6, 2), true),
            (4, report(8, Phase::Released, 6, 2), true),
            (5, report(8, Phase::Released, 5, 1), false),
            (6, report(8, Phase::Released, 4, 0), true),
            (7, report(8, Phase::Released, 4, 0), false),
            (8, report(8, Phase::Stopped, 4, 0), true),
        ] {
            assert_eq!(teller.tell(ms, &report).len(), usize::from(is_told), "{ms}");
        }
    }

    #[test]
    fn a_step_is_told_a_second_time_soon_since_the_first_may_be_lost() {
        let mut teller = Teller::new();
        let mut sent = Vec::new();
        for second in 0..=7 {
            let told = teller.tell(second * 1000, &report(7, Phase::Hold, 3, 0));
            sent.extend(told.iter().map(|_| second));
        }
        assert_eq!(sent, [0, 1, 6]);
    }

    #[test]
    fn changes_are_told_each_second_and_the_same_every_five() {
        let mut teller = Teller::new();
        let mut sent = Vec::new();
        for second in 0..=20 {
            let open = second.min(3);
            let told = teller.tell(second * 1000, &report(7, Phase::Hold, open, 0));
            sent.extend(told.iter().map(|_| second));
        }
        assert_eq!(sent, [0, 1, 2, 3, 8, 13, 18]);
    }

    #[test]
    fn a_control_plane_that_is_away_is_counted_and_not_pestered() {
        let mut teller = Teller::new();
        teller.tell(0, &report(7, Phase::Hold, 0, 0));
        teller
            .host
            .fail_with(crate::host::HostError::InternalFailure);
        assert_eq!(teller.tell(10, &report(8, Phase::Hold, 0, 0)), []);
        assert_eq!(teller.tell(11, &report(8, Phase::Hold, 0, 0)), []);
        teller.host.recover();
        let late = teller.tell(1_010, &report(8, Phase::Hold, 0, 0));
        assert_eq!(late.len(), 1);
        teller.metrics.flush(&teller.host).unwrap();
        assert_eq!(teller.host.counter("yorkies.reports.failed"), 1);
        assert_eq!(teller.host.counter("yorkies.reports.sent"), 2);
    }
}
