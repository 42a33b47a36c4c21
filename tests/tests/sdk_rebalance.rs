//! The real JS SDK while documents move: nobody loses an edit.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use document_server::sdk::{Run, start_two_clients};
use serde_json::Value;
use sharding::{Member as Entry, Policy};
use yorkies_tests::{
    Cluster, DocumentServer, DocumentStore, Mode, Settings, TestEnvironment, assignment, eventually,
};

const PROJECT: &str = "abcdefghij0123456789AB";
const DOCUMENT: &str = "wandering-document";
const KEY: &str = "abcdefghij0123456789AB/wandering-document";
const REBALANCES: usize = 20;

/// Every so many moves are made when a client has just begun to attach, whose
/// answer is on its way for so long that the document moves before.
const ATTACHING_AT: usize = 4;
const SLOW_ATTACH: &str = "1500";

/// So few are enough to see what draining is for.
const REBALANCES_OF_THE_CONTROL: usize = 3;

#[test]
fn no_edit_is_lost_or_doubled_over_twenty_rebalances() {
    TestEnvironment::run(async |env| {
        let run = edit_while_documents_move(env, "", REBALANCES).await?;
        let result = run.result()?;
        let (problems, lost) = (&result["problems"], &result["lost"]);
        ensure!(
            run.success,
            "lost {lost}, {problems}: {:#?}",
            refusals(&run)
        );
        let (edits, newcomers) = (&result["edits"], run.events("newcomer").len());
        let ended = &result["disconnects"];
        // Calls finish where they were sent, so that for milliseconds two servers can be at work. Who attaches then may
        // be refused; the script's newcomers get in at the second attempt, or it fails.
        let conflicts = run.events("conflict").len();
        println!(
            "{edits} edits, {newcomers} newcomers, {conflicts} of them refused once, watches that ended: {ended}"
        );
        ensure!(newcomers > 0, "nobody came while the document moved");
        let between = moved_while_attaching(&run);
        ensure!(
            between >= REBALANCES / ATTACHING_AT,
            "the document moved in the middle of {between} attaches only"
        );
        ensure!(
            conflicts <= REBALANCES,
            "{conflicts} newcomers were refused in {REBALANCES} moves"
        );
        for client in ["one", "two"] {
            let ended = result["disconnects"][client].as_u64().unwrap_or_default();
            ensure!(ended > 0, "client {client} was never moved");
        }
        Ok(())
    });
}

/// The control: were the document server not faithful, the test above would
/// prove nothing.
#[test]
fn without_draining_edits_are_lost() {
    TestEnvironment::run(async |env| {
        let more = "drain: { enabled: false }\n";
        let run = edit_while_documents_move(env, more, REBALANCES_OF_THE_CONTROL).await?;
        ensure!(!run.success, "nothing was lost: {}", run.result()?);
        let lost = run.result()?["lost"].as_array().map_or(0, Vec::len);
        ensure!(lost > 0, "no edit was lost: {}", run.result()?);
        Ok(())
    });
}

/// The calls that failed.
fn refusals(run: &Run) -> Vec<&Value> {
    let calls = run.events("rpc").into_iter();
    calls.filter(|call| call["http"] != 200).collect()
}

/// How many clients attached over a move: asked before the watches of the
/// document ended, and were answered after.
fn moved_while_attaching(run: &Run) -> usize {
    let at = |event: &Value| event["ms"].as_u64();
    let ended = run.events("connection").into_iter();
    let ended: Vec<_> = ended
        .filter(|event| event["client"] == "one" && event["value"] == "disconnected")
        .filter_map(at)
        .collect();
    let attached = run.events("attached");
    let spans = run.events("attaching").into_iter().filter_map(|begun| {
        let answered = attached
            .iter()
            .find(|event| event["client"] == begun["client"]);
        Some(at(begun)?..at(answered?)?)
    });
    spans
        .filter(|span| ended.iter().any(|at| span.contains(at)))
        .count()
}

