//! Which streams end, and which do not, when a key gets another owner. Members
//! and filter come from files here, so that each step is one of the test's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use sharding::{Assignment, Drain, FilterConfig, Phase, Policy, Report, Roster, SHARD_KEY};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use yorkies_tests::{
    Client, Envoy, Files, Member, Protocol, ReportSink, Request, STAY_SILENT, Session,
    TestEnvironment, Traffic, Watch, Watchers, equal_weights, eventually, filter_module, keys,
    patience, settled,
};

const WATCH: &str = "/yorkie.v1.YorkieService/Watch";
const PUSH: &str = "/yorkie.v1.YorkieService/PushPullChanges";
const AT_ONCE: Drain = Drain::Release { window_ms: 0 };

/// Long enough for the filter to look at its streams once more.
const LOOK: Duration = Duration::from_millis(2_200);

/// An Envoy with two workers, told by files.
struct Scene {
    files: Files,
    envoy: Envoy,
    reports: ReportSink,
    clients: [Client; 2],
    epoch: u64,
}

impl Scene {
    async fn start(env: &mut TestEnvironment, members: &[Member]) -> Result<Self> {
        let files = Files::new(env.folder(), &filter_module()?)?;
        let reports = ReportSink::start().await?;
        let roster = Roster::new(equal_weights(members))?;
        files.set_members(&roster)?;
        files.set_filter(&config(1, &roster, AT_ONCE))?;
        let bootstrap = files.bootstrap("envoy-0", reports.address());
        let envoy = env.envoy_of_bootstrap(&bootstrap).await?;
        let clients = [
            envoy.client(Protocol::H2c).await?,
            envoy.client(Protocol::Http1).await?,
        ];
        let this = Self {
            files,
            envoy,
            reports,
            clients,
            epoch: 1,
        };
        this.settle().await?;
        Ok(this)
    }

    /// Waits until every worker knows the epoch.
    async fn settle(&self) -> Result<()> {
        let clients: Vec<_> = self.clients.iter().collect();
        settled(&clients, self.epoch - 1).await.map(drop)
    }

    /// Gives Envoy other members, and waits until they are on their way to the
    /// workers, before the filter is told.
    async fn members(&self, roster: &Roster) -> Result<()> {
        let updates = async || self.stat("cluster.yorkie.update_success").await;
        let before = updates().await?;
        self.files.set_members(roster)?;
        eventually("updated", async || {
            ensure!(updates().await? > before, "no update of the members");
            anyhow::Ok(())
        })
        .await
    }

    /// Tells the filter of a new epoch.
    async fn assign(&mut self, roster: &Roster, drain: Drain) -> Result<()> {
        self.epoch += 1;
        self.files.set_filter(&config(self.epoch, roster, drain))?;
        self.settle().await
    }

    /// Allows it to drain.
    fn release(&self, roster: &Roster, window_ms: u64) -> Result<Instant> {
        let now = Instant::now();
        let release = Drain::Release { window_ms };
        self.files
            .set_filter(&config(self.epoch, roster, release))?;
        Ok(now)
    }

    async fn stat(&self, name: &str) -> Result<u64> {
        let stats = self.envoy.admin()?.stats().await?;
        stats.get(name).copied().with_context(|| name.to_owned())
    }

    async fn filter_stat(&self, name: &str) -> Result<u64> {
        self.stat(&format!("wasmcustom.yorkies.{name}")).await
    }

    async fn expect_stat(&self, name: &str, expected: u64) -> Result<()> {
        eventually("as expected", async || {
            let found = self.filter_stat(name).await?;
            ensure!(found == expected, "{name} is {found}, not {expected}");
            Ok(())
        })
        .await
    }

    /// Watches these documents, each over both protocols.
    async fn watch(&self, documents: &[String]) -> Result<Watchers> {
        let proxy = self.envoy.address().await?;
        let watches = [Protocol::H2c, Protocol::Http1].map(|protocol| {
            documents.iter().map(move |key| Watch {
                key: key.clone(),
                proxy,
                protocol,
            })
        });
        Watchers::start(watches.into_iter().flatten().collect()).await
    }

