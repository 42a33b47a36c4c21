//! `verify: body`: what a header says is compared with the message.

use anyhow::{Context, Result, ensure};
use sharding::{API_KEY, Kind, SHARD_KEY};
use yorkies_tests::{
    Mode, Refusal, Request, Router, Rpc, Settings, TestEnvironment, document_id, equal_weights,
};

/// Also that of the fixture's own requests, which have no other project to show.
const PROJECT: &str = "project";
const OTHER_PROJECT: &str = "somebody-elses";

const ATTACH: &str = "/yorkie.v1.YorkieService/AttachDocument";
const PUSH_PULL: &str = "/yorkie.v1.YorkieService/PushPullChanges";
const LIST_REVISIONS: &str = "/yorkie.v1.YorkieService/ListRevisions";
const ACTIVATE: &str = "/yorkie.v1.YorkieService/ActivateClient";
const LIST_BY_ADMIN: &str = "/yorkie.v1.AdminService/ListRevisionsByAdmin";

/// A document in the message of [`PUSH_PULL`].
const DOCUMENT: &str = "change_pack=3.document_key=1";

const VERIFYING: &str = "
verify: body
default_project: project
projects:
- { name: notes, public_key: project }
";

async fn start(env: &mut TestEnvironment, more: &'static str) -> Result<Router> {
    let members = env.members(5).await?;
    let settings = Settings {
        more,
        ..Settings::default()
    };
    Router::start(env, settings, Mode::Delta, equal_weights(&members)).await
}

/// A call with these fields in its message.
fn call(rpc: Rpc, path: &str, fields: &[(&str, &str)]) -> Result<Request> {
    let parsed: Result<Vec<_>, _> = fields.iter().map(|(field, _)| field.parse()).collect();
    let parsed = parsed?;
    let texts = fields.iter().map(|(_, text)| *text);
    let fields: Vec<_> = parsed.iter().zip(texts).collect();
    rpc.call(path, Kind::Unary, &fields)
}

fn of_project(request: Request) -> Result<Request> {
    request.header(API_KEY, PROJECT)
}

/// Expects the owner of that key to answer, over both versions of HTTP.
async fn expect_routed(router: &Router, request: &Request, key: &str) -> Result<()> {
    let expected = router.expected()?;
    let owner = expected.owner(key.as_bytes()).context("no member")?.member;
    for client in [&router.h2c, &router.http1] {
        let reply = client.send(request).await?;
        let answer = reply.answer().with_context(|| format!("{request:?}"))?;
        ensure!(
            answer.key()? == key && answer.member == owner.id,
            "expected {key} at {}: {answer:?}",
            owner.id
        );
    }
    Ok(())
}

/// Expects a refusal that says all of this.
async fn expect_refused(router: &Router, request: &Request, parts: &[&str]) -> Result<()> {
    for client in [&router.h2c, &router.http1] {
        let reply = client.send(request).await?;
        let refusal = Refusal::read(&reply, request.content_type())?;
        ensure!(
            refusal.code == "invalid_argument"
                && parts.iter().all(|part| refusal.message.contains(part)),
            "expected {parts:?}: {refusal:?}"
        );
    }
    Ok(())
}

#[test]
fn a_header_that_names_another_document_than_the_message_is_refused() {
    TestEnvironment::run(async |env| {
        let router = start(env, VERIFYING).await?;
        for rpc in Rpc::ALL {
            let message = of_project(call(rpc, PUSH_PULL, &[(DOCUMENT, "note")])?)?;
            let key = format!("{PROJECT}/note");
            expect_routed(&router, &message, &key).await?;
            for header in [&key, "/note", " /n%6Fte"] {
                let request = message.clone().header(SHARD_KEY, header)?;
                expect_routed(&router, &request, &key).await?;
            }
            let forged = message.header(SHARD_KEY, format!("{PROJECT}/another"))?;
            let parts = [
                "header x-shard-key",
                "/another",
                "the message names",
                "/note",
            ];
            expect_refused(&router, &forged, &parts).await?;
        }
        Ok(())
    });
}

