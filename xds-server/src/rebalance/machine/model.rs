//! The machine against a world where anything happens in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use sharding::{Member, Phase};

use super::*;
use crate::rebalance::view::{ProxyView, VmView};

const PROXIES: usize = 3;

const PACE: Pace = Pace {
    rate: 10,
    max_window_ms: 1000,
};

#[derive(Debug, Clone)]
enum Op {
    Roster {
        ids: Vec<u16>,
        urgent: bool,
    },
    Connect(usize),
    Disconnect(usize),
    Accept(usize),
    /// Its VM reports what the proxy has accepted.
    Report {
        proxy: usize,
        misplaced: u64,
    },
    Pass(u64),
    /// A reload: whether it drains, and something that only filters know.
    Configure {
        drains: bool,
        max_body: u32,
    },
    Restart,
    /// With the state file of a backup.
    RestartWithOlder,
    /// With none.
    RestartWithout,
}

fn op() -> impl Strategy<Value = Op> {
    let ids = prop_oneof![
        Just(vec![1, 2]),
        Just(vec![1]),
        Just(vec![1, 2, 3]),
        Just(vec![2, 3]),
    ];
    let proxy = 0..PROXIES;
    prop_oneof![
        4 => (ids, prop::bool::weighted(0.2)).prop_map(|(ids, urgent)| Op::Roster { ids, urgent }),
        2 => proxy.clone().prop_map(Op::Connect),
        1 => proxy.clone().prop_map(Op::Disconnect),
        6 => proxy.clone().prop_map(Op::Accept),
        6 => (proxy, 0..3_u64).prop_map(|(proxy, misplaced)| Op::Report { proxy, misplaced }),
        4 => prop_oneof![0..50_u64, 100..400_u64, 1000..8000_u64].prop_map(Op::Pass),
        1 => (any::<bool>(), 1..3_u32)
            .prop_map(|(drains, max_body)| Op::Configure { drains, max_body }),
        2 => Just(Op::Restart),
        1 => Just(Op::RestartWithOlder),
        1 => Just(Op::RestartWithout),
    ]
}

#[derive(Debug, Default, Clone)]
struct Proxy {
    connected: bool,
    /// Whether it had something before its stream.
    is_back: bool,
    accepted: Option<FilterConfig>,
    vm: Option<VmView>,
    /// Whether its VM was heard of since the control plane started.
    is_heard: bool,
}

impl Proxy {
    fn disconnect(&mut self) {
        self.connected = false;
        if let Some(vm) = &mut self.vm {
            vm.is_suspect = true;
        }
    }
}

struct World {
    settings: Settings,
    template: FilterConfig,
    machine: Machine,
    now: Now,
    proxies: BTreeMap<usize, Proxy>,
    /// The last publication, which is what the state file has.
    last: Option<FilterConfig>,
    /// What it has if that was not saved: only an epoch that is the time is
    /// handed out before it is.
    older: Option<FilterConfig>,
    /// Every epoch that was ever given.
    given: BTreeSet<u64>,
    wanted: Option<Roster>,
    held_at: Instant,
    started_at: Now,
    restarted: bool,
    /// Since the start: whether anybody has connected, when the first one came
    /// who had been told something before, and whether anything was released.
    has_met: bool,
    back_at: Option<Instant>,
    has_released: bool,
    underway: Option<u64>,
    publications: usize,
}

fn roster(ids: &[u16]) -> Roster {
    let members = ids
        .iter()
        .map(|&n| Member::new(format!("m{n}"), ([127, 0, 0, 1], n).into(), 1));
    Roster::new(members.collect()).unwrap()
}

fn node(proxy: usize) -> Arc<str> {
    format!("proxy-{proxy}").into()
}

impl World {
    fn new(pace: Option<Pace>) -> Self {
        let settings = Settings {
            settle: Duration::from_millis(250),
            settle_max: Duration::from_secs(2),
            ack_wait: Duration::from_secs(2),
            finish_wait: Duration::from_secs(5),
            return_wait: Duration::from_secs(4),
            pace,
        };
        let now = Now {
            instant: Instant::now(),
            unix_ms: 1000,
        };
        let template = FilterConfig::new(0, "c");
        Self {
            machine: Machine::new(settings.clone(), template.clone(), None, false, now),
            settings,
            template,
            now,
            proxies: (0..PROXIES).map(|n| (n, Proxy::default())).collect(),
            last: None,
            older: None,
            given: BTreeSet::new(),
            wanted: None,
            held_at: now.instant,
            started_at: now,
            restarted: false,
            has_met: false,
            back_at: None,
            has_released: false,
            underway: None,
            publications: 0,
        }
    }

    fn view(&self) -> View {
        let connected = self.proxies.iter().filter(|(_, proxy)| proxy.connected);
        let proxies = connected.map(|(&n, proxy)| ProxyView {
            node: node(n),
            covers: proxy.accepted == self.last,
            is_back: proxy.is_back,
        });
        View {
            proxies: proxies.collect(),
            vms: self.heard().cloned().collect(),
            drained: 0,
        }
    }