    /// The last report of each VM.
    fn last_reports(&self) -> Vec<Report> {
        let all = self.reports.reports().into_iter();
        let last: BTreeMap<_, _> = all.map(|(_, report)| (report.vm, report)).collect();
        last.into_values().collect()
    }
}

fn config(epoch: u64, roster: &Roster, drain: Drain) -> FilterConfig {
    FilterConfig {
        members: Some(roster.clone()),
        drain,
        ..Files::config(epoch)
    }
}

fn assignment(roster: &Roster) -> Assignment {
    Assignment::new(0, Policy::default(), roster.clone())
}

/// The watches whose key has another owner, or whose owner another address.
fn moved(watchers: &Watchers, before: &Roster, after: &Roster) -> BTreeSet<usize> {
    let [before, after] = [before, after].map(assignment);
    let address = |assignment: &Assignment, key: &str| {
        let owner = assignment.owner(key.as_bytes());
        owner.map(|owner| owner.member.address)
    };
    let all = watchers.watches().iter().enumerate();
    let moved = all.filter(|(_, watch)| {
        let key = watch.key.as_str();
        address(&before, key) != address(&after, key)
    });
    moved.map(|(index, _)| index).collect()
}

/// The watches of sessions, which must be of different ones.
fn watches_of(sessions: &[Session]) -> Result<BTreeSet<usize>> {
    let watches: BTreeSet<_> = sessions.iter().map(|session| session.watch).collect();
    ensure!(watches.len() == sessions.len(), "one ended twice");
    Ok(watches)
}

/// Waits until exactly that many have ended since, and tells how long the last
/// took.
async fn ended(watchers: &Watchers, since: Instant, count: usize) -> Result<Duration> {
    eventually("ended", async || {
        let sessions = watchers.ended_since(since);
        ensure!(sessions.len() >= count, "{} of {count}", sessions.len());
        Ok(())
    })
    .await?;
    let ended = watchers.ended_since(since).into_iter();
    let last = ended.filter_map(|session| Some(session.ended?.0)).max();
    Ok(last.unwrap_or(since) - since)
}

#[test]
fn exactly_the_streams_that_moved_end_on_release_and_none_before() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let three = Roster::new(equal_weights(&members[..3]))?;
        let four = Roster::new(equal_weights(&members))?;
        let mut scene = Scene::start(env, &members[..3]).await?;
        let watchers = scene.watch(&keys(120)).await?;
        let traffic = Traffic::start(scene.clients[0].clone(), keys(50));
        let moved = moved(&watchers, &three, &four);
        ensure!((20..120).contains(&moved.len()), "{moved:?}");
        scene.expect_stat("open_streams", 240).await?;

        let start = Instant::now();
        scene.members(&four).await?;
        scene.assign(&four, Drain::Hold).await?;
        scene
            .expect_stat("misplaced_streams", moved.len() as u64)
            .await?;
        tokio::time::sleep(LOOK).await;
        let early = watchers.ended_since(start);
        ensure!(early.is_empty(), "ended while on hold: {early:?}");

        let release = scene.release(&four, 0)?;
        let took = ended(&watchers, release, moved.len()).await?;
        scene.expect_stat("misplaced_streams", 0).await?;
        scene
            .expect_stat("drained.reset", moved.len() as u64)
            .await?;
        tokio::time::sleep(LOOK).await;
        let sessions = watchers.ended_since(start);
        ensure!(watches_of(&sessions)? == moved, "{sessions:#?}");
        println!("{} streams ended within {took:?}", moved.len());
        let version = scene.envoy.admin()?.version().await?;
        for session in &sessions {
            let (_, how) = session.ended.as_ref().context("it has ended")?;
            let is_http2 = watchers.watches()[session.watch].protocol == Protocol::H2c;
            // A reset of its stream, with INTERNAL_ERROR, or from Envoy 1.36 with NO_ERROR, which looks like an
            // end; or the connection closed amid a chunked body.
            let as_expected = match (is_http2, version) {
                (true, (1, 36)) => how == "end",
                (true, _) => how.contains("internal error"),
                (false, _) => how.contains("unexpected EOF"),
            };
            ensure!(as_expected, "{how} from Envoy {version:?}");
        }

        // They are back, and everybody is where the assignment says.
        eventually("back", async || {
            ensure!(watchers.open().len() == 240);
            Ok(())
        })
        .await?;
        let owners = assignment(&four);
        for session in watchers.open() {
            let key = &watchers.watches()[session.watch].key;
            let owner = owners.owner(key.as_bytes()).context("no owner")?.member;
            ensure!(session.address == owner.address, "{key}: {session:?}");
        }
        ensure!(watchers.refusals().is_empty(), "{:?}", watchers.refusals());
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "{report:?}");
        scene.expect_stat("drain_stopped", 0).await?;
        expect_told(&scene, moved.len() as u64)
    });
}

