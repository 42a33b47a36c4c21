//! Members as Yorkie's servers name them in their database: heartbeats are
//! followed, and whatever happens to the database, the last good roster stays.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mongodb::bson::Bson;
use sharding::{Member as Entry, Policy};
use yorkies_tests::{
    ControlPlane, Mode, Mongo, Protocol, Settings, TestEnvironment, Traffic, assignment,
    equal_weights, expect_owners, keys, run_xds_server, settled,
};

const YORKIE: &str = "yorkie";

/// As it is configured; servers of the tests have four in that time, so that a
/// busy machine has none miss it.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Longer than an answer takes, or the lack of one.
const STALE: Duration = Duration::from_secs(4);

/// Room for a busy machine.
const SOON: Duration = Duration::from_secs(10);

const KEYS: usize = 1_000;
const TRAFFIC: usize = 100;

#[test]
fn requests_follow_the_heartbeats_and_go_on_while_the_database_is_gone() {
    TestEnvironment::run(async |env| {
        let members = env.members_at_one_port(4).await?;
        let entries = equal_weights(&members);
        let mut mongo = Mongo::start(env.folder()).await?;
        let beating = mongo.heartbeats(&entries[..3]).await?;
        let mut control_plane = start(env, &mongo).await?;
        let envoy = env.envoy(&control_plane, Mode::Delta).await?;
        let (h2c, http1) = (
            envoy.client(Protocol::H2c).await?,
            envoy.client(Protocol::Http1).await?,
        );
        let expected = |count: usize| assignment(Policy::default(), entries[..count].to_vec());
        let mut epoch = settled(&[&h2c, &http1], 0).await?;
        expect_owners(&h2c, &expected(3)?, &keys(KEYS)).await?;

        let traffic = Traffic::start(h2c.clone(), keys(TRAFFIC));
        let change = Instant::now();
        let joined = mongo.heartbeats(&entries[3..]).await?;
        epoch = settled(&[&h2c, &http1], epoch).await?;
        told_in_time("joined", change)?;
        expect_owners(&h2c, &expected(4)?, &keys(KEYS)).await?;
        // It does not say that it goes.
        drop(joined);
        let change = Instant::now();
        epoch = settled(&[&h2c, &http1], epoch).await?;
        told_in_time("fell silent", change)?;
        expect_owners(&h2c, &expected(3)?, &keys(KEYS)).await?;
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "requests lost: {report:?}");

        // Nobody can write, for longer than anybody lives.
        let traffic = Traffic::start(http1.clone(), keys(TRAFFIC));
        mongo.kill()?;
        control_plane.refused(YORKIE, "MongoDB").await?;
        control_plane.stale(YORKIE, STALE).await?;
        control_plane.restart().await?;
        control_plane.refused(YORKIE, "MongoDB").await?;
        expect_owners(&h2c, &expected(3)?, &keys(KEYS)).await?;
        mongo.restart().await?;
        control_plane.fresh(YORKIE).await?;
        expect_owners(&h2c, &expected(3)?, &keys(KEYS)).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        // And once more, by a database that is there and says nothing.
        mongo.stop()?;
        control_plane.refused(YORKIE, "no answer within 3s").await?;
        control_plane.stale(YORKIE, STALE).await?;
        mongo.go_on()?;
        control_plane.logged(&["good again", YORKIE]).await?;
        control_plane.fresh(YORKIE).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        traffic.stop().await?.expect_flawless()?;

        // All are killed at once, it seems.
        drop(beating);
        control_plane
            .refused(YORKIE, "none of 3 servers has a heartbeat")
            .await?;
        mongo.clear().await?;
        control_plane.stale(YORKIE, HEARTBEAT).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        let _back = mongo.heartbeats(&entries[..3]).await?;
        control_plane.fresh(YORKIE).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        Ok(())
    });
}

#[test]
fn whoever_takes_its_row_out_has_left_and_most_of_them_at_once_have_not() {
    TestEnvironment::run(async |env| {
        let mongo = Mongo::start(env.folder()).await?;
        let all = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
        let entries: Vec<_> = all.iter().map(|at| entry(at)).collect::<Result<_>>()?;
        let _first = mongo.heartbeats(&entries[..1]).await?;
        let others = mongo.heartbeats(&entries[1..3]).await?;
        let last = mongo.heartbeats(&entries[3..]).await?;
        let control_plane = start(env, &mongo).await?;
        control_plane.wait_for_members(&members(&all)).await?;

        drop(last);
        mongo.leave(all[3]).await?;
        control_plane.wait_for_members(&members(&all[..3])).await?;
        let epoch = control_plane.epoch().await?;

        drop(others);
        mongo.age(all[1], 3 * HEARTBEAT).await?;
        mongo.age(all[2], 3 * HEARTBEAT).await?;
        let held = control_plane.refused(YORKIE, "2 of 3 servers are gone");
        held.await?;
        let back = mongo.heartbeats(&entries[1..3]).await?;
        control_plane.logged(&["good again", YORKIE]).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");

        // And then they have: it lasts.
        drop(back);
        control_plane.wait_for_members(&members(&all[..1])).await
    });
}

