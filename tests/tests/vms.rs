//! Whose reports count when a stream of xDS breaks, and when an Envoy starts
//! again.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use yorkies_tests::{
    ControlPlane, Mode, Protocol, Settings, TestEnvironment, equal_weights, eventually, settled,
};

#[test]
fn a_broken_stream_leaves_the_vms_of_its_proxy_and_a_new_process_ends_them() {
    for mode in Mode::ALL {
        TestEnvironment::run(async |env| {
            let members = env.members(2).await?;
            let mut control_plane = env.control_plane(Settings::default()).await?;
            control_plane.edit(equal_weights(&members))?;
            let link = Link::to(control_plane.address()).await?;
            let bootstrap = control_plane.bootstrap(mode, "edge").await?;
            let [direct, linked] =
                [control_plane.address(), link.address].map(|at| at.port().to_string());
            let envoy = env
                .envoy_of_bootstrap(&bootstrap.replace(&direct, &linked))
                .await?;
            settled(&[&envoy.client(Protocol::H2c).await?], 0).await?;
            let first = eventually("reports", async || {
                let proxy = Proxy::of(&control_plane).await?;
                ensure!(proxy.is_current && !proxy.vms.is_empty(), "{proxy:?}");
                Ok(proxy)
            })
            .await?;

            link.cut();
            let second = another_stream(&control_plane, &first).await?;
            ensure!(
                second.vms.is_superset(&first.vms),
                "{:?} became {:?}",
                first.vms,
                second.vms
            );
            envoy.restart().await?;
            let third = another_stream(&control_plane, &second).await?;
            ensure!(
                third.vms.is_disjoint(&second.vms),
                "{:?} of a process that is gone are among {:?}",
                second.vms,
                third.vms
            );
            Ok(())
        });
    }
}

/// The only proxy as the control plane sees it.
#[derive(Debug)]
struct Proxy {
    stream: String,
    is_current: bool,
    vms: BTreeSet<String>,
}

impl Proxy {
    async fn of(control_plane: &ControlPlane) -> Result<Self> {
        let status = control_plane.status().await?;
        let proxy = &status["proxies"][0];
        let stream = &proxy["streams"][0];
        let vms = proxy["vms"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        Ok(Self {
            stream: text(&stream["id"]).context("no stream")?,
            is_current: stream["current"] == true,
            vms: vms.filter_map(|vm| text(&vm["vm"])).collect(),
        })
    }
}

/// Waits until the proxy has connected again and has accepted everything.
async fn another_stream(control_plane: &ControlPlane, before: &Proxy) -> Result<Proxy> {
    eventually("connected again", async || {
        let proxy = Proxy::of(control_plane).await?;
        ensure!(
            proxy.stream != before.stream && proxy.is_current,
            "{proxy:?}"
        );
        Ok(proxy)
    })
    .await
}

/// The way to the control plane, which can break.
struct Link {
    address: SocketAddr,
    cuts: watch::Sender<()>,
    _accepting: JoinSet<()>,
}

impl Link {
    async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let cuts = watch::Sender::new(());
        let sender = cuts.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = sender.subscribe();
                connections.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Ok(Self {
            address,
            cuts,
            _accepting: accepting,
        })
    }

    /// Breaks all connections; new ones are taken.
    fn cut(&self) {
        self.cuts.send_replace(());
    }
}