/// Two clients edit one document, each through a proxy of its own, while
/// others come and go, and the document moves that many times.
async fn edit_while_documents_move(
    env: &mut TestEnvironment,
    more: &'static str,
    rebalances: usize,
) -> Result<Run> {
    let mut fleet = Fleet::start(env).await?;
    let settings = Settings {
        more,
        ..Settings::default()
    };
    let mut cluster = Cluster::start(env, settings, &Mode::ALL, fleet.entries()).await?;
    let mut urls = Vec::new();
    for envoy in &cluster.envoys {
        urls.push(format!("http://{}", envoy.address().await?));
    }
    let mut arguments = vec!["--url", &urls[0], "--url2", &urls[1]];
    arguments.extend(["--document", DOCUMENT, "--api-key", PROJECT]);
    arguments.extend([
        "--steady",
        "--newcomers",
        "--pause",
        "20",
        "--slow-attach",
        SLOW_ATTACH,
        "--timeout",
        "5000",
    ]);
    let clients = start_two_clients(&arguments).await?;
    eventually("both clients editing", async || {
        let edits = clients.count("seen");
        ensure!(edits > 1, "{edits} edits were seen");
        Ok(())
    })
    .await?;
    for number in 0..rebalances {
        let owner = cluster.owner_of(KEY)?;
        if number % ATTACHING_AT == 0 {
            let begun = clients.count("attaching");
            eventually("somebody attaching", async || {
                ensure!(clients.count("attaching") > begun, "nobody attaches");
                Ok(())
            })
            .await?;
        }
        cluster.edit(fleet.change(number, &owner).await?)?;
        cluster.handed_out().await?;
    }
    clients.finish().await
}

/// Document servers. The document only ever moves to one that has just been
/// started: a server that has cached it before, or any of its clients (who may
/// have been activated there), refuses them whatever the router does.
struct Fleet {
    store: DocumentStore,
    folder: PathBuf,
    serving: Vec<DocumentServer>,
    /// They run on: were they to end, so would their streams.
    retired: Vec<DocumentServer>,
    started: usize,
}

impl Fleet {
    async fn start(env: &TestEnvironment) -> Result<Self> {
        let folder = env.folder().to_owned();
        let mut this = Self {
            store: DocumentStore::start(&folder).await?,
            folder,
            serving: Vec::new(),
            retired: Vec::new(),
            started: 0,
        };
        for number in 0..3 {
            this.add(&format!("yorkie-{number}")).await?;
        }
        Ok(this)
    }

    fn entries(&self) -> Vec<Entry> {
        self.serving.iter().map(|server| server.entry(1)).collect()
    }

    /// The next roster: the owner is replaced, goes, or somebody comes.
    async fn change(&mut self, number: usize, owner: &Entry) -> Result<Vec<Entry>> {
        let before: Vec<_> = self.entries().iter().map(|entry| entry.address).collect();
        match number % 3 {
            0 => self.retire(owner.address)?,
            1 => {
                self.retire(owner.address)?;
                self.add(&owner.id).await?;
            }
            _ => {
                self.add(&format!("yorkie-{}", 3 + number)).await?;
            }
        }
        let next = assignment(Policy::default(), self.entries())?;
        let next = next.owner(KEY.as_bytes()).context("no member")?.member;
        if before.contains(&next.address) && next.address != owner.address {
            self.retire(next.address)?;
            self.add(&next.id).await?;
        }
        Ok(self.entries())
    }

    async fn add(&mut self, id: &str) -> Result<()> {
        // A process has a folder of its own: its log is named by the member.
        let folder = self.folder.join(format!("server-{}", self.started));
        std::fs::create_dir_all(&folder)?;
        self.started += 1;
        let server = DocumentServer::start(&folder, id, &self.store).await?;
        self.serving.push(server);
        Ok(())
    }

    fn retire(&mut self, address: SocketAddr) -> Result<()> {
        let position = self
            .serving
            .iter()
            .position(|server| server.entry(1).address == address);
        let position = position.with_context(|| format!("nobody serves at {address}"))?;
        self.retired.push(self.serving.remove(position));
        Ok(())
    }
}
