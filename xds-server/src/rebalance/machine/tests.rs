//! Single rebalances, step by step.

mod reload;

use sharding::{Member, Phase};

use super::*;
use crate::rebalance::view::{ProxyView, VmView};

mod changes;
mod late;
mod restarts;
mod without_state;

const E0: u64 = 1_000_000;

fn settings() -> Settings {
    Settings {
        settle: Duration::from_millis(250),
        settle_max: Duration::from_secs(2),
        ack_wait: Duration::from_secs(2),
        finish_wait: Duration::from_secs(5),
        return_wait: Duration::from_secs(4),
        pace: Some(Pace {
            rate: 1000,
            max_window_ms: 2000,
        }),
    }
}

fn roster(ids: &[u16]) -> Roster {
    let members = ids
        .iter()
        .map(|&n| Member::new(format!("m{n}"), ([127, 0, 0, 1], n).into(), 1));
    Roster::new(members.collect()).unwrap()
}

fn proxy(node: &str, covers: bool) -> ProxyView {
    ProxyView {
        node: node.into(),
        covers,
        is_back: false,
    }
}

fn vm(node: &str, epoch: u64, phase: Phase, misplaced: u64) -> VmView {
    VmView {
        node: node.into(),
        vm: 1,
        epoch,
        phase,
        misplaced,
        is_suspect: false,
    }
}

/// A machine with a clock and a view.
struct Scene {
    machine: Machine,
    now: Now,
    view: View,
}

impl Scene {
    fn new(settings: Settings, last: Option<FilterConfig>) -> Self {
        let now = Now {
            instant: Instant::now(),
            unix_ms: E0,
        };
        let is_return = last.is_some();
        let template = FilterConfig::new(0, "c");
        Self {
            machine: Machine::new(settings, template, last, is_return, now),
            now,
            view: View::default(),
        }
    }

    /// One that is stable at `m1` and `m2`.
    fn stable() -> Self {
        let last = FilterConfig {
            members: Some(roster(&[1, 2])),
            drain: Drain::Release { window_ms: 0 },
            ..FilterConfig::new(E0, "c")
        };
        let mut scene = Self::new(settings(), Some(last));
        assert_eq!(scene.roster(&[1, 2]), []);
        scene.pass(5000);
        assert_eq!(scene.machine.stage(), Stage::Stable);
        scene.look();
        scene
    }

    fn pass(&mut self, ms: u64) -> Vec<Effect> {
        self.now.instant += Duration::from_millis(ms);
        self.now.unix_ms += ms;
        self.look()
    }

    fn look(&mut self) -> Vec<Effect> {
        self.machine.step(Event::Look, &self.view, self.now)
    }

    fn take(&mut self, ids: &[u16], urgent: bool) -> Vec<Effect> {
        let roster = roster(ids);
        let event = Event::Roster { roster, urgent };
        self.machine.step(event, &self.view, self.now)
    }

    fn roster(&mut self, ids: &[u16]) -> Vec<Effect> {
        self.take(ids, false)
    }

    /// Starts a rebalance to these and returns its epoch.
    fn hold(&mut self, ids: &[u16]) -> u64 {
        assert_eq!(self.roster(ids), []);
        published(&self.pass(250), Some(ids)).0
    }
}

/// Epoch and drain of what is published among `effects`, of these members.
fn published(effects: &[Effect], ids: Option<&[u16]>) -> (u64, Drain) {
    let config = effects.iter().find_map(|effect| match effect {
        Effect::Publish(config) => Some(config),
        _ => None,
    });
    let config = config.unwrap_or_else(|| panic!("nothing is published: {effects:?}"));
    if let Some(ids) = ids {
        assert_eq!(config.members, Some(roster(ids)));
    }
    (config.epoch, config.drain)
}

fn finished(effects: &[Effect]) -> &Record {
    let record = effects.iter().find_map(|effect| match effect {
        Effect::Finished(record) => Some(record),
        _ => None,
    });
    record.unwrap_or_else(|| panic!("nothing is finished: {effects:?}"))
}
