//! Calls to other instances, through the router like everybody's.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use serde_json::Value;

use crate::api;
use crate::protocol::error::{Code, RpcError};

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A handle on the router.
#[derive(Debug)]
pub(super) struct ClusterClient {
    gateway: Uri,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl ClusterClient {
    pub(super) fn new(gateway: Uri) -> Self {
        Self {
            gateway,
            http: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Asks the document's own instance to detach a client.
    pub(super) async fn detach_document(
        &self,
        request: &api::ClusterDetachDocumentRequest,
    ) -> Result<(), RpcError> {
        let public_key = request
            .project
            .as_ref()
            .map_or("", |project| &project.public_key);
        let shard_key = format!("{public_key}/{}", request.document_key);
        let gateway = self.gateway.to_string();
        let path = "yorkie.v1.ClusterService/DetachDocument";
        let unavailable = |error: &dyn std::fmt::Display| {
            RpcError::new(Code::Unavailable, format!("cluster call: {error}"))
        };
        let call = Request::post(format!("{}/{path}", gateway.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/proto")
            .header("connect-protocol-version", "1")
            .header("x-shard-key", shard_key)
            .body(Full::from(request.encode_to_vec()))
            .map_err(|error| unavailable(&error))?;
        let answer = tokio::time::timeout(LIMIT, self.http.request(call)).await;
        let answer = answer
            .map_err(|e| unavailable(&e))?
            .map_err(|e| unavailable(&e))?;
        if answer.status() == StatusCode::OK {
            return Ok(());
        }
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|e| unavailable(&e))?
            .to_bytes();
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let code = error["code"]
            .as_str()
            .and_then(Code::from_name)
            .unwrap_or(Code::Unavailable);
        let message = error["message"].as_str().unwrap_or_default();
        Err(RpcError::new(
            code,
            format!("cluster call answered {status}: {message}"),
        ))
    }
}
