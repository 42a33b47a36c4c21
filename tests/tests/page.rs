//! The sample page in a real browser: people write on, whichever server their
//! sheet moves to, and see that it moved. Its screenshots stay in
//! `target/page/`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use document_server::sdk::start_two_pages;
use serde_json::Value;
use sharding::{Member as Entry, Policy};
use yorkies_tests::{
    Cluster, DocumentServer, DocumentStore, Mode, PAGES_RULE, Settings, TestEnvironment,
    assignment, chromium_binary, eventually, patience, target_folder,
};

/// Sheets among which there is one that the new server gets.
const SHEETS: usize = 100;

#[test]
fn two_people_write_on_while_their_sheet_moves_and_see_where_it_went() {
    TestEnvironment::run(async |env| {
        let store = DocumentStore::start(env.folder()).await?;
        let (mut servers, mut entries) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let id = format!("yorkie-{number}");
            let server = DocumentServer::start_with_pages(env.folder(), &id, &store).await?;
            entries.push(server.entry(1));
            servers.push(server);
        }
        let sheet = sheet_that_moves(&entries)?;
        let settings = Settings {
            more: PAGES_RULE,
            ..Settings::default()
        };
        let first = entries[..3].to_vec();
        let mut cluster = Cluster::start(env, settings, &[Mode::Delta], first).await?;
        let before = cluster.owner_of(&format!("/{sheet}"))?.id;
        let url = format!("http://{}/demo/", cluster.envoys[0].address().await?);
        let chromium = chromium_binary()?.display().to_string();
        let screenshots = screenshots()?;
        let folder = screenshots.display().to_string();
        let timeout = patience().as_millis().to_string();
        let arguments = [
            ["--url", &url],
            ["--timeout", &timeout],
            ["--document", &sheet],
            ["--chromium", &chromium],
            ["--screenshots", &folder],
        ];

        let pages = start_two_pages(arguments.as_flattened()).await?;
        eventually("two people writing on one sheet", async || {
            let ready = pages.count("together") + pages.count("result");
            ensure!(ready > 0, "they have not met");
            Ok(())
        })
        .await?;
        cluster.edit(entries)?;
        cluster.rebalanced().await?;
        let run = pages.finish().await?;

        let result = run.result()?;
        ensure!(run.success, "{result:#}");
        let together = run.events("together");
        let together = together.first().context("they never met")?;
        let moved = &result["moved"];
        for person in [0, 1] {
            let (earlier, now) = (&together["pages"][person], &moved["pages"][person]);
            ensure!(earlier["server"] == before, "not on {before}: {earlier:#}");
            ensure!(now["text"] == moved["written"], "not all: {moved:#}");
            expect_told(now, &before)?;
        }
        for name in ["desktop.png", "phone.png"] {
            ensure!(screenshots.join(name).is_file(), "no screenshot {name}");
        }
        Ok(())
    });
}

/// A sheet that the last of the servers gets when it joins the others.
fn sheet_that_moves(entries: &[Entry]) -> Result<String> {
    let new = entries.last().context("no server")?;
    let all = assignment(Policy::default(), entries.to_vec())?;
    let mut names = (0..SHEETS).map(|number| format!("sheet-{number}"));
    let gets = |name: &String| {
        let owner = all.owner(format!("/{name}").as_bytes());
        owner.is_some_and(|owner| owner.member.id == new.id)
    };
    names
        .find(gets)
        .with_context(|| format!("{} gets none", new.id))
}

/// Fails unless the page says where the sheet went, that nothing was lost, and
/// who else is there.
fn expect_told(page: &Value, before: &str) -> Result<()> {
    let server = text(&page["server"])?;
    ensure!(
        server == "yorkie-3" && page["state"] == "connected",
        "{page:#}"
    );
    let told = text(&page["history"][0])?;
    let beginning =
        format!("moved from {before} to {server}: the watch stream was ended and came back after");
    ensure!(
        told.contains(&beginning) && told.ends_with(", no edit lost"),
        "{told:?} is not {beginning:?}"
    );
    ensure!(
        text(&page["count"])?.ends_with("edits, none lost"),
        "{page:#}"
    );
    for others in ["people", "carets"] {
        ensure!(page[others].as_array().map(Vec::len) == Some(1), "{page:#}");
    }
    Ok(())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("no text: {value}"))
}

/// The folder for screenshots, without those of an earlier run.
fn screenshots() -> Result<PathBuf> {
    let folder = target_folder()?.join("page");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(&folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(folder)
}