/// Each of the two members at the address of the other.
fn swapped(members: &[Member]) -> Result<Roster> {
    let mut entries = equal_weights(members);
    let [a, b] = &mut entries[..] else {
        anyhow::bail!("two members are swapped");
    };
    std::mem::swap(&mut a.address, &mut b.address);
    Ok(Roster::new(entries)?)
}

/// Both workers have told of every step.
fn expect_told(scene: &Scene, moved: u64) -> Result<()> {
    let last = scene.last_reports();
    ensure!(last.len() == 2, "one VM for each worker: {last:#?}");
    let sum = |of: fn(&Report) -> u64| last.iter().map(of).sum::<u64>();
    ensure!(sum(|report| report.open) == 240, "{last:#?}");
    ensure!(sum(|report| report.drained) == moved, "{last:#?}");
    let members = last.iter().flat_map(|report| &report.members);
    ensure!(members.map(|member| member.open).sum::<u64>() == 240);
    for report in &last {
        let is_done = report.misplaced == 0 && report.phase() == Phase::Released;
        ensure!(is_done && report.epoch == scene.epoch, "{report:?}");
        ensure!(report.node == "envoy-0", "{report:?}");
        let of_vm = scene.reports.reports().into_iter();
        let of_vm = of_vm.filter(|(_, other)| other.vm == report.vm && other.epoch == scene.epoch);
        let mut steps: Vec<_> = of_vm
            .map(|(_, report)| (report.phase(), report.misplaced > 0))
            .collect();
        steps.dedup();
        let all = [(Phase::Hold, true), (Phase::Released, false)];
        steps.retain(|step| *step != (Phase::Released, true));
        ensure!(steps == all, "{steps:?}");
    }
    Ok(())
}

#[test]
fn watchers_of_one_document_leave_together_over_the_window() {
    const WINDOW: u64 = 1_000;
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
        let release = scene.release(&second, WINDOW)?;
        ended(&watchers, release, 320).await?;

        let mut by_document = BTreeMap::<_, Vec<_>>::new();
        for session in watchers.ended_since(release) {
            let key = watchers.watches()[session.watch].key.clone();
            let (at, _) = session.ended.context("it has ended")?;
            by_document.entry(key).or_default().push(at - release);
        }
        let mut tenths = [0_usize; 10];
        for (key, ends) in by_document {
            let (first, last) = (ends.iter().min(), ends.iter().max());
            let (first, last) = first.zip(last).context("no end")?;
            let spread = last.saturating_sub(*first);
            ensure!(ends.len() == 8, "{key}: {ends:?}");
            ensure!(spread < Duration::from_millis(150), "{key}: {ends:?}");
            let tenth = (first.as_millis() as usize / 100).min(9);
            tenths[tenth] += 1;
        }
        let busy = tenths.iter().filter(|count| **count > 0).count();
        ensure!(busy >= 7, "not spread: {tenths:?}");
        Ok(())
    });
}

