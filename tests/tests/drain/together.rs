//! The ends of a paced drain: the watchers of one document together, different
//! documents one after another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sharding::{Drain, Roster, xxh64};
use yorkies_filter::drain::schedule::Release;
use yorkies_tests::{TestEnvironment, Watchers, equal_weights, keys};

use crate::pulse::Pulse;
use crate::scene::{Scene, ended, moved};

const WINDOW: Duration = Duration::from_secs(1);

/// Between the first and the last end of a document on a machine that does
/// nothing else: Envoy closes a connection of HTTP/1.1 after 50 ms
/// (`delayed_close_timeout` in these tests), and the filter takes the
/// streams that are due 32 at a time.
const SPREAD: Duration = Duration::from_millis(100);

#[test]
fn watchers_of_one_document_leave_together_over_the_window() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let rosters = [&members[..1], &members[1..]].map(|one| Roster::new(equal_weights(one)));
        let [first, second] = rosters;
        let (first, second) = (first?, second?);
        let mut scene = Scene::start(env, &members[..1]).await?;
        let documents: Vec<_> = keys(40).into_iter().cycle().take(160).collect();
        let watchers = scene.watch(&documents).await?;
        ensure!(moved(&watchers, &first, &second).len() == 320);
        scene.members(&second).await?;
        scene.assign(&second, Drain::Hold).await?;
        let pulse = Pulse::start(scene.envoy.address().await?);
        let release = scene.release(&second, WINDOW.as_millis() as u64)?;
        ended(&watchers, release, 320).await?;
        expect_together(&watchers, release, pulse.stop().await?, 8)
    });
}

/// That each document's `count` watchers left within a moment of each other,
/// and when the filter says. `stalls`: how long who works for this test was
/// kept waiting meanwhile.
pub(crate) fn expect_together(
    watchers: &Watchers,
    release: Instant,
    stalls: Duration,
    count: usize,
) -> Result<()> {
    let mut by_document = BTreeMap::<_, Vec<_>>::new();
    for session in watchers.ended_since(release) {
        let key = watchers.watches()[session.watch].key.clone();
        let (at, _) = session.ended.context("it has ended")?;
        by_document.entry(key).or_default().push(at - release);
    }
    let schedule = Release {
        since: Duration::ZERO,
        window: WINDOW,
    };
    let mut tenths = BTreeSet::new();
    let mut widest = Duration::ZERO;
    for (key, ends) in by_document {
        let moment = schedule.moment(xxh64(key.as_bytes(), 0));
        tenths.insert(moment.as_millis() / 100);
        let (first, last) = (ends.iter().min(), ends.iter().max());
        let (first, last) = first.zip(last).context("no end")?;
        ensure!(ends.len() == count, "{key}: {ends:?}");
        // Nobody's clock makes this wrong: the filter counts from later on.
        ensure!(
            *first >= moment,
            "{key} is due after {moment:?} and ended after {ends:?}"
        );
        widest = widest.max(last.saturating_sub(*first));
        ensure!(
            widest < SPREAD + stalls,
            "{key}: {ends:?}, with stalls of {stalls:?}"
        );
    }
    println!("documents left within {widest:?}, with stalls of {stalls:?}");
    ensure!(tenths.len() >= 7, "the test's documents are not spread");
    Ok(())
}
