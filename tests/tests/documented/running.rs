//! A router as a document's reader has it after a while: three servers, two
//! hundred people who watch, and a fourth server that joined.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use yorkies_tests::manual::expect_alike;
use yorkies_tests::{
    DocumentServer, DocumentStore, Mode, Protocol, Router, Settings, TestEnvironment, Watch,
    Watchers, equal_weights, eventually, keys,
};

use crate::folder::Folder;

/// People who watch a document each.
const AUDIENCE: usize = 200;

/// Whoever is late is waited for: the commands show what comes of a router in
/// which all is well, on a machine that is busy as well.
const PATIENT: &str = "rebalance: { ack_wait: 1m, finish_wait: 1m }\n";

/// As the documents call the file with what allows changes.
const TOKEN_FILE: &str = "admin-token";

/// As the documents call the key that Yorkie draws.
const PUBLIC_KEY: &str = "K3yOfTheDefaultProject";

pub(crate) struct Running {
    folder: Folder,
    router: Router,
    _audience: Watchers,
    _server: (DocumentStore, DocumentServer),
}

impl Running {
    pub(crate) async fn start(env: &mut TestEnvironment) -> Result<Self> {
        let members = env.members(4).await?;
        let first = equal_weights(&members[..3]);
        let settings = Settings {
            more: PATIENT,
            ..Settings::default()
        };
        let mut router = Router::start(env, settings, Mode::Delta, first).await?;
        let proxy = router.envoy.address().await?;
        let watch = |key: String| Watch {
            key,
            proxy,
            protocol: Protocol::H2c,
        };
        let audience = keys(AUDIENCE).into_iter().map(watch).collect();
        let audience = Watchers::start(audience).await?;
        router.change(equal_weights(&members)).await?;

        let store = DocumentStore::start(env.folder()).await?;
        let key = ["--default-public-key", PUBLIC_KEY];
        let server = DocumentServer::start_with(env.folder(), "yorkie", &store, &key).await?;
        let mut folder = Folder::new(env.folder(), "running")?;
        let admin = router.control_plane.admin_url();
        for (written, here) in [
            ("http://127.0.0.1:18001", &admin),
            ("http://HOST:18001", &admin),
            ("http://yorkie-0:8080", &server.url()),
            ("http://GATEWAY", &format!("http://{proxy}")),
        ] {
            folder.place(written, here);
        }
        let token = router.control_plane.token_file();
        fs::copy(token, folder.path().join(TOKEN_FILE))?;
        let this = Self {
            folder,
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

    /// Runs commands, and compares what they print: without a word on it,
    /// nothing.
    pub(crate) async fn follow(&self, commands: &str, said: Option<&str>) -> Result<()> {
        // What names none is meant for the control plane of the same machine.
        let admin = self.router.control_plane.admin_url();
        let script = format!("export YORKIES_ADMIN={admin}\n{commands}");
        let output = self.folder.run(&script).await?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        expect_alike(said.unwrap_or_default(), &printed)
    }
}
