//! A client that writes Connect JSON by hand, does one thing at a time, and
//! tells what an SDK would hide: who answered, and what was refused.

mod editor;
mod watch;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use thiserror::Error;

pub use editor::{Editor, texts};
pub use watch::Watch;

/// A client over HTTP/1.1; connections are kept and shared by its clones.
pub type Http = HttpClient<HttpConnector, Full<Bytes>>;

/// Where calls go and in whose name.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http,
    /// Base URL of the server or router.
    pub url: String,
    /// Public key of the project; empty for none.
    pub project: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The message.
    pub message: Value,
    /// Id of the server that it is from.
    pub server: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, Error)]
pub enum CallError {
    /// The Connect error that came instead.
    #[error("refused with {status}: {error}")]
    Refused {
        /// Status of the response.
        status: StatusCode,
        /// Its body, as JSON or as a text.
        error: Value,
    },
    /// Nothing came that could be read.
    #[error("no answer: {0}")]
    Broken(String),
}

impl CallError {
    /// The Connect error, if one came.
    #[must_use]
    pub fn refusal(&self) -> Option<&Value> {
        match self {
            Self::Refused { error, .. } => Some(error),
            Self::Broken(_) => None,
        }
    }

    fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

impl Client {
    /// A client of the server or router at that URL.
    #[must_use]
    pub fn new(url: impl Into<String>, project: impl Into<String>) -> Self {
        Self {
            http: HttpClient::builder(TokioExecutor::new()).build_http(),
            url: url.into(),
            project: project.into(),
        }
    }

    /// The same client, through another server or router.
    #[must_use]
    pub fn through(&self, url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..self.clone()
        }
    }

    /// Calls a method of `YorkieService` about `resource`, which becomes the
    /// shard key, as SDKs have it.
    ///
    /// # Errors
    /// When it is refused, or nothing comes.
    pub async fn call(
        &self,
        method: &str,
        resource: &str,
        message: &Value,
    ) -> Result<Answer, CallError> {
        let request = self
            .request(method, resource, "application/json")
            .body(Full::from(message.to_string()))
            .map_err(CallError::broken)?;
        let response = self.http.request(request).await;
        let (head, body) = response.map_err(CallError::broken)?.into_parts();
        let body = body.collect().await.map_err(CallError::broken)?.to_bytes();
        let text = || Value::from(String::from_utf8_lossy(&body).into_owned());
        let message = serde_json::from_slice(&body).unwrap_or_else(|_| text());
        if head.status != StatusCode::OK {
            let (status, error) = (head.status, message);
            return Err(CallError::Refused { status, error });
        }
        let server = head.headers.get("x-served-by");
        let server = server.and_then(|id| id.to_str().ok()).unwrap_or_default();
        Ok(Answer {
            message,
            server: server.to_owned(),
        })
    }

    fn request(&self, method: &str, resource: &str, codec: &str) -> http::request::Builder {
        let request = Request::post(format!("{}/yorkie.v1.YorkieService/{method}", self.url))
            .header("content-type", codec)
            .header("x-shard-key", format!("{}/{resource}", self.project));
        if self.project.is_empty() {
            request
        } else {
            request.header("x-api-key", &self.project)
        }
    }
}
