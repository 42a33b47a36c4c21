//! Asks another server over plain HTTP: a running control plane, a document
//! server.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::http::StatusCode;

use crate::api::Problem;
use crate::config::ADMIN_PORT;
use crate::token::Token;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Largest answer: some tens of thousands of members and proxies.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// Where a server is: `http://HOST:PORT`, also with a path in front of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl(String);

/// Why there is no answer that can be used.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Nobody is there.
    #[error("{url}: no answer")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// What the network said.
        source: ureq::Error,
    },
    /// The server says no.
    #[error("{url}: {status}: {reason}")]
    Refused {
        /// What was asked.
        url: String,
        /// How it says so.
        status: StatusCode,
        /// First line of what it says.
        reason: String,
    },
    /// There is no way to ask that.
    #[error("{url}: the question has no JSON")]
    Unsendable {
        /// What was to be asked.
        url: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// Something else answered.
    #[error("{url}: is not what was expected there")]
    Unreadable {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
}

/// A control plane that runs, and on whose behalf it is asked.
#[derive(Debug, Clone)]
pub(crate) struct RunningServer {
    /// Its admin interface.
    pub(crate) url: ServerUrl,
    /// What allows changes.
    pub(crate) token: Option<Token>,
}

impl RunningServer {
    /// As [`ServerUrl::get`].
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.url.get(path, self.token())
    }

    /// As [`ServerUrl::post`].
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.url.post(path, self.token(), message)
    }

    /// As [`ServerUrl::check`].
    pub(crate) fn check(&self, path: &str) -> Result<(), ClientError> {
        self.url.check(path)
    }

    fn token(&self) -> Option<&str> {
        self.token.as_ref().map(Token::reveal)
    }
}

impl ClientError {
    /// Whether another attempt may go better, as things are.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            Self::Unsendable { .. } | Self::Unreadable { .. } => false,
        }
    }
}

impl ServerUrl {
    /// The admin interface of a control plane on this machine.
    pub(crate) fn local_admin() -> Self {
        Self(format!("http://127.0.0.1:{ADMIN_PORT}"))
    }

    /// What is at that path, as JSON, for whom `token` stands for.
    ///
    /// # Errors
    /// When nobody answers, or something else than expected.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&str>,
    ) -> Result<T, ClientError> {
        let url = self.at(path);
        let asked = authorized(agent().get(&url), token).call();
        read(&text(&url, asked)?, url)
    }

    /// Whether whatever is at that path answers with a success.
    ///
    /// # Errors
    /// When nobody answers, or that it does not.
    pub(crate) fn check(&self, path: &str) -> Result<(), ClientError> {
        let url = self.at(path);
        text(&url, agent().get(&url).call()).map(drop)
    }

    /// The answer to a message, both in JSON, on behalf of whom `token` stands for.
    ///
    /// # Errors
    /// When nobody answers, or something else than expected.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&str>,
        message: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.at(path);
        let message = serde_json::to_vec(message).map_err(|source| ClientError::Unsendable {
            url: url.clone(),
            source,
        })?;
        let request = agent().post(&url).content_type("application/json");
        let asked = authorized(request, token).send(message);
        read(&text(&url, asked)?, url)
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

fn authorized<B>(request: ureq::RequestBuilder<B>, token: Option<&str>) -> ureq::RequestBuilder<B> {
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .new_agent()
}

fn text(
    url: &str,
    asked: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<String, ClientError> {
    let no_answer = |source| ClientError::NoAnswer {
        url: url.to_owned(),
        source,
    };
    let mut response = asked.map_err(no_answer)?;
    let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    let text = body.read_to_string().map_err(no_answer)?;
    let status = response.status();
    if status.is_success() {
        return Ok(text);
    }
    Err(ClientError::Refused {
        url: url.to_owned(),
        status,
        reason: reason(&text),
    })
}

/// What a refusal says: ours in JSON, those of others in the first line.
fn reason(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(Problem { error }) => error,
        Err(_) => text.lines().next().unwrap_or_default().to_owned(),
    }
}

fn read<T: DeserializeOwned>(text: &str, url: String) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|source| ClientError::Unreadable { url, source })
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").unwrap_or_default();
        if rest.is_empty() || rest.starts_with('/') || !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("{text:?} is not usable: expected http://HOST:PORT"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

#[cfg(test)]
mod tests;
