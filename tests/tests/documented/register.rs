//! The commands that register a member.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use yorkies_tests::manual::{Block, expect_alike};
use yorkies_tests::{
    DocumentStore, Etcd, Process, Settings, TestEnvironment, document_server_binary, eventually,
    own_address,
};

use crate::folder::Folder;

/// As the documents have it.
const MEMBER: &str = "yorkie-0";
const ADDRESS: &str = "10.0.0.1:8080";
const ADMIN: &str = "10.0.0.5:18001";
const ETCD: [&str; 2] = ["10.0.0.7:2379", "10.0.0.8:2379"];
const TOKEN_FILE: &str = "admin-token";

/// Runs commands that go on, beside a control plane that is configured so, until
/// the member serves and what they are said to print is there.
pub(crate) async fn expect_member(
    env: &mut TestEnvironment,
    configuration: &Block,
    commands: &str,
    said: &str,
) -> Result<()> {
    let mut folder = Folder::new(env.folder(), &configuration.place)?;
    let (address, admin) = (own_address()?, own_address()?);
    folder.place(ADDRESS, &address.to_string());
    folder.place(ADMIN, &admin.to_string());
    let mut environment = String::new();
    let etcd = if configuration.text.contains(ETCD[0]) {
        Some(Etcd::start_cluster(folder.path(), ETCD.len()).await?)
    } else {
        None
    };
    if let Some(etcd) = &etcd {
        for (written, endpoint) in ETCD.iter().zip(etcd.endpoints()) {
            folder.place(&format!("http://{written}"), &endpoint);
        }
        let endpoints = etcd.endpoints().join(",");
        environment = format!("export ETCDCTL_API=3 ETCDCTL_ENDPOINTS={endpoints}\n");
    }
    let shown: Value = serde_saphyr::from_str(&folder.here(&configuration.text))?;
    let settings = Settings {
        registry: shown["registry"].to_string(),
        admin,
        ..Settings::default()
    };
    let control_plane = env.control_plane(settings).await?;
    fs::copy(control_plane.token_file(), folder.path().join(TOKEN_FILE))?;

    let store = DocumentStore::start(folder.path()).await?;
    let server = document_server_binary()?;
    let serve = format!(
        "SERVE='{} serve --id {MEMBER} --store {} --listen {address}'\n",
        server.display(),
        store.url()
    );
    folder.write("yorkie.env", &serve)?;
    let command = folder.script(&(environment + commands))?;
    let mut process = Process::spawn(command, "registers", folder.path())?;
    let expected = format!("{MEMBER}={address}*1");
    control_plane.wait_for_members(&[expected]).await?;
    let said = format!("{}\n...", folder.here(said).trim_end());
    eventually("printed", async || {
        process.expect_running().context("it ended")?;
        expect_alike(&said, &process.output()?)
    })
    .await
}
