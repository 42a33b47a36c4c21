//! Measures how long a rebalance takes until no stream is misplaced, and whom
//! it cuts without need, beside what is usual without it: a timer that cuts
//! everybody.
//!
//! The same listener, the same streams and the same changes for all; only the
//! setting that ends streams differs.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use sharding::{Assignment, Policy, Roster};
use yorkies_tests::{
    ControlPlane, Envoy, Member, Protocol, Settings, TestEnvironment, Watch, Watchers, assignment,
    equal_weights, keys, settled, workspace,
};

/// For how long the members file has to rest, and after that the roster.
const WINDOWS: Duration = Duration::from_millis(250 + 250);

/// A practice that has not ended all streams that moved by then never will.
const GIVE_UP: Duration = Duration::from_secs(150);

const POLL: Duration = Duration::from_millis(5);

/// Time from a change of the members to no misplaced stream.
#[derive(Debug, Parser)]
struct Arguments {
    /// Open watches, over two proxies and both versions of HTTP.
    #[arg(long, default_value_t = 2000)]
    streams: usize,
    /// Documents that they are of.
    #[arg(long, default_value_t = 400)]
    documents: usize,
    /// Changes, alternately one server more and one less, under ours.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Changes under the timers, which take a minute each.
    #[arg(long, default_value_t = 3)]
    timer_rounds: usize,
    /// Only this one.
    #[arg(long, value_enum)]
    only: Option<Practice>,
}

/// What ends streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Practice {
    /// The drain of a rebalance, all at once.
    Drain,
    /// `stream_idle_timeout: 60s`, as Yorkie's chart has it.
    IdleTimeout,
    /// `max_connection_duration: 60s`.
    ConnectionDuration,
}

impl Practice {
    const ALL: [Self; 3] = [Self::Drain, Self::IdleTimeout, Self::ConnectionDuration];

    fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain, window 0",
            Self::IdleTimeout => "stream_idle_timeout: 60s",
            Self::ConnectionDuration => "max_connection_duration: 60s",
        }
    }

    fn settings(self) -> &'static str {
        match self {
            Self::Drain => "drain: { max_window: 0s }\n",
            Self::IdleTimeout | Self::ConnectionDuration => "drain: { enabled: false }\n",
        }
    }

    /// The example of an own listener with this practice's setting.
    fn listener(self, text: &str) -> String {
        match self {
            Self::Drain => text.to_owned(),
            Self::IdleTimeout => text
                .replace("stream_idle_timeout: 0s ", "stream_idle_timeout: 60s ")
                // That of the route has the last word.
                .replace(", idle_timeout: 0s", "")
                .replace("                  idle_timeout: 0s\n", ""),
            Self::ConnectionDuration => text.replace(
                "          use_remote_address: true\n",
                "          use_remote_address: true\n          common_http_protocol_options: { max_connection_duration: 60s }\n",
            ),
        }
    }
}

/// What came of one change.
struct Round {
    /// From the change to the end of the last stream that moved; `None`: not
    /// all have ended.
    time: Option<Duration>,
    moved: usize,
    unmoved: usize,
    /// Unmoved streams that were cut meanwhile.
    cut: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!(
        "{} streams of {} documents, 2 proxies with 2 workers each, 3 and 4 servers",
        arguments.streams, arguments.documents
    );
    println!(
        "times without the {WINDOWS:?} for which the members file and the roster have to rest\n"
    );
    println!(
        "{:<30} {:>7} {:>10} {:>10} {:>7} {:>16}",
        "", "changes", "median", "worst", "moved", "unmoved, but cut"
    );
    for practice in Practice::ALL {
        if arguments.only.is_some_and(|only| only != practice) {
            continue;
        }
        TestEnvironment::open(practice.name(), async |env| {
            let rounds = measure(env, practice, &arguments).await?;
            println!("{}", line(practice, &rounds));
            Ok(())
        })?;
    }
    Ok(())
}

