//! Thousands of proxies, and some that do not read what they are sent.

use anyhow::{Context, Result, ensure};
use tokio::task::LocalSet;
use yorkies_tests::{
    ControlPlane, Crowd, Kind, Mode, Settings, TestEnvironment, Usage, eventually, members_nowhere,
};

/// Members that are nowhere, since nobody routes to them: an update of that many
/// is larger than what HTTP/2 lets a server send to one that does not read.
const MEMBERS: u32 = 1000;

/// Connections of this test to the admin interface, each a task.
const ASKING: f64 = 3.0;

/// Who is stuck is soon left behind.
const IMPATIENT: &str = "rebalance: { settle: 0, ack_wait: 50ms, finish_wait: 50ms }\n";

#[test]
fn two_thousand_proxies_connect_at_once_and_nothing_is_left_of_them() {
    TestEnvironment::run(async |env| {
        let mut control_plane = start(env).await?;
        let tasks = control_plane.metric("yorkies_tasks").await?;
        let test = async {
            let mut crowds = Mode::ALL.map(|mode| connect(&control_plane, 1000, mode));
            for crowd in &mut crowds {
                crowd.done().await?;
                crowd.expect_change();
            }
            control_plane.edit(members_nowhere(MEMBERS, 1))?;
            for crowd in &mut crowds {
                crowd.done().await?;
            }
            drop(crowds);
            for mode in Mode::ALL {
                expect_connected(&control_plane, mode, 0).await?;
            }
            eventually("as before they came", async || {
                let left = control_plane.metric("yorkies_tasks").await?;
                ensure!(left <= tasks + ASKING, "{left} tasks after {tasks}");
                let connections = control_plane.metric("yorkies_xds_connections").await?;
                ensure!(connections == 0.0, "{connections} connections");
                Ok(())
            })
            .await
        };
        LocalSet::new().run_until(test).await
    });
}

#[test]
fn proxies_that_never_read_delay_nobody_and_cost_little() {
    const STUCK: usize = 100;
    const CHANGES: u32 = 6;
    TestEnvironment::run(async |env| {
        let mut control_plane = start(env).await?;
        let test = async {
            let mut stuck = Vec::new();
            let mut crowds = Vec::new();
            for mode in Mode::ALL {
                stuck.extend(Crowd::stuck(control_plane.address(), STUCK, mode, "yorkie").await?);
                crowds.push(connect(&control_plane, 10, mode));
                expect_connected(&control_plane, mode, STUCK + 10).await?;
            }
            for crowd in &mut crowds {
                crowd.done().await?;
            }
            let mut sizes = Vec::new();
            for change in 1..=CHANGES {
                crowds.iter().for_each(Crowd::expect_change);
                control_plane.edit(members_nowhere(MEMBERS, change))?;
                for crowd in &mut crowds {
                    crowd.done().await?;
                }
                sizes.push(Usage::of(control_plane.process_id()?)?.rss_bytes);
            }
            // As a queue for each, what was published since the first change would be 70 MB.
            let grown = sizes.iter().max().context("no change")? - sizes[0];
            ensure!(
                grown < 24 << 20,
                "{grown} bytes for those who are stuck: {sizes:?}"
            );
            drop(stuck);
            for mode in Mode::ALL {
                expect_connected(&control_plane, mode, 10).await?;
            }
            Ok(())
        };
        LocalSet::new().run_until(test).await
    });
}

async fn start(env: &mut TestEnvironment) -> Result<ControlPlane> {
    let settings = Settings {
        more: IMPATIENT,
        ..Settings::default()
    };
    let mut control_plane = env.control_plane(settings).await?;
    control_plane.edit(members_nowhere(MEMBERS, 0))?;
    eventually("serving", async || control_plane.published().await).await?;
    Ok(control_plane)
}

fn connect(control_plane: &ControlPlane, count: usize, mode: Mode) -> Crowd {
    Crowd::connect(control_plane.address(), count, mode, &Kind::ALL, &[])
}

async fn expect_connected(control_plane: &ControlPlane, mode: Mode, count: usize) -> Result<()> {
    let metric = format!("yorkies_proxies_connected{{mode=\"{}\"}}", mode.name());
    eventually("connected", async || {
        let connected = control_plane.metric(&metric).await?;
        let off = (connected - count as f64).abs();
        ensure!(off < 0.5, "{connected} {}", mode.name());
        Ok(())
    })
    .await
}
