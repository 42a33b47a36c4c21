//! Measures what the filter costs: CPU time of one Envoy per request, for the
//! filter and for what it is compared to (`variants`).
//!
//! One Envoy has listeners for all variants, and every round measures each of
//! them once in a new order, so that what else the machine does meets all
//! alike. Wall time is not measured: it says more about the client.

#![forbid(unsafe_code)]

mod bootstrap;
mod envoy;
mod figures;
mod load;
mod upstream;
mod variants;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::json;
use sharding::SHARD_EPOCH;

use bootstrap::{Behind, bootstrap, listener_name};
use envoy::Envoy;
use figures::{Series, lines, table};
use load::Load;
use variants::{EMPTY, EMPTY_SHIPPED, Modules, NONE, Variant, variants};

/// Rounds before those that count: V8 compiles what is called often.
const WARM_UP: u32 = 10;
/// After the last answer Envoy still tidies up.
const SETTLE: Duration = Duration::from_millis(3);

/// CPU time of Envoy per request, with the filter and without.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The Envoy.
    #[arg(long)]
    envoy: PathBuf,
    /// Folder of the modules as linked.
    #[arg(long)]
    linked: PathBuf,
    /// Folder of the modules as shipped.
    #[arg(long)]
    shipped: PathBuf,
    /// Another build of the filter to measure, as NAME=FILE; can be repeated.
    #[arg(long, value_parser = named)]
    also: Vec<(String, PathBuf)>,
    /// Rounds.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Requests of one measurement.
    #[arg(long, default_value_t = 960)]
    requests: u32,
    /// Only variants with this in their name.
    #[arg(long)]
    only: Option<String>,
    /// Decides the order within the rounds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// All figures as JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// One thing that is measured in each round.
struct Place<'a> {
    variant: &'a Variant,
    behind: Behind,
    load: Load,
    rounds: Vec<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let modules = Modules {
        linked: std::path::absolute(&arguments.linked)?,
        shipped: std::path::absolute(&arguments.shipped)?,
        others: arguments.also.clone(),
    };
    let mut variants = variants(&modules);
    if let Some(only) = &arguments.only {
        variants.retain(|variant| variant.name.contains(only));
    }
    let members = upstream::start(variants::MEMBERS)?;
    let mut envoy = Envoy::start(&arguments.envoy, &bootstrap(&variants, &members))?;
    let mut places = places(&mut envoy, &variants).await?;
    let mut order: Vec<usize> = (0..places.len()).collect();
    let mut random = Random(arguments.seed);
    for round in 0..WARM_UP + arguments.rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let micros = measure(&envoy, &mut places[index], arguments.requests).await?;
            if round >= WARM_UP {
                places[index].rounds.push(micros);
            }
        }
    }
    report(&arguments, &places);
    Ok(())
}

/// Connects to every listener, and sees that each variant does its work.
async fn places<'a>(envoy: &mut Envoy, variants: &'a [Variant]) -> Result<Vec<Place<'a>>> {
    let listeners = envoy.listeners().await?;
    let mut places = Vec::new();
    for behind in Behind::ALL {
        for variant in variants.iter().filter(|variant| behind.can_have(variant)) {
            let name = listener_name(variant, behind);
            let address = listeners.get(&name);
            let address = address.with_context(|| format!("no listener {name:?}"))?;
            let mut load = Load::connect(*address).await?;
            if behind == Behind::Member {
                let headers = load.echo(variant).await;
                let headers =
                    headers.with_context(|| format!("{} fails\n{}", variant.name, envoy.log()))?;
                let annotated = headers.contains_key(SHARD_EPOCH);
                let wanted = variant.annotates.unwrap_or(annotated);
                ensure!(annotated == wanted, "{name:?}: {headers:?}");
            }
            places.push(Place {
                variant,
                behind,
                load,
                rounds: Vec::new(),
            });
        }
    }
    Ok(places)
}

/// CPU time per request, in microseconds.
async fn measure(envoy: &Envoy, place: &mut Place<'_>, requests: u32) -> Result<f64> {
    let with_body = place.behind == Behind::Member;
    let before = envoy.cpu_time()?;
    let sent = place.load.run(place.variant, requests, with_body).await;
    let sent = sent.with_context(|| format!("{}: {}", place.variant.name, place.behind.name()))?;
    tokio::time::sleep(SETTLE).await;
    let taken = envoy.cpu_time()?.saturating_sub(before);
    Ok(taken.as_secs_f64() * 1e6 / f64::from(sent))
}

fn report(arguments: &Arguments, places: &[Place<'_>]) {
    let tables = Behind::ALL.map(|behind| {
        let places = places.iter().filter(|place| place.behind == behind);
        let series: Vec<_> = places
            .map(|place| Series {
                name: place.variant.name.clone(),
                rounds: place.rounds.clone(),
            })
            .collect();
        let references = [NONE, EMPTY, EMPTY_SHIPPED];
        (behind, lines(&series, NONE, &references), series)
    });
    if arguments.json {
        let tables = tables.map(|(behind, lines, series)| {
            json!({ "behind": behind.name(), "lines": lines, "series": series })
        });
        println!("{}", json!(tables));
        return;
    }
    println!(
        "CPU time of Envoy per request, medians of {} rounds of {} requests.\n\
         `added` is over no filter, in us; `x` is a ratio within the same round. On a busy\n\
         machine everything is dearer than it is: `least` says what it comes to without that.",
        arguments.rounds, arguments.requests
    );
    for (behind, lines, _) in tables {
        let headings = ["x no filter", "x empty", "x empty, ship."];
        println!("\n{}\n{}", behind.title(), table(&lines, &headings));
    }
}

fn named(text: &str) -> Result<(String, PathBuf)> {
    let (name, file) = text.split_once('=').context("expected NAME=FILE")?;
    Ok((name.to_owned(), std::path::absolute(Path::new(file))?))
}

/// Random enough to mix an order: `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            let chosen = (self.next() % (last as u64 + 1)) as usize;
            order.swap(last, chosen);
        }
    }
}
