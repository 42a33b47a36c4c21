//! A router as a document's reader has it after a while: three servers, two
//! hundred people who watch, and a fourth server that joined.

use anyhow::{Context, Result, bail, ensure};
use yorkies_tests::{
    DocumentServer, DocumentStore, Mode, Protocol, Router, Settings, TestEnvironment, Watch,
    Watchers, equal_weights, eventually, keys,
};

use crate::expected::expect_alike;
use crate::folder::Folder;

/// People who watch a document each.
const AUDIENCE: usize = 200;

/// As the documents call the key that Yorkie draws.
const PUBLIC_KEY: &str = "K3yOfTheDefaultProject";

pub(crate) struct Running {
    folder: Folder,
    /// As the documents write it, and where it is.
    addresses: [(&'static str, String); 3],
    router: Router,
    _audience: Watchers,
    _server: (DocumentStore, DocumentServer),
}

impl Running {
    pub(crate) async fn start(env: &mut TestEnvironment) -> Result<Self> {
        let members = env.members(4).await?;
        let first = equal_weights(&members[..3]);
        let mut router = Router::start(env, Settings::default(), Mode::Delta, first).await?;
        let proxy = router.envoy.address().await?;
        let watch = |key: String| Watch {
            key,
            proxy,
            protocol: Protocol::H2c,
        };
        let audience = keys(AUDIENCE).into_iter().map(watch).collect();
        let audience = Watchers::start(audience).await?;
        router.change(equal_weights(&members)).await?;

        let folder = Folder::new(env.folder(), "running")?;
        let store = DocumentStore::start(env.folder()).await?;
        let key = ["--default-public-key", PUBLIC_KEY];
        let server = DocumentServer::start_with(env.folder(), "yorkie", &store, &key).await?;
        let admin = router.control_plane.admin_url();
        let this = Self {
            folder,
            addresses: [
                ("http://127.0.0.1:18001", admin.clone()),
                ("http://HOST:18001", admin),
                ("http://yorkie-0:8080", server.url()),
            ],
            router,
            _audience: audience,
            _server: (store, server),
        };
        this.settle().await?;
        Ok(this)
    }

    /// Waits until the rebalance is over and every stream reported.
    async fn settle(&self) -> Result<()> {
        eventually("every stream reported", async || {
            let status = self.router.control_plane.status().await?;
            let members = status["members"].as_array().context("no members")?;
            let open = members.iter().filter_map(|member| member["open"].as_u64());
            let open: u64 = open.sum();
            ensure!(
                status["stage"] == "stable" && members.len() == 4 && open == AUDIENCE as u64,
                "{}, {open} streams",
                status["stage"]
            );
            Ok(())
        })
        .await
    }

    /// Runs commands at the addresses of this scene.
    pub(crate) async fn follow(&self, commands: &str, said: Option<&str>) -> Result<()> {
        let mut script = commands.to_owned();
        for (written, there) in &self.addresses {
            script = script.replace(written, there);
        }
        // What has none is meant for the control plane of the same machine.
        let (_, admin) = &self.addresses[0];
        let script = format!("export YORKIES_ADMIN={admin}\n{script}");
        let output = self.folder.run(&script).await?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        said.map_or(Ok(()), |said| {
            expect_alike(said, &String::from_utf8_lossy(&output.stdout))
        })
    }
}
