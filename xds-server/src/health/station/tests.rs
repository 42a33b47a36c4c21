//! The station with real connections.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use sharding::{Member, MemberStreams, Report};

use super::*;
use crate::ads::support::proxy;
use crate::ads::{ProxyObserver, StreamId};
use crate::health::{self, MemberState};

const PATIENCE: Duration = Duration::from_secs(30);

const SETTINGS: &str = "{check: {http: /health}, interval: 50ms, timeout: 50ms, fail_after: 2}";

fn settings(text: &str) -> Health {
    let settings: Health = serde_saphyr::from_str(text).unwrap();
    settings
}

/// A server that is well, until this is dropped.
struct Server {
    address: SocketAddr,
    serving: tokio::task::AbortHandle,
}

impl Server {
    async fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 512];
                    let _ = stream.read(&mut request).await;
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .await;
                });
            }
        });
        Self {
            address,
            serving: serving.abort_handle(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn roster(addresses: &[SocketAddr]) -> Roster {
    let members = addresses.iter().enumerate();
    let members = members.map(|(n, address)| Member::new(format!("m{n}"), *address, 1));
    Roster::new(members.collect()).unwrap()
}

async fn serves(serving: &mut watch::Receiver<Option<Serving>>, count: usize) -> Serving {
    let is_it = |serving: &Option<Serving>| {
        let serving = serving.as_ref();
        serving.is_some_and(|serving| serving.roster.members().len() == count)
    };
    let serving = timeout(PATIENCE, serving.wait_for(is_it)).await;
    serving.expect("that many serve").unwrap().clone().unwrap()
}

#[tokio::test]
async fn a_server_that_goes_away_is_ejected_and_one_that_is_drained_stays_known() {
    let folder = tempfile::tempdir().unwrap();
    let state_file = folder.path().join("state.json");
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start("127.0.0.1:0").await);
    }
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let (_registry, listed) = watch::channel(Some(roster(&addresses)));
    let settings = settings(SETTINGS);
    let fleet = Arc::<Fleet>::default();
    // A proxy has to agree.
    let report = |unreached| Report {
        node: "envoy".to_owned(),
        members: vec![MemberStreams {
            id: "m0".to_owned(),
            unreached,
            ..MemberStreams::default()
        }],
        ..Report::default()
    };
    fleet.connected(StreamId(1), &proxy("envoy"));
    fleet.report(report(0), Instant::now()).unwrap();
    let (health, mut serving) = health::start(
        Some(&settings),
        &state_file,
        None,
        listed,
        Arc::clone(&fleet),
        Arc::default(),
    );
    assert_eq!(serves(&mut serving, 3).await.ejections, 0);

    health.order("m2", Order::Drain).await.unwrap();
    assert_eq!(serves(&mut serving, 2).await.ejections, 0);
    let saved = std::fs::read_to_string(folder.path().join("state.health.json")).unwrap();
    assert!(saved.contains("m2"), "{saved}");
    health.order("m2", Order::Undrain).await.unwrap();
    serves(&mut serving, 3).await;

    drop(servers.remove(0));
    let state = || {
        health
            .shown()
            .members
            .iter()
            .map(|member| member.state)
            .collect::<Vec<_>>()
    };
    timeout(PATIENCE, async {
        while state()[0] != MemberState::Failing {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("its checks fail");
    assert_eq!(serving.borrow().as_ref().unwrap().roster.members().len(), 3);
    fleet.report(report(1), Instant::now()).unwrap();
    assert_eq!(serves(&mut serving, 2).await.ejections, 1);
    assert_eq!(state()[0], MemberState::Ejected);
}

/// Each at an address of its own, as members are; one server has them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_members_are_checked_on_time() {
    let server = Server::start("0.0.0.0:0").await;
    let port = server.address.port();
    let address = |n: u16| SocketAddr::from(([127, 1, (n >> 8) as u8, n as u8], port));
    let addresses: Vec<_> = (0..3000).map(address).collect();
    let (_registry, listed) = watch::channel(Some(roster(&addresses)));
    let settings = settings("{check: {http: /health}, interval: 2s, timeout: 2s}");
    let folder = tempfile::tempdir().unwrap();
    let state_file = folder.path().join("state.json");
    let (health, mut serving) = health::start(
        Some(&settings),
        &state_file,
        None,
        listed,
        Arc::default(),
        Arc::default(),
    );
    serves(&mut serving, 3000).await;
    let (passed, failed) = health.counts.read();
    let (start, used) = (Instant::now(), cpu_time());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let rate = |count: u64| count as f64 / start.elapsed().as_secs_f64();
    let (now_passed, now_failed) = health.counts.read();
    let cpu = cpu_time().saturating_sub(used).as_secs_f64() / start.elapsed().as_secs_f64();
    println!(
        "{:.0} checks per second, {:.0} failed, {cpu:.2} processors with the server",
        rate(now_passed - passed),
        rate(now_failed - failed)
    );
    // 1500 a second, were the machine all ours.
    assert!(rate(now_passed - passed) > 500.0);
    serves(&mut serving, 3000).await;
}

/// Of this process.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