#[test]
fn a_wrong_assignment_ends_each_stream_once_at_most_and_then_nothing() {
    TestEnvironment::run(async |env| {
        // The alarm is an error in Envoy's log.
        env.expect_faults();
        let members = env.members(2).await?;
        let right = Roster::new(equal_weights(&members))?;
        let swapped = swapped(&members)?;
        let mut scene = Scene::start(env, &members).await?;
        let watchers = scene.watch(&keys(80)).await?;
        let start = Instant::now();
        scene.assign(&swapped, AT_ONCE).await?;
        eventually("stopped", async || {
            let stopped = scene.filter_stat("drain_stopped").await?;
            ensure!(stopped == 2, "{stopped} of 2 workers have stopped");
            Ok(())
        })
        .await?;
        let after_stop = Instant::now();
        tokio::time::sleep(LOOK).await;
        let sessions = watchers.ended_since(start);
        watches_of(&sessions)?;
        println!("{} of 160 streams ended", sessions.len());
        ensure!(watchers.ended_since(after_stop).is_empty());
        ensure!(scene.filter_stat("prediction_mismatches").await? > 0);
        let stopped = scene
            .last_reports()
            .into_iter()
            .all(|report| report.phase() == Phase::Stopped);
        ensure!(stopped, "{:#?}", scene.last_reports());
        let log = scene.envoy.log().await?;
        let alarms = log
            .matches("requests go elsewhere than epoch 2 says")
            .count();
        ensure!(alarms == 2, "{alarms} alarms");

        // The next one is right: nobody has to move, and draining goes on.
        scene.assign(&right, AT_ONCE).await?;
        eventually("going on", async || {
            scene.clients[1].ask(&keys(1)[0]).await?;
            scene.settle().await?;
            ensure!(scene.filter_stat("drain_stopped").await? == 0);
            Ok(())
        })
        .await?;
        tokio::time::sleep(LOOK).await;
        ensure!(watchers.ended_since(after_stop).is_empty());
        ensure!(watchers.open().len() == 160);
        Ok(())
    });
}

#[test]
fn a_wrong_assignment_that_is_held_at_first_ends_nothing() {
    TestEnvironment::run(async |env| {
        env.expect_faults();
        let members = env.members(2).await?;
        let swapped = swapped(&members)?;
        let mut scene = Scene::start(env, &members).await?;
        let watchers = scene.watch(&keys(80)).await?;
        let start = Instant::now();
        let traffic = Traffic::start(scene.clients[1].clone(), keys(50));
        // What it takes to be sure that all workers have it is evidence enough.
        scene.assign(&swapped, Drain::Hold).await?;
        scene.release(&swapped, 0)?;
        scene.expect_stat("drain_stopped", 2).await?;
        traffic.stop().await?;
        let sessions = watchers.ended_since(start);
        ensure!(sessions.is_empty(), "{sessions:#?}");
        Ok(())
    });
}

#[test]
fn streams_of_an_older_module_are_drained_too() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let two = Roster::new(equal_weights(&members[..2]))?;
        let three = Roster::new(equal_weights(&members))?;
        let mut scene = Scene::start(env, &members[..2]).await?;
        let watchers = scene.watch(&keys(90)).await?;
        let moved = moved(&watchers, &two, &three);
        scene.expect_stat("open_streams", 180).await?;

        let other = env.folder().join("other.wasm");
        let mut wasm = fs::read(filter_module()?)?;
        // A custom section: its number, its length, its name's length, its name.
        wasm.extend(b"\0\x06\x05other");
        fs::write(&other, wasm)?;
        scene.files.use_module(&other);
        scene.members(&three).await?;
        scene.assign(&three, Drain::Hold).await?;
        let held = Instant::now();
        tokio::time::sleep(LOOK * 2).await;
        ensure!(watchers.ended_since(held).is_empty());
        scene
            .expect_stat("misplaced_streams", moved.len() as u64)
            .await?;
        let release = scene.release(&three, 0)?;
        let took = ended(&watchers, release, moved.len()).await?;
        println!(
            "{} streams of the older module ended within {took:?}",
            moved.len()
        );
        tokio::time::sleep(LOOK).await;
        ensure!(watches_of(&watchers.ended_since(release))? == moved);
        scene.expect_stat("misplaced_streams", 0).await?;
        scene.expect_stat("open_streams", 180).await?;
        drop(watchers);
        scene.expect_stat("open_streams", 0).await
    });
}

