//! Whatever happens, in whatever order.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::deciding::Happened;
use super::*;
use crate::config::{Check, Damping};

const MEMBERS: u8 = 6;

/// Something that happens.
#[derive(Debug, Clone)]
enum Op {
    List(u8),
    Move(u8),
    Pass(u8, Option<u8>),
    Fail(u8),
    See(u32, u8),
    Order(u8, Order),
    Wait(u64),
    Restart,
    /// Proxies route as was decided last.
    Assign,
}

fn op() -> impl Strategy<Value = Op> {
    let member = 0..MEMBERS;
    let order = prop::sample::select(vec![Order::Drain, Order::Undrain, Order::Readmit]);
    prop_oneof![
        2 => any::<u8>().prop_map(Op::List),
        1 => member.clone().prop_map(Op::Move),
        6 => (member.clone(), prop::option::of(0..3_u8)).prop_map(|(id, run)| Op::Pass(id, run)),
        12 => member.clone().prop_map(Op::Fail),
        2 => (0..3_u32, any::<u8>()).prop_map(|(proxies, mask)| Op::See(proxies, mask)),
        2 => (member, order).prop_map(|(id, order)| Op::Order(id, order)),
        2 => (0..100_u64).prop_map(Op::Wait),
        1 => Just(Op::Restart),
        4 => Just(Op::Assign),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    (2..4_u32, 1..3_u32, prop::option::of(1..4_u32), 0..=100_u32).prop_map(
        |(fail_after, pass_after, quorum, max_ejected)| Rules {
            check: Check::Tcp,
            port: None,
            incarnation: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            fail_after,
            pass_after,
            quorum,
            readmit: None,
            max_ejected,
            damping: Damping::default(),
        },
    )
}

fn name(number: u8) -> String {
    format!("m{number}")
}

/// The judge, and what anybody can see of its world.
struct World {
    rules: Rules,
    judge: Judge,
    now: Instant,
    runs: [u8; MEMBERS as usize],
    mask: u8,
    /// Failures in a row, by member.
    failures: BTreeMap<String, u32>,
    passed: BTreeSet<String>,
    served: Option<Roster>,
    ejections: u64,
}

impl World {
    fn new(rules: Rules) -> Self {
        Self {
            judge: Judge::new(Some(rules.clone()), None, Kept::default()),
            rules,
            now: Instant::now(),
            runs: [1; MEMBERS as usize],
            mask: 0,
            failures: BTreeMap::new(),
            passed: BTreeSet::new(),
            served: None,
            ejections: 0,
        }
    }

    fn listed(&self) -> Roster {
        let ids = (0..MEMBERS).filter(|id| self.mask & (1 << id) != 0);
        let members = ids.map(|id| {
            let address = ([10, 0, self.runs[usize::from(id)], id], 80).into();
            Member::new(name(id), address, 1)
        });
        Roster::new(members.collect()).unwrap()
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::List(mask) => self.mask = mask & ((1 << MEMBERS) - 1),
            Op::Move(id) => {
                let run = &mut self.runs[usize::from(*id)];
                *run = run.wrapping_add(1);
                self.failures.remove(&name(*id));
            }
            Op::Pass(id, run) => {
                let id = name(*id);
                if let Some(address) = self.judge.listed_as(&id).map(|listed| listed.address) {
                    let run = run.map(|run| run.to_string());
                    self.judge.checked(&id, address, Ok(run), self.now);
                    self.failures.remove(&id);
                    self.passed.insert(id);
                }
            }
            Op::Fail(id) => {
                let id = name(*id);
                if let Some(address) = self.judge.listed_as(&id).map(|listed| listed.address) {
                    self.judge
                        .checked(&id, address, Err("no".to_owned()), self.now);
                    *self.failures.entry(id).or_default() += 1;
                }
            }
            Op::See(proxies, mask) => {
                let ids = (0..MEMBERS).filter(|id| mask & (1 << id) != 0 && *proxies > 0);
                // Through some of them or through all.
                let seen: BTreeMap<_, _> = ids
                    .map(|id| (name(id), 1 + u32::from(id) % proxies))
                    .collect();
                self.judge.seen(Sight {
                    proxies: *proxies,
                    unreached: seen.clone(),
                    doubted: seen,
                });
            }
            Op::Order(id, order) => drop(self.judge.order(&name(*id), *order)),
            Op::Wait(seconds) => self.now += Duration::from_secs(*seconds),
            Op::Restart => {
                let (kept, rules) = (self.judge.kept(), self.rules.clone());
                self.judge = Judge::new(Some(rules), self.served.as_ref(), kept);
                self.failures.clear();
                self.ejections = 0;
            }
            Op::Assign => self.judge.assigned(self.served.clone()),
        }
        if matches!(op, Op::List(_) | Op::Move(_) | Op::Restart) {
            let listed = self.listed();
            self.judge.listed(&listed, self.now);
            self.failures.retain(|id, _| listed.get(id).is_some());
        }
        self.decide();
    }

    fn decide(&mut self) {
        let before = self.served.clone();
        let decision = self.judge.decide(self.now);
        let again = self.judge.decide(self.now);
        assert_eq!(again.roster, decision.roster, "the same twice");
        assert_eq!(again.happened, []);
        if let Some(roster) = &decision.roster {
            assert!(!roster.members().is_empty(), "the roster is never empty");
            for member in roster.members() {
                let has_served = before
                    .as_ref()
                    .is_some_and(|old| old.get(&member.id).is_some());
                assert!(
                    has_served || self.passed.contains(&member.id),
                    "{member:?} never passed"
                );
            }
        }
        let mut ejected = 0;
        for happened in &decision.happened {
            if let Happened::Ejected { id, .. } = happened {
                ejected += 1;
                let fails = self.failures.get(id).copied().unwrap_or_default();
                let unreached = self.judge.sight.unreached(id);
                assert!(
                    fails >= self.rules.fail_after || unreached > 0,
                    "{id} is well"
                );
            }
        }
        assert_eq!(decision.ejections, self.ejections + ejected);
        if ejected > 0 {
            let listed = self.listed().members().len();
            let out = self.judge.undrained_ejected();
            let most = (listed * self.rules.max_ejected as usize / 100).max(1);
            assert!(out <= most && out < listed, "{out} of {listed} are out");
        }
        self.ejections = decision.ejections;
        self.served = decision.roster;
    }
}

proptest! {
    #[test]
    fn nobody_serves_unproven_and_nobody_leaves_who_is_well_or_one_too_many(
        rules in rules(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut world = World::new(rules);
        world.run(&Op::List(u8::MAX));
        for op in &ops {
            world.run(op);
        }
        // When all is well again and everybody was let back, all serve.
        world.run(&Op::List(u8::MAX));
        world.run(&Op::See(0, 0));
        for id in 0..MEMBERS {
            world.run(&Op::Order(id, Order::Undrain));
            for _ in 0..3 {
                world.run(&Op::Pass(id, Some(2)));
            }
            world.run(&Op::Order(id, Order::Readmit));
        }
        world.run(&Op::Wait(0));
        prop_assert_eq!(world.served.as_ref().map(|roster| roster.members().len()), Some(6));
        prop_assert_eq!(world.judge.shown().held_back, 0);
    }
}