    fn heard(&self) -> impl Iterator<Item = &VmView> {
        let heard = self.proxies.values().filter(|proxy| proxy.is_heard);
        heard.filter_map(|proxy| proxy.vm.as_ref())
    }

    /// Whether all that can be asked route by the last publication.
    fn all_route(&self) -> bool {
        let epoch = self.last.as_ref().map_or(0, |last| last.epoch);
        let mut connected = self.proxies.values().filter(|proxy| proxy.connected);
        let mut present = self.proxies.values().filter(|proxy| {
            let vm = proxy.vm.as_ref().filter(|_| proxy.is_heard);
            vm.is_some_and(|vm| proxy.connected || !vm.is_suspect)
        });
        connected.all(|proxy| proxy.accepted == self.last)
            && present.all(|proxy| proxy.vm.as_ref().is_none_or(|vm| vm.epoch >= epoch))
    }

    fn step(&mut self, event: Event) {
        let mut event = Some(event);
        // As the driver does: after a publication the view is another one.
        for _ in 0..10 {
            let view = self.view();
            self.has_met |= !view.proxies.is_empty();
            let is_earlier = |vm: &VmView| vm.epoch < self.started_at.unix_ms;
            let is_back = view.proxies.iter().any(|proxy| proxy.is_back);
            if is_back || view.vms.iter().any(is_earlier) {
                self.back_at.get_or_insert(self.now.instant);
            }
            let event = event.take().unwrap_or(Event::Look);
            let effects = self.machine.step(event, &view, self.now);
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.apply(effect);
            }
        }
        panic!("the machine does not come to rest");
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(config) if config.drain == Drain::Hold => {
                assert_eq!(self.underway, None, "one at a time");
                let last_epoch = self.last.as_ref().map_or(0, |last| last.epoch);
                assert!(config.epoch > last_epoch, "an epoch only grows");
                assert!(self.given.insert(config.epoch), "an epoch is given once");
                assert_eq!(config.members, self.wanted, "the newest is published");
                assert_eq!(config.max_body, self.template.max_body, "as it is set");
                let same = self.last.as_ref().is_some_and(|last| {
                    let takes_back = self.settings.pace.is_none() && last.drain != Drain::Hold;
                    let same = (&last.members, last.max_body) == (&config.members, config.max_body);
                    same && !takes_back
                });
                assert!(!same || self.is_outdated(), "nothing has changed");
                self.underway = Some(config.epoch);
                self.held_at = self.now.instant;
                let is_time = config.epoch <= self.now.unix_ms;
                let before = self.last.replace(*config);
                self.older = if is_time { before } else { self.last.clone() };
                self.publications += 1;
            }
            Effect::Publish(config) => {
                assert!(self.settings.pace.is_some(), "draining is off");
                assert_eq!(self.underway, Some(config.epoch));
                let held = FilterConfig {
                    drain: Drain::Hold,
                    ..*config.clone()
                };
                assert_eq!(self.last.as_ref(), Some(&held), "released is what was held");
                let ran_out = self.now.instant >= self.held_at + self.settings.ack_wait;
                assert!(self.all_route() || ran_out, "somebody routes to old owners");
                let back = self.started_at.instant + self.settings.return_wait;
                assert!(!self.restarted || self.now.instant >= back, "too early");
                if !self.restarted && !self.has_released {
                    let is_met = self.has_met || self.heard().next().is_some();
                    assert!(is_met, "nobody has come");
                    let back = self.back_at.map(|at| at + self.settings.return_wait);
                    let is_awaited = back.is_none_or(|back| self.now.instant >= back);
                    assert!(is_awaited, "others may be on their way");
                }
                self.has_released = true;
                self.older = self.last.replace(*config);
                self.publications += 1;
            }
            Effect::Finished(record) => {
                assert_eq!(self.underway.take(), Some(record.epoch));
            }
            Effect::Plan => {}
        }
    }

    /// Whether a VM has an epoch that is not known to the machine.
    fn is_outdated(&self) -> bool {
        let epoch = self.last.as_ref().map_or(0, |last| last.epoch);
        let mut vms = self.proxies.values().filter_map(|proxy| proxy.vm.as_ref());
        vms.any(|vm| vm.epoch > epoch)
    }

    /// Lets time pass, looking whenever the machine asked for it.
    fn pass(&mut self, ms: u64) {
        let end = self.now.instant + Duration::from_millis(ms);
        while let Some(deadline) = self.machine.deadline().filter(|&at| at <= end) {
            self.set_time(deadline.max(self.now.instant));
            self.step(Event::Look);
            let next = self.machine.deadline();
            assert!(next.is_none_or(|next| next > deadline), "it spins");
        }
        self.set_time(end);
        self.step(Event::Look);
    }

    fn set_time(&mut self, at: Instant) {
        self.now.unix_ms += ms(at - self.now.instant);
        self.now.instant = at;
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Roster { ids, urgent } => {
                let roster = roster(&ids);
                self.wanted = Some(roster.clone());
                self.step(Event::Roster { roster, urgent });
                return;
            }
            Op::Connect(n) => {
                let proxy = self.proxies.get_mut(&n).unwrap();
                if !proxy.connected {
                    proxy.connected = true;
                    proxy.is_back = proxy.accepted.is_some();
                }
            }
            Op::Disconnect(n) => self.proxies.get_mut(&n).unwrap().disconnect(),
            Op::Accept(n) => {
                let last = self.last.clone();
                let proxy = self.proxies.get_mut(&n).unwrap();
                if proxy.connected {
                    proxy.accepted = last;
                }
            }
            Op::Report { proxy, misplaced } => self.report(proxy, misplaced),
            Op::Pass(ms) => return self.pass(ms),
            Op::Configure { drains, max_body } => return self.configure(drains, max_body),
            Op::Restart => self.restart(),
            Op::RestartWithOlder => {
                self.last = self.older.take().or(self.last.take());
                self.restart();
            }
            Op::RestartWithout => {
                // No epoch is so far ahead of the clock that it comes again.
                let highest = self.given.last().copied().unwrap_or_default();
                let ahead = highest.saturating_sub(self.now.unix_ms);
                self.set_time(self.now.instant + Duration::from_millis(ahead));
                (self.last, self.older) = (None, None);
                self.restart();
            }
        }
        self.step(Event::Look);
    }

    fn report(&mut self, n: usize, misplaced: u64) {
        let proxy = self.proxies.get_mut(&n).unwrap();
        let Some(accepted) = &proxy.accepted else {
            return;
        };
        proxy.is_heard = true;
        if let Some(vm) = &mut proxy.vm {
            vm.is_suspect = false;
        }
        // As a filter does.
        let known = proxy.vm.as_ref().map_or(0, |vm| vm.epoch);
        if accepted.epoch < known {
            return;
        }
        proxy.vm = Some(VmView {
            node: node(n),
            vm: 1,
            epoch: accepted.epoch,
            phase: match accepted.drain {
                Drain::Hold => Phase::Hold,
                Drain::Release { .. } => Phase::Released,
            },
            misplaced,
            is_suspect: false,
        });
    }

    fn configure(&mut self, drains: bool, max_body: u32) {
        self.settings.pace = drains.then_some(PACE);
        self.template.max_body = max_body;
        let last = self.last.as_ref();
        let held = last.filter(|last| last.drain == Drain::Hold && last.max_body == max_body);
        if let (Some(held), None, true) = (held, self.underway, drains) {
            // What was never released is now.
            self.underway = Some(held.epoch);
            self.held_at = self.now.instant;
        }
        self.step(Event::Settings {
            settings: self.settings.clone(),
            template: Box::new(self.template.clone()),
        });
    }

    fn restart(&mut self) {
        let Some(roster) = self.wanted.clone() else {
            return;
        };
        for proxy in self.proxies.values_mut() {
            proxy.disconnect();
            proxy.is_heard = false;
        }
        self.set_time(self.now.instant + Duration::from_millis(1));
        let (settings, last) = (self.settings.clone(), self.last.clone());
        let template = self.template.clone();
        let is_return = last.is_some();
        let held = last.as_ref().filter(|last| last.drain == Drain::Hold);
        self.underway = held
            .map(|last| last.epoch)
            .filter(|_| settings.pace.is_some());
        self.machine = Machine::new(settings, template, last, is_return, self.now);
        self.restarted = is_return;
        (self.has_met, self.back_at, self.has_released) = (false, None, false);
        self.started_at = self.now;
        self.held_at = self.now.instant;
        let urgent = false;
        self.step(Event::Roster { roster, urgent });
    }

    /// Everybody is there, does what he is told and says so.
    fn calm_down(&mut self) {
        for n in 0..PROXIES {
            self.run(Op::Connect(n));
        }
        for _ in 0..20 {
            for n in 0..PROXIES {
                self.run(Op::Accept(n));
                self.run(Op::Report {
                    proxy: n,
                    misplaced: 0,
                });
            }
            self.pass(500);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn whatever_happens_it_converges_and_never_releases_too_early(
        ops in prop::collection::vec(op(), 0..80),
        drains: bool,
        first in prop::bool::weighted(0.5),
    ) {
        let mut world = World::new(drains.then_some(PACE));
        if first {
            world.run(Op::Roster { ids: vec![1, 2], urgent: false });
        }
        for op in ops {
            world.run(op);
        }
        world.calm_down();
        prop_assert_eq!(world.machine.stage(), Stage::Stable);
        prop_assert_eq!(world.underway, None);
        let last = world.last.clone();
        prop_assert_eq!(last.as_ref().and_then(|last| last.members.clone()), world.wanted.clone());
        if let Some(last) = last {
            prop_assert_eq!(last.drain != Drain::Hold, world.settings.pace.is_some());
            prop_assert_eq!(last.max_body, world.template.max_body);
            let vms = world.proxies.values().filter_map(|proxy| proxy.vm.as_ref());
            prop_assert!(vms.into_iter().all(|vm| vm.epoch == last.epoch));
        }
        let publications = world.publications;
        if let Some(roster) = world.wanted.clone() {
            world.step(Event::Roster { roster, urgent: true });
        }
        world.pass(60_000);
        prop_assert_eq!(world.publications, publications, "nothing changed, nothing is sent");
    }
}
