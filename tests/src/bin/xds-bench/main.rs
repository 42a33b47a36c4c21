//! Measures an xDS server with many proxies: how long they take to get their
//! first configuration and a change of one member's weight, and what the
//! server needs for it.
//!
//! The proxies are connections with one stream that ask and accept as Envoy
//! does. They read into one buffer, on one thread; still they take their share
//! of the machine, and who is served last has waited for that, too.

#![forbid(unsafe_code)]

mod tables;
mod target;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, Parser, ValueEnum};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use yorkies_tests::{Crowd, Kind, Mode, TestEnvironment, Times, Usage};

use target::Target;

/// Before a reading nothing has come for this long: longer than what a
/// rebalance waits for.
const REST: Duration = Duration::from_millis(1500);

/// First configuration and changes, over many proxies.
#[derive(Debug, Parser)]
struct Arguments {
    /// Proxies that connect at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 3000])]
    proxies: Vec<usize>,
    /// Members, each with one endpoint, of a control plane that is started here.
    #[arg(long, default_value_t = 1000)]
    members: u32,
    /// Variants of the protocol.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Variant::Delta, Variant::Sotw])]
    modes: Vec<Variant>,
    /// Types that proxies ask for.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    types: Vec<Kind>,
    /// Names under which they ask for endpoints if they do not ask for
    /// clusters.
    #[arg(long, value_delimiter = ',')]
    endpoints: Vec<String>,
    /// Changes for each crowd of proxies.
    #[arg(long, default_value_t = 5)]
    changes: usize,
    /// How often everything is done, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    other: Option<External>,
}

/// Another control plane than one that is started here.
#[derive(Debug, Clone, Args)]
#[group(requires_all = ["target", "pid", "trigger"])]
struct External {
    /// Where it serves the aggregated service, without TLS.
    #[arg(long, required = false)]
    target: SocketAddr,
    /// The number of its process.
    #[arg(long, required = false)]
    pid: u32,
    /// A command for the shell that makes it change what it serves.
    #[arg(long, required = false)]
    trigger: String,
}

/// [`Mode`], on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Variant {
    Delta,
    Sotw,
}

impl From<Variant> for Mode {
    fn from(variant: Variant) -> Self {
        match variant {
            Variant::Delta => Self::Delta,
            Variant::Sotw => Self::Sotw,
        }
    }
}

/// What one crowd of proxies saw.
#[derive(Debug, Clone)]
struct Run {
    proxies: usize,
    mode: Mode,
    sync: Times,
    changes: Vec<Times>,
    /// Before any proxy came, with all of them at rest, and after the changes;
    /// peaks are those of the time before.
    before: Usage,
    synced: Usage,
    after: Usage,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    TestEnvironment::open("xds", async |env| {
        // The proxies' wake-ups shall not cross threads.
        let one_thread = || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(LocalSet::new().run_until(measure(env, &arguments)))
        };
        let result = thread::scope(|scope| scope.spawn(one_thread).join());
        result.map_err(|_| anyhow!("the simulator has panicked"))?
    })
}

async fn measure(env: &mut TestEnvironment, arguments: &Arguments) -> Result<()> {
    let mut runs = Vec::new();
    for _ in 0..arguments.rounds {
        for &proxies in &arguments.proxies {
            for &variant in &arguments.modes {
                let run = run(env, arguments, proxies, variant.into()).await?;
                tables::run(&run);
                runs.push(run);
            }
        }
    }
    tables::medians(&runs);
    Ok(())
}

async fn run(
    env: &mut TestEnvironment,
    arguments: &Arguments,
    proxies: usize,
    mode: Mode,
) -> Result<Run> {
    let mut target = match &arguments.other {
        Some(other) => Target::Other(other),
        None => Target::ours(env, arguments.members).await?,
    };
    let process = target.process()?;
    tokio::time::sleep(REST).await;
    let before = Usage::of(process)?;
    let (types, endpoints) = (&arguments.types, &arguments.endpoints);
    let mut crowd = Crowd::connect(target.address(), proxies, mode, types, endpoints);
    let sync = crowd.done().await?;
    crowd.silent(REST).await?;
    let synced = Usage::of(process)?;

    Usage::forget_peak(process)?;
    let mut changes = Vec::new();
    for _ in 0..arguments.changes {
        crowd.expect_change();
        target.change().await?;
        changes.push(crowd.done().await?);
        crowd.silent(REST).await?;
    }
    let after = Usage::of(process)?;
    Ok(Run {
        proxies,
        mode,
        sync,
        changes,
        before,
        synced,
        after,
    })
}
