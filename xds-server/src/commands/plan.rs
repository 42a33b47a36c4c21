//! What a change would move, on one screen.

use std::io::{self, Write};

use super::screen::{percent, time};
use crate::rebalance::{Move, Plan, Planned, Returning, Streams};

/// Most lines of one list.
const MAX_LINES: usize = 20;

/// Least share of keys with stale caches that a person is told of; tables move
/// a few keys to and fro with every change.
const LEAST_SHARE: f64 = 0.001;

/// Prints a plan.
pub(crate) fn plan(planned: &Planned, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, planned)?;
        writeln!(out)?;
        return Ok(());
    }
    out.write_all(screen(planned).as_bytes())?;
    Ok(())
}

fn screen(planned: &Planned) -> String {
    let mut lines = of_keys(&planned.plan);
    lines.extend(of_caches(&planned.returning));
    if let Some(streams) = &planned.streams {
        lines.extend(of_streams(streams));
    }
    lines.push("afterwards".to_owned());
    let shares = planned.plan.shares.iter();
    let shares = shares.map(|(id, share)| (id.clone(), *share));
    lines.extend(list(shares.collect(), |id, share| {
        format!("  {:>7}  {id}", percent(share))
    }));
    lines.join("\n") + "\n"
}

fn of_keys(plan: &Plan) -> Vec<String> {
    let slots = plan.slots.map_or_else(String::new, |slots| {
        format!(" ({} of {} slots)", slots.moved, slots.of)
    });
    let sample = if plan.sampled { "; by a sample" } else { "" };
    let (moved, ideal) = (percent(plan.moved), percent(plan.ideal));
    let mut lines = vec![format!(
        "{moved} of the keys move{slots}; at least {ideal} have to{sample}"
    )];
    let ways = plan.moves.iter();
    let ways = ways.map(|Move { from, to, share }| (format!("{from} -> {to}"), *share));
    lines.extend(list(ways.collect(), |way, share| {
        format!("  {:>7}  {way}", percent(share))
    }));
    let readdressed = plan.readdressed.iter().map(|id| {
        format!("  {id} has another address: its keys stay, its open streams have to end")
    });
    lines.extend(readdressed.take(MAX_LINES));
    lines
}

fn of_caches(returning: &[Returning]) -> Vec<String> {
    let worth_a_line = |returning: &&Returning| returning.share >= LEAST_SHARE;
    let lines = returning.iter().filter(worth_a_line).take(MAX_LINES);
    let lines = lines.map(|Returning { member, share }| {
        format!(
            "{} of the keys go back to {member}, which had them in the same incarnation: what it has cached of them may be stale; restart it first",
            percent(*share)
        )
    });
    lines.collect()
}

fn of_streams(streams: &Streams) -> Vec<String> {
    let (open, ending) = (streams.open, streams.ending);
    let mut lines = vec![match (streams.window_ms, streams.split_ms) {
        (Some(window), Some(split)) => format!(
            "about {ending} of {open} open streams end, over {}; a document is split for {} at most",
            time(window),
            time(split)
        ),
        _ => format!(
            "about {ending} of {open} open streams are then at a wrong member; draining is off, so each stays there until it ends by itself"
        ),
    }];
    let members = streams.by_member.iter();
    let members = members.map(|(id, ending)| (id.clone(), *ending as f64));
    lines.extend(list(members.collect(), |id, ending| {
        format!("  {ending:>7}  on {id}")
    }));
    lines
}

/// As they are when they are few; else the largest, and how many are left out.
fn list(mut rows: Vec<(String, f64)>, line: impl Fn(&str, f64) -> String) -> Vec<String> {
    let left_out = rows.len().saturating_sub(MAX_LINES);
    if left_out > 0 {
        rows.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        rows.truncate(MAX_LINES);
    }
    let mut lines: Vec<String> = rows.iter().map(|(name, n)| line(name, *n)).collect();
    if left_out > 0 {
        lines.push(format!("           and {left_out} smaller ones"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rebalance::PlanBasis;
    use crate::rebalance::machine::{Pace, Past};
    use sharding::{Assignment, Member, Policy, Roster};

    fn assignment(count: u16) -> Assignment {
        let members =
            (1..=count).map(|n| Member::new(format!("m{n}"), ([127, 0, 0, 1], n).into(), 1));
        let roster = Roster::new(members.collect()).unwrap();
        Assignment::new(0, Policy::default(), roster)
    }

    fn planned(before: u16, after: u16, pace: Option<Pace>) -> Planned {
        let after = assignment(after);
        let basis = PlanBasis {
            before: assignment(before),
            past: vec![Past {
                epoch: 0,
                policy: after.policy(),
                members: after.roster().clone(),
            }],
            open: Some(BTreeMap::from([("m1".to_owned(), 1000)])),
            pace,
            hold_ms: 40,
        };
        basis.plan(&after)
    }

    #[test]
    fn a_plan_says_what_moves_and_what_it_costs() {
        let pace = Pace {
            rate: 2000,
            max_window_ms: 2000,
        };
        let text = screen(&planned(2, 3, Some(pace)));
        let lines: Vec<_> = text.lines().collect();
        let first = "33.3 % of the keys move (21849 of 65537 slots); at least 33.3 % have to";
        assert_eq!(lines[0], first);
        assert!(text.contains("go back to m3"), "{text}");
        assert!(text.contains("of 1000 open streams end, over 1"), "{text}");
        assert!(text.contains("a document is split for 2"), "{text}");
        assert_eq!(lines.last(), Some(&"   33.3 %  m3"));
    }

    #[test]
    fn without_draining_it_says_that_streams_stay() {
        let text = screen(&planned(2, 3, None));
        assert!(text.contains("draining is off"), "{text}");
    }

    #[test]
    fn many_members_still_fit_on_a_screen() {
        let text = screen(&planned(60, 61, None));
        assert!(text.lines().count() < 70, "{text}");
        assert!(text.contains("smaller ones"));
    }
}