#[test]
fn a_stream_that_waits_for_its_response_is_told_to_come_again_and_a_call_is_not() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let second = Roster::new(equal_weights(&members[1..]))?;
        let mut scene = Scene::start(env, &members[..1]).await?;
        let silent = |path: &str, content_type: &str| {
            let request = Request::new(Method::POST, path).header(SHARD_KEY, "project/document")?;
            let request = request.header("content-type", content_type)?;
            request.header(STAY_SILENT, "yes")
        };
        let waiting = |client: &Client, path: &'static str, content_type: &'static str| {
            let (client, request) = (client.clone(), silent(path, content_type));
            tokio::spawn(async move { client.send(&request?).await })
        };
        let [h2c, http1] = &scene.clients;
        let connect = waiting(h2c, WATCH, "application/connect+json");
        let grpc = waiting(h2c, WATCH, "application/grpc");
        let plain = waiting(http1, WATCH, "text/plain");
        let call = waiting(http1, PUSH, "application/json");
        eventually("at the member", async || {
            let silent = members[0].arrivals().into_iter();
            let silent = silent.filter(|arrival| arrival.key == "project/document");
            ensure!(silent.count() == 4);
            Ok(())
        })
        .await?;

        scene.members(&second).await?;
        scene.assign(&second, AT_ONCE).await?;
        let connect = connect.await??;
        ensure!(connect.status == StatusCode::OK, "{connect:?}");
        ensure!(
            connect.text().contains(r#""code":"unavailable""#),
            "{connect:?}"
        );
        let grpc = grpc.await??;
        ensure!(grpc.header("grpc-status")? == "14", "{grpc:?}");
        let plain = plain.await??;
        ensure!(plain.status == StatusCode::SERVICE_UNAVAILABLE, "{plain:?}");
        scene.expect_stat("drained.answered", 3).await?;
        tokio::time::sleep(LOOK).await;
        ensure!(!call.is_finished(), "a call is left to end");
        scene.expect_stat("drained.reset", 0).await?;
        call.abort();
        Ok(())
    });
}

#[test]
fn a_control_plane_that_cannot_be_told_is_no_harm() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let second = Roster::new(equal_weights(&members[1..]))?;
        let mut scene = Scene::start(env, &members[..1]).await?;
        let watchers = scene.watch(&keys(20)).await?;
        scene.members(&second).await?;
        scene.epoch += 1;
        let release = Instant::now();
        scene.files.set_filter(&FilterConfig {
            report_to: Some("nowhere".to_owned()),
            ..config(scene.epoch, &second, AT_ONCE)
        })?;
        ended(&watchers, release, 40).await?;
        eventually("counted", async || {
            let failed = scene.filter_stat("reports.failed").await?;
            ensure!(failed >= 4, "{failed} reports failed");
            Ok(())
        })
        .await?;
        ensure!(watchers.ended_since(release).len() == 40);
        Ok(())
    });
}

#[test]
fn websockets_end_too() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let second = Roster::new(equal_weights(&members[1..]))?;
        let mut scene = Scene::start(env, &members[..1]).await?;
        let upgrade = Request::new(Method::GET, "/socket")
            .header("connection", "upgrade")?
            .header("upgrade", "websocket")?;
        let connect = Request::connect("websocket", "/socket");
        let mut sockets = Vec::new();
        for (client, request) in scene.clients.iter().rev().zip([upgrade, connect]) {
            let request = request.header(SHARD_KEY, "project/document")?;
            let response = client.open(&request).await?;
            ensure!(!response.status().is_client_error(), "{response:?}");
            let mut socket = TokioIo::new(hyper::upgrade::on(response).await?);
            socket.write_all(b"hello").await?;
            let mut echo = [0; 5];
            socket.read_exact(&mut echo).await?;
            sockets.push(socket);
        }
        scene.members(&second).await?;
        scene.assign(&second, AT_ONCE).await?;
        for socket in &mut sockets {
            let mut rest = Vec::new();
            // An error or an end: it depends on the protocol.
            let _ = timeout(patience(), socket.read_to_end(&mut rest)).await?;
        }
        scene.expect_stat("drained.reset", 2).await
    });
}
