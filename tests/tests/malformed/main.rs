//! Garbage from clients harms nobody: not the filter, not the requests beside
//! it.

mod requests;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use sharding::SHARD_KEY;
use yorkies_tests::{
    Memory, Mode, Refusal, Reply, Request, Router, Settings, TestEnvironment, Traffic,
    equal_weights, eventually, keys,
};

use requests::malformed;

/// Requests in a batch, batches in a half, and most halves.
const BATCH: usize = 500;
const HALF: usize = 10;
const MOST_HALVES: usize = 5;

/// Printed by a failure, so that it can be tried again.
const SEED: u64 = 0x5eed;

/// What a connection takes at once even if nobody reads it: only while a longer
/// body is still on its way can its refusal end the stream or the connection
/// under a client that writes.
const IN_FLIGHT: usize = 64 * 1024;

/// Most of all requests that may go without a reply for that reason; on a quiet
/// machine it is none.
const MOST_CUT_SHORT: usize = 50;

/// What Envoy itself may have allocated more after a half than before it: a
/// fraction of the dozens of megabytes that a half sends it.
const MOST_GROWTH: u64 = 4 << 20;

/// Counters of Envoy's that tell of a virtual machine that failed.
const VM_FAULTS: [&str; 5] = [
    "wasm.yorkies.vm_reload",
    "wasm.yorkies.vm_reload_backoff",
    "wasm.yorkies.vm_reload_failure",
    "wasm.yorkies.vm_reload_success",
    "wasmcustom.yorkies.host.errors",
];

/// Reasons to be refused that this garbage has to reach: else it tests little.
const REASONS: [&str; 8] = [
    "conflicting",
    "forged",
    "malformed",
    "no_key",
    "outsider",
    "too_large",
    "unknown_id",
    "unreadable",
];

/// What became of the requests.
#[derive(Debug, Default)]
struct Seen {
    answered: usize,
    /// By code.
    refused: BTreeMap<&'static str, usize>,
    cut_short: usize,
}

#[test]
fn ten_thousand_malformed_requests_disturb_nobody() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let settings = Settings::default();
        let router = Router::start(env, settings, Mode::Delta, equal_weights(&members)).await?;
        let admin = router.envoy.admin()?;
        let vms = admin.stats().await?["wasm.envoy.wasm.runtime.v8.created"];
        let traffic = Traffic::start(router.h2c.clone(), keys(50));
        let mut rng = Rng::with_seed(SEED);
        let mut seen = Seen::default();
        batches(&router, &mut rng, &mut seen).await?;
        let mut memory = vec![router.envoy.memory().await?];
        // How many requests meet by chance decides how much is needed at once. But what leaks, leaks every time.
        while memory.len() < 2 || (is_growing(&memory) && memory.len() < MOST_HALVES) {
            batches(&router, &mut rng, &mut seen).await?;
            memory.push(router.envoy.memory().await?);
        }
        ensure!(!is_growing(&memory), "{memory:?} (seed {SEED:#x})");
        ensure!(
            seen.answered > 0 && seen.cut_short <= MOST_CUT_SHORT,
            "{seen:?} (seed {SEED:#x})"
        );
        eventually("counted", async || {
            expect_counted(&admin.stats().await?, &seen)
        })
        .await?;
        let stats = admin.stats().await?;
        for name in VM_FAULTS {
            ensure!(stats.get(name) == Some(&0), "{name}: {:?}", stats.get(name));
        }
        ensure!(stats["wasm.envoy.wasm.runtime.v8.created"] == vms);
        traffic.stop().await?.expect_flawless()
    });
}

/// Whether the last half left more than it found: in the filters a single page,
/// in Envoy, whose buffers are its own, more than [`MOST_GROWTH`].
fn is_growing(memory: &[Memory]) -> bool {
    let [.., before, after] = memory else {
        return true;
    };
    after.wasm > before.wasm || after.allocated > before.allocated + MOST_GROWTH
}

async fn batches(router: &Router, rng: &mut Rng, seen: &mut Seen) -> Result<()> {
    for number in 0..HALF {
        let requests: Result<Vec<_>> = (0..BATCH).map(|_| malformed(rng)).collect();
        let requests = requests?;
        let client = if number % 2 == 0 {
            &router.h2c
        } else {
            &router.http1
        };
        let replies = client.send_all(requests.clone()).await?;
        for (request, reply) in requests.iter().zip(replies) {
            match reply {
                Ok(reply) => seen.note(request, &reply),
                Err(_) if request.content().len() > IN_FLIGHT => {
                    seen.cut_short += 1;
                    Ok(())
                }
                Err(error) => Err(error),
            }
            .with_context(|| format!("{request:?} (seed {SEED:#x})"))?;
        }
    }
    Ok(())
}

impl Seen {
    /// Every reply is from the member that owns what it was asked for, or a
    /// refusal that its caller understands.
    fn note(&mut self, request: &Request, reply: &Reply) -> Result<()> {
        let Ok(answer) = reply.answer() else {
            let refusal = Refusal::read(reply, request.content_type())?;
            let is_for_now = refusal.code == "unavailable";
            ensure!(
                !is_for_now || refusal.message.contains("not known to this proxy"),
                "only an unknown id may pass: {refusal:?}"
            );
            *self.refused.entry(refusal.code).or_default() += 1;
            return Ok(());
        };
        answer.epoch()?;
        if !answer.all(SHARD_KEY).is_empty() {
            answer.key()?;
            ensure!(answer.owner()? == answer.member, "{answer:?}");
        }
        self.answered += 1;
        Ok(())
    }
}

/// The filter has refused as many as were seen refused, each for one reason.
fn expect_counted(stats: &BTreeMap<String, u64>, seen: &Seen) -> Result<()> {
    let prefix = "wasmcustom.yorkies.requests.refused.";
    let reasons: BTreeMap<_, _> = stats
        .iter()
        .filter_map(|(name, count)| Some((name.strip_prefix(prefix)?, *count)))
        .collect();
    for reason in REASONS {
        ensure!(reasons.get(reason) > Some(&0), "no {reason}: {reasons:?}");
    }
    let counted = usize::try_from(reasons.values().sum::<u64>())?;
    let refused: usize = seen.refused.values().sum();
    ensure!(
        (refused..=refused + seen.cut_short).contains(&counted),
        "{counted} were refused, but {seen:?} were seen: {reasons:?}"
    );
    Ok(())
}
