//! The real JS SDK through the router: clients of one document meet on its
//! owner, whatever they speak.

use anyhow::{Result, ensure};
use document_server::sdk::{Run, two_clients};
use yorkies_tests::{Documents, Mode, Settings, TestEnvironment};

/// Two clients edit the document `name` of the project and see each other's
/// edits, and every call about it is served by its owner.
async fn clients_meet(
    documents: &Documents,
    (project, name): (&str, &str),
    more: &[&str],
) -> Result<()> {
    let url = format!("http://{}", documents.envoy.address().await?);
    let common = ["--url", &url, "--document", name, "--api-key", project];
    let run = two_clients(&[&common, more].concat()).await?;
    let result = run.result()?;
    ensure!(run.success, "an edit was lost: {result}");
    ensure!(
        result["documents"]["one"] == result["documents"]["two"],
        "the clients differ: {result}"
    );
    expect_owner(documents, &run, &format!("{project}/{name}"))
}

fn expect_owner(documents: &Documents, run: &Run, key: &str) -> Result<()> {
    let owner = documents.owner(key)?;
    let calls: Vec<_> = run
        .events("rpc")
        .into_iter()
        .filter(|call| call["shard_key"] == key)
        .collect();
    ensure!(calls.len() > 4, "only {} calls about {key}", calls.len());
    for call in calls {
        ensure!(
            call["served_by"] == owner,
            "{owner} owns {key}, but: {call}"
        );
    }
    Ok(())
}

#[test]
fn two_clients_see_each_others_edits_over_connect() {
    TestEnvironment::run(async |env| {
        let documents = Documents::start(env, Settings::default(), Mode::Delta).await?;
        // Several documents, so that more than one server is an owner.
        for name in ["connect-one", "connect-two", "connect-three"] {
            let document = ("abcdefghij0123456789AB", name);
            clients_meet(&documents, document, &["--edits", "3"]).await?;
        }
        clients_meet(&documents, ("", "no-project"), &["--concurrent"]).await
    });
}

#[test]
fn two_clients_see_each_others_edits_over_grpc_web() {
    TestEnvironment::run(async |env| {
        let documents = Documents::start(env, Settings::default(), Mode::Sotw).await?;
        let web = ["--transport", "grpc-web"];
        for project in ["abcdefghij0123456789AB", ""] {
            clients_meet(&documents, (project, "web-document"), &web).await?;
        }
        Ok(())
    });
}
