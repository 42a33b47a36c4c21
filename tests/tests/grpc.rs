//! Clients without a Yorkie SDK: gRPC by the book, and no key in any header.

use anyhow::{Context, Result, ensure};
use document_server::api::resource_descriptor::Resource;
use document_server::api::{
    ActivateClientRequest, ActivateClientResponse, AttachDocumentRequest, AttachDocumentResponse,
    ChangePack, Checkpoint, DocumentDescriptor, PeekChannelRequest, PeekChannelResponse,
    PushPullChangesRequest, PushPullChangesResponse, ResourceDescriptor, WatchRequest,
};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use yorkies_tests::{Documents, GrpcClient, GrpcReply, Mode, Settings, TestEnvironment};

const PROJECT: &str = "abcdefghij0123456789AB";
const METADATA: [(&str, &str); 1] = [("x-api-key", PROJECT)];

#[test]
fn tonic_reaches_the_owner_of_a_channel() {
    TestEnvironment::run(async |env| {
        let documents = Documents::start(env, Settings::default(), Mode::Delta).await?;
        let url = format!("http://{}", documents.envoy.address().await?);
        let channel = Channel::from_shared(url)?.connect().await?;
        for number in 0..10 {
            let channel_key = format!("room-{number}.desk");
            let message = PeekChannelRequest { channel_key };
            let mut client = Grpc::new(channel.clone());
            client.ready().await?;
            let path = PathAndQuery::from_static("/yorkie.v1.YorkieService/PeekChannel");
            let codec = ProstCodec::<PeekChannelRequest, PeekChannelResponse>::default();
            let mut request = tonic::Request::new(message);
            let metadata = request.metadata_mut();
            metadata.insert("x-api-key", PROJECT.parse()?);
            let response = client.unary(request, path, codec).await?;
            let owner = documents.owner(&format!("{PROJECT}/room-{number}"))?;
            let served_by = response.metadata().get("x-served-by");
            ensure!(
                served_by.is_some_and(|server| *server == *owner),
                "{owner} owns room {number}, but: {response:?}"
            );
        }
        Ok(())
    });
}

#[test]
fn grpcio_reaches_the_owner_of_clients_documents_and_channels() {
    TestEnvironment::run(async |env| {
        let documents = Documents::start(env, Settings::default(), Mode::Delta).await?;
        let mut caller = Caller::start(&documents).await?;
        for number in 0..6 {
            let name = format!("grpc-note-{number}");
            let activate = ActivateClientRequest {
                client_key: format!("{name}'s client"),
                ..ActivateClientRequest::default()
            };
            let key = format!("{PROJECT}/{name}%27s%20client");
            let reply = caller.served("ActivateClient", &activate, &key).await?;
            let client_id = ActivateClientResponse::decode(&*reply.message()?)?.client_id;

            let key = format!("{PROJECT}/{name}");
            let pack = ChangePack {
                document_key: name,
                checkpoint: Some(Checkpoint::default()),
                ..ChangePack::default()
            };
            let attach = AttachDocumentRequest {
                client_id: client_id.clone(),
                change_pack: Some(pack.clone()),
                ..AttachDocumentRequest::default()
            };
            let reply = caller.served("AttachDocument", &attach, &key).await?;
            let attached = AttachDocumentResponse::decode(&*reply.message()?)?;

            let push_pull = PushPullChangesRequest {
                client_id: client_id.clone(),
                document_id: attached.document_id.clone(),
                change_pack: Some(ChangePack {
                    checkpoint: attached.change_pack.and_then(|pack| pack.checkpoint),
                    ..pack
                }),
                ..PushPullChangesRequest::default()
            };
            let reply = caller.served("PushPullChanges", &push_pull, &key).await?;
            PushPullChangesResponse::decode(&*reply.message()?)?;

            let document = Resource::Document(DocumentDescriptor {
                document_id: attached.document_id,
            });
            let watch = WatchRequest {
                client_id,
                resources: vec![ResourceDescriptor {
                    resource: Some(document),
                }],
            };
            caller.watches(&watch, &key).await?;
        }
        for number in 0..6 {
            let channel_key = format!("grpc-room-{number}.desk");
            let key = format!("{PROJECT}/grpc-room-{number}");
            let peek = PeekChannelRequest { channel_key };
            caller.served("PeekChannel", &peek, &key).await?;
        }
        ensure!(caller.seen.len() > 1, "all by {:?}", caller.seen);
        Ok(())
    });
}