#[test]
fn a_header_that_names_another_document_than_the_id_in_the_message_is_refused() {
    TestEnvironment::run(async |env| {
        let router = start(env, VERIFYING).await?;
        for rpc in Rpc::ALL {
            let document = format!("by-{rpc:?}");
            let key = format!("{PROJECT}/{document}");
            let field = "change_pack=2.document_key=1";
            let attach = of_project(call(rpc, ATTACH, &[(field, &document)])?)?;
            expect_routed(&router, &attach, &key).await?;
            let id = document_id(&key);
            let by_id = of_project(call(rpc, LIST_REVISIONS, &[("document_id=2", &id)])?)?;
            let request = by_id.clone().header(SHARD_KEY, &key)?;
            expect_routed(&router, &request, &key).await?;
            let forged = by_id.header(SHARD_KEY, format!("{PROJECT}/another"))?;
            let parts = [
                "header x-shard-key",
                "/another",
                "the message names",
                &document,
            ];
            expect_refused(&router, &forged, &parts).await?;
        }
        Ok(())
    });
}

#[test]
fn a_header_that_names_another_project_is_refused_wherever_the_request_names_its_own() {
    TestEnvironment::run(async |env| {
        let router = start(env, VERIFYING).await?;
        let own = format!("{PROJECT}/note");
        let other = format!("{OTHER_PROJECT}/note");
        let parts = ["header x-shard-key", OTHER_PROJECT, PROJECT];
        for rpc in Rpc::ALL {
            let by_default = call(rpc, PUSH_PULL, &[(DOCUMENT, "note")])?;
            let by_api_key = of_project(by_default.clone())?;
            let fields = [("project_name=1", "notes"), ("document_key=2", "note")];
            let by_message = call(rpc, LIST_BY_ADMIN, &fields)?;
            for request in [by_default, by_api_key, by_message] {
                let right = request.clone().header(SHARD_KEY, &own)?;
                expect_routed(&router, &right, &own).await?;
                let wrong = request.header(SHARD_KEY, &other)?;
                expect_refused(&router, &wrong, &parts).await?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_clients_key_is_that_of_its_message_however_its_header_spells_it() {
    TestEnvironment::run(async |env| {
        let router = start(env, VERIFYING).await?;
        let key = format!("{PROJECT}/Zo%C3%AB%27s%20tablet");
        for rpc in Rpc::ALL {
            let activate = call(rpc, ACTIVATE, &[("client_key=1", "Zoë's tablet")])?;
            let activate = of_project(activate)?;
            expect_routed(&router, &activate, &key).await?;
            // As Latin-1, as UTF-8, and as those send it who replace what they cannot write.
            for spelling in [
                &b"Zo\xeb's tablet"[..],
                "Zoë's tablet".as_bytes(),
                b"Zo?'s tablet",
            ] {
                let header = [PROJECT.as_bytes(), b"/", spelling].concat();
                let request = activate.clone().header(SHARD_KEY, header)?;
                expect_routed(&router, &request, &key).await?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_message_that_cannot_be_compared_does_not_get_through() {
    TestEnvironment::run(async |env| {
        let router = start(env, VERIFYING).await?;
        let key = format!("{PROJECT}/note");
        let message = r#"{"changePack":{"documentKey":"another"}}"#;
        for (content_type, code) in [("text/plain", "unimplemented"), ("", "unimplemented")] {
            let request = Request::new(http::Method::POST, PUSH_PULL)
                .header("content-type", content_type)?
                .header(SHARD_KEY, &key)?
                .body(message);
            let reply = router.h2c.send(&request).await?;
            let refusal = Refusal::read(&reply, content_type)?;
            ensure!(refusal.code == code, "{content_type:?}: {refusal:?}");
        }
        let cut = call(Rpc::ConnectJson, PUSH_PULL, &[(DOCUMENT, "note")])?;
        let half = cut.content()[..cut.content().len() / 2].to_vec();
        let cut = of_project(cut)?.header(SHARD_KEY, &key)?.body(half);
        expect_refused(&router, &cut, &["the body ends within JSON"]).await
    });
}

/// The opposite of all of the above, so that it is the setting that is tested.
#[test]
fn without_it_a_clients_word_for_its_own_documents_is_taken() {
    TestEnvironment::run(async |env| {
        let router = start(env, "").await?;
        for rpc in Rpc::ALL {
            let message = of_project(call(rpc, PUSH_PULL, &[(DOCUMENT, "note")])?)?;
            let key = format!("{PROJECT}/another");
            let request = message.clone().header(SHARD_KEY, &key)?;
            expect_routed(&router, &request, &key).await?;
            // But not for those of others.
            let forged = message.header(SHARD_KEY, format!("{OTHER_PROJECT}/note"))?;
            expect_refused(&router, &forged, &[OTHER_PROJECT, PROJECT]).await?;
        }
        Ok(())
    });
}
