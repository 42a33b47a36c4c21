//! The real JS SDK through the router: clients of one document meet on its
//! owner, whatever they speak.

use anyhow::{Context, Result, ensure};
use document_server::api::{PeekChannelRequest, PeekChannelResponse};
use document_server::sdk::{Run, two_clients};
use http::uri::PathAndQuery;
use sharding::{Assignment, Policy, Roster};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use yorkies_tests::{DocumentServer, DocumentStore, Mode, Settings, TestEnvironment, assignment};

/// Three document servers behind an Envoy; then `test`, with the assignment and
/// Envoy's URL.
async fn with_router(
    env: &mut TestEnvironment,
    mode: Mode,
    test: impl AsyncFnOnce(&Assignment, &str) -> Result<()>,
) -> Result<()> {
    let folder = env.folder().to_owned();
    let store = DocumentStore::start(&folder).await?;
    let mut servers = Vec::new();
    for number in 0..3 {
        servers.push(DocumentServer::start(&folder, &format!("yorkie-{number}"), &store).await?);
    }
    let entries: Vec<_> = servers.iter().map(|server| server.entry(1)).collect();
    let control_plane = env.control_plane(Settings::default()).await?;
    control_plane
        .members()
        .replace(&Roster::new(entries.clone())?)?;
    let envoy = env.envoy(&control_plane, mode).await?;
    let url = format!("http://{}", envoy.address().await?);
    test(&assignment(Policy::default(), entries)?, &url).await
}

/// Two clients edit the document `name` of the project and see each other's
/// edits, and every call about it is served by its owner.
async fn clients_meet(
    assignment: &Assignment,
    url: &str,
    (project, name): (&str, &str),
    more: &[&str],
) -> Result<()> {
    let common = ["--url", url, "--document", name, "--api-key", project];
    let run = two_clients(&[&common, more].concat()).await?;
    let result = run.result()?;
    ensure!(run.success, "an edit was lost: {result}");
    ensure!(
        result["documents"]["one"] == result["documents"]["two"],
        "the clients differ: {result}"
    );
    expect_owner(assignment, &run, &format!("{project}/{name}"))
}

fn expect_owner(assignment: &Assignment, run: &Run, key: &str) -> Result<()> {
    let owner = assignment.owner(key.as_bytes()).context("no members")?;
    let calls: Vec<_> = run
        .events("rpc")
        .into_iter()
        .filter(|call| call["shard_key"] == key)
        .collect();
    ensure!(calls.len() > 4, "only {} calls about {key}", calls.len());
    for call in calls {
        ensure!(
            call["served_by"] == *owner.member.id,
            "{} owns {key}, but: {call}",
            owner.member.id
        );
    }
    Ok(())
}

#[test]
fn two_clients_see_each_others_edits_over_connect() {
    TestEnvironment::run(async |env| {
        with_router(env, Mode::Delta, async |assignment, url| {
            // Several documents, so that more than one server is an owner.
            for name in ["connect-one", "connect-two", "connect-three"] {
                let document = ("abcdefghij0123456789AB", name);
                clients_meet(assignment, url, document, &["--edits", "3"]).await?;
            }
            clients_meet(assignment, url, ("", "no-project"), &["--concurrent"]).await
        })
        .await
    });
}

#[test]
fn two_clients_see_each_others_edits_over_grpc_web() {
    TestEnvironment::run(async |env| {
        with_router(env, Mode::Sotw, async |assignment, url| {
            let web = ["--transport", "grpc-web"];
            for project in ["abcdefghij0123456789AB", ""] {
                clients_meet(assignment, url, (project, "web-document"), &web).await?;
            }
            Ok(())
        })
        .await
    });
}

/// A client without a Yorkie SDK: gRPC by the book, and no key in any header.
#[test]
fn a_plain_grpc_client_that_names_no_key_reaches_the_owner() {
    TestEnvironment::run(async |env| {
        with_router(env, Mode::Delta, async |assignment, url| {
            let channel = Channel::from_shared(url.to_owned())?.connect().await?;
            for number in 0..10 {
                let channel_key = format!("room-{number}.desk");
                let message = PeekChannelRequest { channel_key };
                let mut client = Grpc::new(channel.clone());
                client.ready().await?;
                let path = PathAndQuery::from_static("/yorkie.v1.YorkieService/PeekChannel");
                let codec = ProstCodec::<PeekChannelRequest, PeekChannelResponse>::default();
                let mut request = tonic::Request::new(message);
                let metadata = request.metadata_mut();
                metadata.insert("x-api-key", "abcdefghij0123456789AB".parse()?);
                let response = client.unary(request, path, codec).await?;
                let key = format!("abcdefghij0123456789AB/room-{number}");
                let owner = assignment.owner(key.as_bytes()).context("no members")?;
                let served_by = response.metadata().get("x-served-by");
                ensure!(
                    served_by.is_some_and(|server| *server == *owner.member.id),
                    "{} owns {key}, but: {response:?}",
                    owner.member.id
                );
            }
            Ok(())
        })
        .await
    });
}