#[test]
fn grpcio_understands_why_it_is_refused() {
    TestEnvironment::run(async |env| {
        let documents = Documents::start(env, Settings::default(), Mode::Delta).await?;
        let mut caller = Caller::start(&documents).await?;
        let path = "/yorkie.v1.YorkieService/PushPullChanges";
        let by_id = PushPullChangesRequest {
            document_id: "café %41".to_owned(),
            ..PushPullChangesRequest::default()
        };
        let by_id = by_id.encode_to_vec();
        let malformed = [METADATA[0], ("x-shard-key", "100 %")];
        for (metadata, message, code, details) in [
            (&METADATA[..], &[][..], "INVALID_ARGUMENT", "no shard key"),
            (
                &METADATA,
                &by_id,
                "UNAVAILABLE",
                "document id \"café %41\" is not known to this proxy",
            ),
            (
                &malformed,
                &[],
                "INVALID_ARGUMENT",
                "header x-shard-key: shard key \"100 %\" has no \"/\"",
            ),
        ] {
            let reply = caller.client.unary(path, metadata, message).await?;
            ensure!(
                reply.code == code && reply.details.contains(details),
                "expected {code}, {details}: {reply:?}"
            );
            // A stream is refused like anything else.
            let watch = "/yorkie.v1.YorkieService/WatchDocument";
            let client = &mut caller.client;
            let reply = client.first_of_stream(watch, metadata, message).await?;
            ensure!(reply.code == code, "expected {code}: {reply:?}");
        }
        Ok(())
    });
}

/// The client, and what it expects.
struct Caller<'a> {
    client: GrpcClient,
    documents: &'a Documents,
    /// Servers that have answered.
    seen: Vec<String>,
}

impl<'a> Caller<'a> {
    async fn start(documents: &'a Documents) -> Result<Self> {
        Ok(Self {
            client: GrpcClient::start(documents.envoy.address().await?).await?,
            documents,
            seen: Vec::new(),
        })
    }

    /// Calls a method, which the owner of the key has to answer.
    async fn served(
        &mut self,
        method: &str,
        message: &impl Message,
        key: &str,
    ) -> Result<GrpcReply> {
        let path = format!("/yorkie.v1.YorkieService/{method}");
        let message = message.encode_to_vec();
        let reply = self.client.unary(&path, &METADATA, &message).await?;
        self.expect_owner(&reply, key).context(path)?;
        Ok(reply)
    }

    /// Opens a watch, which the owner of the key has to begin.
    async fn watches(&mut self, message: &WatchRequest, key: &str) -> Result<()> {
        let message = message.encode_to_vec();
        let path = "/yorkie.v1.YorkieService/Watch";
        let call = self.client.first_of_stream(path, &METADATA, &message);
        let reply = call.await?;
        self.expect_owner(&reply, key).context(path)
    }

    fn expect_owner(&mut self, reply: &GrpcReply, key: &str) -> Result<()> {
        let owner = self.documents.owner(key)?;
        let server = reply.initial.get("x-served-by");
        ensure!(
            reply.code == "OK" && server.is_some_and(|server| server == owner),
            "{owner} owns {key}, but: {reply:?}"
        );
        if !self.seen.iter().any(|seen| seen == owner) {
            self.seen.push(owner.to_owned());
        }
        Ok(())
    }
}