#[test]
fn whatever_is_written_wrongly_the_last_good_roster_stays() {
    TestEnvironment::run(async |env| {
        let mut mongo = Mongo::start(env.folder()).await?;
        let all = ["10.0.0.1:80", "10.0.0.2:80"];
        let entries: Vec<_> = all.iter().map(|at| entry(at)).collect::<Result<_>>()?;
        let _beating = mongo.heartbeats(&entries).await?;
        let control_plane = start(env, &mongo).await?;
        control_plane.wait_for_members(&members(&all)).await?;
        let epoch = control_plane.epoch().await?;

        mongo.beat("yorkie").await?;
        let refused = [
            "WARN",
            "Row of clusternodes refused",
            "yorkie",
            "expected IP:PORT",
        ];
        control_plane.logged(&refused).await?;
        mongo
            .set("10.0.0.3:80", "updated_at", Bson::Int32(7))
            .await?;
        control_plane
            .logged(&["10.0.0.3:80", "updated_at is no time"])
            .await?;
        mongo.set("10.0.0.4:80", "rpc_addr", Bson::Int32(7)).await?;
        control_plane
            .logged(&["WARN", "rpc_addr is no text"])
            .await?;
        control_plane.wait_for_members(&members(&all)).await?;

        mongo.kill()?;
        let nonsense = mongo.garble().await?;
        control_plane.refused(YORKIE, "MongoDB").await?;
        control_plane.stale(YORKIE, STALE).await?;
        nonsense.abort();
        let _ = nonsense.await;
        mongo.restart().await?;
        control_plane.fresh(YORKIE).await?;
        control_plane.wait_for_members(&members(&all)).await?;
        ensure!(control_plane.epoch().await? == epoch, "a new epoch");
        Ok(())
    });
}

#[test]
fn the_database_may_want_a_user_whose_password_is_shown_nowhere() {
    TestEnvironment::run(async |env| {
        let mut mongo = Mongo::start(env.folder()).await?;
        mongo.want_user("yorkies", "sesame").await?;
        let _beating = mongo.heartbeats(&[entry("10.0.0.1:80")?]).await?;
        let file = env.folder().join("uri");
        fs::write(&file, "no://open-me@")?;
        let settings = Settings {
            registry: format!(
                "{{ yorkie: {{ uri_file: '{}', heartbeat: 2s }} }}",
                file.display()
            ),
            ..Settings::default()
        };
        let control_plane = env.control_plane(settings).await?;
        control_plane
            .refused(YORKIE, "expected mongodb://USER")
            .await?;
        fs::write(&file, mongo.uri_of("yorkies", "open-me"))?;
        control_plane
            .refused(YORKIE, "uthentication failed")
            .await?;
        fs::write(&file, mongo.uri_of("yorkies", "sesame") + "\n")?;
        control_plane
            .wait_for_members(&members(&["10.0.0.1:80"]))
            .await?;

        let configuration = control_plane.configuration();
        let arguments = ["validate", "--config", &configuration.to_string_lossy()];
        let output = run_xds_server(env.folder(), &arguments).await?;
        let told = String::from_utf8(output.stdout)?;
        ensure!(
            told.contains("servers in yorkie-meta (not asked)"),
            "{told}"
        );
        let log = control_plane.log()?;
        ensure!(!log.is_empty(), "there is no log");
        for line in log {
            let text = line.text();
            let has_secret = text.contains("sesame") || text.contains("open-me");
            ensure!(!has_secret, "a secret is in the log: {text}");
        }
        Ok(())
    });
}

async fn start(env: &mut TestEnvironment, mongo: &Mongo) -> Result<ControlPlane> {
    let settings = Settings {
        registry: format!("{{ yorkie: {{ uri: '{}', heartbeat: 2s }} }}", mongo.uri()),
        ..Settings::default()
    };
    env.control_plane(settings).await
}

fn entry(address: &str) -> Result<Entry> {
    Ok(Entry::new(address, address.parse()?, 1))
}

/// Called by their addresses, all of weight 1.
fn members(all: &[&str]) -> Vec<String> {
    let member = |address: &&str| format!("{address}={address}*1");
    all.iter().map(member).collect()
}

fn told_in_time(what: &str, since: Instant) -> Result<()> {
    let took = since.elapsed();
    println!("{what}: requests go by it after {took:?}");
    ensure!(took < SOON, "{what}: it took {took:?}");
    Ok(())
}
