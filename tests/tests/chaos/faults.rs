//! What fails in an episode, by its seed alone.

#[cfg(test)]
use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use yorkies_tests::Passage;

/// Members that there are.
pub(crate) const MEMBERS: usize = 5;

/// Proxies that there are.
pub(crate) const PROXIES: usize = 2;

/// Steps of an episode.
const STEPS: std::ops::RangeInclusive<usize> = 4..=7;

/// Longest pause after a step: from within a rebalance until after it.
const LONGEST_PAUSE_MS: u64 = 700;

/// How long the control plane is away at most.
const LONGEST_AWAY_MS: u64 = 1_000;

/// How far the clock is from the right time at most: below the day that a
/// reported epoch may be ahead of the clock to be believed.
const FARTHEST_CLOCK_SECONDS: i64 = 5 * 60 * 60;

/// Something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The registry has these members, with their weights.
    Edit(Vec<(usize, u32)>),
    /// The members file is something else.
    Garbage(Garbage),
    /// The control plane is killed, and comes back after that time. If the disk
    /// refuses, it finds what is left there, and refuses again.
    KillControlPlane(Duration, Left),
    /// That proxy is killed, and comes back at once.
    KillProxy(usize),
    /// The way from that proxy to the control plane is like that.
    Network(usize, Passage),
    /// The state file can neither be replaced nor emptied.
    DiskRefuses,
    /// It can again.
    DiskIsBack(Left),
    /// The control plane's clock is that many seconds ahead.
    Clock(i64),
}

/// What a members file is instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// Written until the middle of its last member.
    Half,
    /// Nothing at all.
    Empty,
    /// Not what it should be.
    Nonsense,
    /// Not there.
    Gone,
}

/// What a disk has that is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// What was there when it began to refuse.
    Older,
    /// A file without a state.
    Nothing,
}

/// Whether the control plane lives through that episode.
pub(crate) fn spares_control_plane(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

/// What happens, and how long to wait after it. With an odd seed the control
/// plane is killed, with an even one it is not and a proxy is; another proxy
/// always survives, and knows what was handed out.
pub(crate) fn plan(seed: u64) -> Vec<(Step, Duration)> {
    let mut random = Rng::with_seed(seed);
    let victim = random.usize(..PROXIES);
    let kill = |random: &mut Rng| {
        if spares_control_plane(seed) {
            Step::KillProxy(victim)
        } else {
            let away = Duration::from_millis(random.u64(..LONGEST_AWAY_MS));
            Step::KillControlPlane(away, left(random))
        }
    };
    let mut steps = vec![edit(&mut random)];
    let count = random.usize(STEPS);
    while steps.len() < count {
        steps.push(match random.u8(..12) {
            0..=2 => edit(&mut random),
            3 | 4 => Step::Garbage(garbage(&mut random)),
            5 => kill(&mut random),
            6 => Step::KillProxy(victim),
            7 | 8 => Step::Network(random.usize(..PROXIES), passage(&mut random)),
            9 | 10 => disk(&mut random),
            _ => Step::Clock(random.i64(-FARTHEST_CLOCK_SECONDS..=FARTHEST_CLOCK_SECONDS)),
        });
    }
    steps.insert(random.usize(1..=steps.len()), kill(&mut random));
    let pause = |step| (step, Duration::from_millis(random.u64(..LONGEST_PAUSE_MS)));
    steps.into_iter().map(pause).collect()
}

fn edit(random: &mut Rng) -> Step {
    let mut members: Vec<_> = (0..MEMBERS)
        .map(|member| (member, random.u32(1..=3)))
        .collect();
    random.shuffle(&mut members);
    members.truncate(random.usize(2..=MEMBERS));
    Step::Edit(members)
}

fn garbage(random: &mut Rng) -> Garbage {
    match random.u8(..4) {
        0 => Garbage::Half,
        1 => Garbage::Empty,
        2 => Garbage::Nonsense,
        _ => Garbage::Gone,
    }
}

fn passage(random: &mut Rng) -> Passage {
    match random.u8(..4) {
        0 => Passage::Hanging,
        1 => Passage::Resetting,
        2 => Passage::Refusing,
        _ => Passage::Open,
    }
}

fn disk(random: &mut Rng) -> Step {
    match random.u8(..4) {
        0 => Step::DiskIsBack(left(random)),
        _ => Step::DiskRefuses,
    }
}

fn left(random: &mut Rng) -> Left {
    if random.bool() {
        Left::Older
    } else {
        Left::Nothing
    }
}

#[test]
fn a_seed_always_says_the_same_and_no_two_the_same() {
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7), plan(9));
}

#[test]
fn every_fault_happens_and_never_to_all_proxies_at_once() {
    let mut kinds = BTreeSet::new();
    for seed in 0..200 {
        let plan = plan(seed);
        let victims: BTreeSet<_> = plan
            .iter()
            .filter_map(|(step, _)| match step {
                Step::KillProxy(proxy) => Some(proxy),
                _ => None,
            })
            .collect();
        assert!(victims.len() < PROXIES);
        let mut steps = plan.iter().map(|(step, _)| step);
        let kills = steps.any(|step| matches!(step, Step::KillControlPlane(..)));
        assert_eq!(kills, !spares_control_plane(seed));
        kinds.extend(plan.iter().map(|(step, _)| match step {
            Step::Edit(_) => "edit".to_owned(),
            Step::KillControlPlane(..) => "kill".to_owned(),
            Step::KillProxy(proxy) => format!("kill {proxy}"),
            Step::Clock(seconds) => format!("clock {}", seconds.signum()),
            other => format!("{other:?}"),
        }));
    }
    assert!(kinds.len() >= 2 + 2 + 2 + 4 + 8 + 3, "{kinds:?}");
}
