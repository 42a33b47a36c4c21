//! Calls that only have a document's id, without a key in any header: the
//! router has learned whose it is when the document was attached.

use anyhow::{Context, Result, ensure};
use document_server::api;
use http::Method;
use prost::Message;
use serde_json::{Value, json};
use sharding::{API_KEY, Kind};
use yorkies_tests::{
    Client, Documents, Mode, Protocol, Reply, Request, Router, Rpc, Settings, TestEnvironment,
    document_id, equal_weights, eventually,
};

const PROJECT: &str = "abcdefghij0123456789AB";
const SERVICE: &str = "/yorkie.v1.YorkieService";

/// Document servers behind a router, and a client that names no key in a header.
struct Scene {
    documents: Documents,
    client: Client,
}

impl Scene {
    async fn start(env: &mut TestEnvironment) -> Result<Self> {
        let documents = Documents::start(env, Settings::default(), Mode::Delta).await?;
        Ok(Self {
            client: documents.envoy.client(Protocol::H2c).await?,
            documents,
        })
    }

    fn owner(&self, document: &str) -> Result<&str> {
        self.documents.owner(&format!("{PROJECT}/{document}"))
    }

    async fn call(&self, method: &str, message: &Value) -> Result<Reply> {
        let request = Request::new(Method::POST, &format!("{SERVICE}/{method}"))
            .header("content-type", "application/json")?
            .header(API_KEY, PROJECT)?
            .body(message.to_string());
        self.client.send(&request).await
    }

    async fn answer(&self, method: &str, message: &Value) -> Result<(String, Value)> {
        let reply = self.call(method, message).await?;
        ensure!(reply.status.is_success(), "{method}: {}", reply.text());
        Ok((served_by(&reply)?, serde_json::from_str(&reply.text())?))
    }

    /// Activates a client and attaches the document; returns their ids.
    async fn attach(&self, document: &str) -> Result<(String, String)> {
        let activate = json!({"clientKey": format!("client-of-{document}")});
        let (_, activated) = self.answer("ActivateClient", &activate).await?;
        let client = activated["clientId"].as_str().context("no client id")?;
        let pack = json!({
            "documentKey": document,
            "checkpoint": {"serverSeq": "0", "clientSeq": 0},
        });
        let attach = json!({"clientId": client, "changePack": pack});
        let (server, attached) = self.answer("AttachDocument", &attach).await?;
        ensure!(server == self.owner(document)?, "attached at {server}");
        let id = attached["documentId"].as_str().context("no document id")?;
        Ok((client.to_owned(), id.to_owned()))
    }
}

fn served_by(reply: &Reply) -> Result<String> {
    let server = reply.headers.get("x-served-by");
    let server = server.with_context(|| format!("{}: {}", reply.status, reply.text()))?;
    Ok(server.to_str()?.to_owned())
}

#[test]
fn a_call_by_id_reaches_the_owner_of_the_document_that_was_attached() {
    TestEnvironment::run(async |env| {
        let scene = Scene::start(env).await?;
        for number in 0..12 {
            let document = format!("learned-note-{number}");
            let (client, id) = scene.attach(&document).await?;
            let owner = scene.owner(&document)?;
            let by_id = json!({"clientId": client, "documentId": id});
            // Any worker may get the call, whichever has seen the attachment.
            for _ in 0..6 {
                let server = served_by(&scene.call("ListRevisions", &by_id).await?)?;
                ensure!(server == owner, "{document} of {owner} listed by {server}");
            }
            let watch = api::WatchDocumentRequest {
                client_id: client,
                document_id: id,
            };
            let server = watch_over_grpc(&scene.client, &watch).await?;
            ensure!(server == owner, "{document} of {owner} watched at {server}");
        }
        let part = format!(" key={PROJECT}/learned-note-11 note=source:learned,inspected:");
        eventually("in the access log", async || {
            let log = scene.documents.envoy.log().await?;
            let lines = log.lines().filter(|line| line.contains(&part)).count();
            // A watch is only written down when it ends.
            ensure!(lines >= 6, "{lines} lines have {part:?}: {log}");
            Ok(())
        })
        .await
    });
}

/// Opens the watch over gRPC and says who serves it.
async fn watch_over_grpc(client: &Client, watch: &api::WatchDocumentRequest) -> Result<String> {
    let message = watch.encode_to_vec();
    let length = u32::try_from(message.len())?.to_be_bytes();
    let request = Request::new(Method::POST, &format!("{SERVICE}/WatchDocument"))
        .header("content-type", "application/grpc+proto")?
        .header(API_KEY, PROJECT)?
        .body([&[0][..], &length, &message].concat());
    let response = client.open(&request).await?;
    let server = response.headers().get("x-served-by");
    Ok(server
        .context("nobody serves the watch")?
        .to_str()?
        .to_owned())
}

#[test]
fn ids_are_learned_from_compressed_answers_too() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let settings = Settings::default();
        let router = Router::start(env, settings, Mode::Delta, equal_weights(&members)).await?;
        let (key, id) = (
            "change_pack=2.document_key=1".parse()?,
            "document_id=2".parse()?,
        );
        for rpc in Rpc::ALL {
            let document = format!("zipped-by-{rpc:?}");
            let expected = format!("{PROJECT}/{document}");
            let attach = rpc
                .call(
                    &format!("{SERVICE}/AttachDocument"),
                    Kind::Unary,
                    &[(&key, &document)],
                )?
                .header(API_KEY, PROJECT)?
                .header("accept-encoding", "gzip")?
                .header("grpc-accept-encoding", "gzip")?;
            let reply = router.h2c.send(&attach).await?;
            reply.answer()?;
            let encodings =
                ["content-encoding", "grpc-encoding"].map(|name| reply.header(name).ok());
            ensure!(
                encodings.contains(&Some("gzip")),
                "not compressed: {reply:?}"
            );

            let list = format!("{SERVICE}/ListRevisions");
            let given = document_id(&expected);
            let list = rpc.call(&list, Kind::Unary, &[(&id, &given)])?;
            let answer = router
                .http1
                .send(&list.header(API_KEY, PROJECT)?)
                .await?
                .answer()?;
            ensure!(answer.key()? == expected, "{rpc:?}: {answer:?}");
        }
        Ok(())
    });
}

#[test]
fn an_id_that_nobody_attached_is_refused_for_now_and_not_guessed() {
    TestEnvironment::run(async |env| {
        let scene = Scene::start(env).await?;
        let unknown = json!({"clientId": "000000000000000000000001", "documentId": "000000000000000000000002"});
        let reply = scene.call("ListRevisions", &unknown).await?;
        ensure!(
            reply.status == http::StatusCode::SERVICE_UNAVAILABLE
                && reply.text().contains("not known to this proxy")
                && reply.headers.get("x-served-by").is_none(),
            "{reply:?}"
        );
        eventually("routing still", async || {
            scene.attach("still-works").await.map(|_| ())
        })
        .await
    });
}