async fn measure(
    env: &mut TestEnvironment,
    practice: Practice,
    arguments: &Arguments,
) -> Result<Vec<Round>> {
    let members = env.members(4).await?;
    let settings = Settings {
        listener: false,
        more: practice.settings(),
        ..Settings::default()
    };
    let control_plane = env.control_plane(settings).await?;
    let roster = |count: usize| Roster::new(equal_weights(&members[..count]));
    control_plane.members().replace(&roster(3)?)?;
    let mut wanted = Vec::new();
    for _ in 0..2 {
        let envoy = own_envoy(env, &control_plane, practice).await?;
        let client = envoy.client(Protocol::H2c).await?;
        settled(&[&client], 0).await?;
        let proxy = envoy.address().await?;
        let documents = keys(arguments.documents);
        let each = arguments.streams / 2;
        wanted.extend((0..each).map(|number| Watch {
            key: documents[number % documents.len()].clone(),
            proxy,
            protocol: if number < each / 5 {
                Protocol::Http1
            } else {
                Protocol::H2c
            },
        }));
    }
    let watchers = Watchers::start(wanted).await?;
    let rounds = match practice {
        Practice::Drain => arguments.rounds,
        Practice::IdleTimeout | Practice::ConnectionDuration => arguments.timer_rounds,
    };
    let mut results = Vec::new();
    for number in 0..rounds {
        let (from, to) = if number % 2 == 0 { (3, 4) } else { (4, 3) };
        let start = Instant::now();
        control_plane.members().replace(&roster(to)?)?;
        let moved = moved(
            &watchers,
            &expected(&members[..from])?,
            &expected(&members[..to])?,
        )?;
        let time = last_end(&watchers, &moved, start).await;
        results.push(Round {
            time: time.map(|time| time.saturating_sub(WINDOWS)),
            cut: cut(&watchers, &moved, start),
            unmoved: watchers.watches().len() - moved.len(),
            moved: moved.len(),
        });
        all_open(&watchers).await?;
    }
    Ok(results)
}

async fn own_envoy(
    env: &mut TestEnvironment,
    control_plane: &ControlPlane,
    practice: Practice,
) -> Result<Envoy> {
    let example = fs::read_to_string(workspace().join("envoy/own-listener.yaml"))?;
    let text = practice.listener(&example);
    ensure!(
        practice == Practice::Drain || text != example,
        "the example has changed: {practice:?} is not set"
    );
    let port = control_plane.address().port().to_string();
    let text = text
        .replace("port_value: 18000", &format!("port_value: {port}"))
        .replace("port_value: 9901", "port_value: 0")
        .replace(
            "address: 0.0.0.0, port_value: 8080",
            "address: 127.0.0.1, port_value: 0",
        );
    env.envoy_of_bootstrap(&text).await
}

fn expected(members: &[Member]) -> Result<Assignment> {
    assignment(Policy::default(), equal_weights(members))
}

fn moved(watchers: &Watchers, before: &Assignment, after: &Assignment) -> Result<BTreeSet<usize>> {
    let owner = |assignment: &Assignment, key: &str| -> Result<_> {
        let owner = assignment.owner(key.as_bytes()).context("no member")?;
        Ok(owner.member.address)
    };
    let mut moved = BTreeSet::new();
    for (index, watch) in watchers.watches().iter().enumerate() {
        if owner(before, &watch.key)? != owner(after, &watch.key)? {
            moved.insert(index);
        }
    }
    Ok(moved)
}

/// When the last of the streams that were open at `start` has ended.
async fn last_end(
    watchers: &Watchers,
    moved: &BTreeSet<usize>,
    start: Instant,
) -> Option<Duration> {
    while start.elapsed() < GIVE_UP {
        let old = |session: &yorkies_tests::Session| {
            session.opened < start && moved.contains(&session.watch)
        };
        if !watchers.open().iter().any(old) {
            let ended = watchers.ended_since(start);
            let ends = ended.iter().filter(|session| old(session));
            return ends
                .filter_map(|session| session.ended.as_ref())
                .map(|(at, _)| *at - start)
                .max();
        }
        tokio::time::sleep(POLL).await;
    }
    None
}

fn cut(watchers: &Watchers, moved: &BTreeSet<usize>, start: Instant) -> usize {
    let ended = watchers.ended_since(start);
    let cut: BTreeSet<_> = ended
        .iter()
        .map(|session| session.watch)
        .filter(|watch| !moved.contains(watch))
        .collect();
    cut.len()
}

async fn all_open(watchers: &Watchers) -> Result<()> {
    yorkies_tests::eventually("every stream open again", async || {
        let (open, all) = (watchers.open().len(), watchers.watches().len());
        ensure!(open == all, "{open} of {all}");
        Ok(())
    })
    .await
}

fn line(practice: Practice, rounds: &[Round]) -> String {
    let mut times: Vec<_> = rounds.iter().filter_map(|round| round.time).collect();
    times.sort();
    let all = times.len() == rounds.len();
    let shown = |time: Option<&Duration>| {
        time.map_or("-".to_owned(), |time| {
            format!("{:.0} ms", time.as_secs_f64() * 1e3)
        })
    };
    let worst = if all {
        shown(times.last())
    } else {
        format!("> {:.0} s", GIVE_UP.as_secs_f64())
    };
    let median = shown(times.get(times.len() / 2));
    let sum = |of: fn(&Round) -> usize| rounds.iter().map(of).sum::<usize>();
    let (moved, unmoved, cut) = (sum(|r| r.moved), sum(|r| r.unmoved), sum(|r| r.cut));
    format!(
        "{:<30} {:>7} {median:>10} {worst:>10} {moved:>7} {:>16}",
        practice.name(),
        rounds.len(),
        format!("{cut} of {unmoved}"),
    )
}
