//! SIGHUP with another configuration.

use std::fs;
use std::time::Instant;

use anyhow::{Context, ensure};
use http::Method;
use rustix::process::Signal;
use yorkies_tests::{
    LogLine, Mode, Protocol, Request, Router, Settings, TestEnvironment, Traffic, Watch, Watchers,
    equal_weights, eventually, keys,
};

const RULE: &str = "key_rules: [{ path: /reloaded/*, no_key: any }]\n";

const STREAMS: usize = 40;

#[test]
fn a_configuration_that_cannot_be_taken_as_a_whole_changes_nothing() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let one = equal_weights(&members[..1]);
        let mut router = Router::start(env, Settings::default(), Mode::Sotw, one).await?;
        let path = router.control_plane.configuration();
        let good = fs::read_to_string(&path)?;
        let epoch = router.epoch();
        for (text, said) in [
            (good.clone(), "the configuration is as it was"),
            (
                format!("{good}max_body: 1000\ncluster: other\n"),
                "a change of cluster needs a restart",
            ),
            (
                format!("{good}max_body: 1000\nmax_bod: 1000\n"),
                "unknown field `max_bod`",
            ),
        ] {
            fs::write(&path, text)?;
            router.control_plane.signal(Signal::HUP)?;
            router.control_plane.logged(&[said]).await?;
        }
        let status = router.control_plane.status().await?;
        ensure!(status["epoch"] == epoch, "{epoch} was before: {status}");
        router.change(equal_weights(&members)).await
    });
}

#[test]
fn another_configuration_is_in_force_at_once_and_no_request_is_lost() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let entries = equal_weights(&members);
        let settings = Settings::default();
        let mut router = Router::start(env, settings.clone(), Mode::Delta, entries).await?;
        let proxy = router.envoy.address().await?;
        let watch = |key| Watch {
            key,
            proxy,
            protocol: Protocol::H2c,
        };
        let all = keys(STREAMS).into_iter().map(watch).collect();
        let watchers = Watchers::start(all).await?;
        let (traffic, start) = (
            Traffic::start(router.h2c.clone(), keys(100)),
            Instant::now(),
        );

        // What filters know: a rebalance in which nothing moves.
        let keyless = Request::new(Method::GET, "/reloaded/by/sighup");
        ensure!(router.h2c.send(&keyless).await?.answer().is_err());
        let mut settings = Settings {
            more: RULE,
            ..settings
        };
        router.control_plane.reload(settings.clone()).await?;
        router.settle().await?;
        router.h2c.send(&keyless).await?.answer()?;
        let status = router.control_plane.status().await?;
        let changes = [&status["rebalance"], &status["last"][0]].map(|of| &of["changes"]);
        let is_it = |changes: &&serde_json::Value| changes[0]["cause"] == "settings";
        ensure!(changes.iter().any(is_it), "{status}");
        ensure!(watchers.ended_since(start).is_empty(), "a stream has ended");

        // What only Envoy knows: no rebalance at all.
        settings.more = "key_rules: [{ path: /reloaded/*, no_key: any }]\ncors: { allow_origins: [\"https://a.example\"] }\n";
        router.control_plane.reload(settings.clone()).await?;
        eventually("routes with the origin", async || {
            let dump = router.envoy.admin()?.config_dump().await?.to_string();
            ensure!(dump.contains("https://a.example"), "not there");
            Ok(())
        })
        .await?;
        let epoch = router.control_plane.status().await?["epoch"].as_u64();
        ensure!(epoch == Some(router.epoch()), "{epoch:?} is a new one");
        ensure!(watchers.ended_since(start).is_empty(), "a stream has ended");

        // What the control plane logs.
        let is_detail = |line: &LogLine| line.level() == "DEBUG";
        ensure!(!router.control_plane.log()?.iter().any(is_detail));
        settings.more = "key_rules: [{ path: /reloaded/*, no_key: any }]\nlog: { filter: debug }\n";
        router.control_plane.reload(settings.clone()).await?;
        eventually("details", async || {
            let log = router.control_plane.log()?;
            ensure!(log.iter().any(is_detail), "none");
            Ok(())
        })
        .await?;

        // And how keys are spread.
        settings.policy = "ring_hash:1024:4096".parse()?;
        router.control_plane.reload(settings).await?;
        router.settle().await?;
        router.expect_owners(&keys(500)).await?;
        let expected = router.expected()?;
        eventually("every stream at its owner", async || {
            let open = watchers.open();
            for session in &open {
                let key = &watchers.watches()[session.watch].key;
                let owner = expected.owner(key.as_bytes()).context("no owner")?;
                ensure!(owner.member.address == session.address, "{session:?}");
            }
            ensure!(open.len() == STREAMS, "{} are open", open.len());
            Ok(())
        })
        .await?;
        let report = traffic.stop().await?;
        ensure!(
            report.answered > 0 && report.failures.is_empty(),
            "{report:?}"
        );
        Ok(())
    });
}
