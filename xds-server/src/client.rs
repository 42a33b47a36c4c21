//! Asks another server over plain HTTP: a running control plane, a document
//! server.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use ureq::http::StatusCode;

use crate::config::ADMIN_PORT;

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
    /// Something else answered.
    #[error("{url}: is not what was expected there")]
    Unreadable {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
}

impl ClientError {
    /// Whether another attempt may go better, as things are.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            Self::Unreadable { .. } => false,
        }
    }
}

impl ServerUrl {
    /// The admin interface of a control plane on this machine.
    pub(crate) fn local_admin() -> Self {
        Self(format!("http://127.0.0.1:{ADMIN_PORT}"))
    }

    /// What is at that path, as JSON.
    ///
    /// # Errors
    /// When nobody answers, or something else than expected.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = self.at(path);
        let asked = agent().get(&url).call();
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
        message: &Value,
    ) -> Result<T, ClientError> {
        let url = self.at(path);
        let mut request = agent().post(&url).content_type("application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let asked = request.send(message.to_string());
        read(&text(&url, asked)?, url)
    }

    /// Posts nothing to that path, and expects nothing but a success.
    ///
    /// # Errors
    /// When nobody answers, or that it is refused.
    pub(crate) fn order(&self, path: &str) -> Result<(), ClientError> {
        let url = self.at(path);
        text(&url, agent().post(&url).send_empty()).map(drop)
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
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
        reason: text.lines().next().unwrap_or_default().to_owned(),
    })
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
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_in_plain_http() {
        for (text, url) in [
            ("http://127.0.0.1:1", "http://127.0.0.1:1"),
            ("http://[::1]:1/", "http://[::1]:1"),
            ("http://gateway/yorkies/", "http://gateway/yorkies"),
        ] {
            assert_eq!(text.parse(), Ok(ServerUrl(url.to_owned())));
        }
        for text in [
            "",
            "127.0.0.1:1",
            "https://a",
            "http://",
            "http:///x",
            "http://a b",
        ] {
            let error = text.parse::<ServerUrl>().unwrap_err();
            assert!(error.ends_with("expected http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn nobody_there_is_an_error_with_the_url_that_may_pass() {
        let url: ServerUrl = "http://127.0.0.1:1".parse().unwrap();
        let error = url.get::<u8>("/x").unwrap_err();
        assert_eq!(error.to_string(), "http://127.0.0.1:1/x: no answer");
        assert!(error.is_passing());
    }

    #[test]
    fn a_refusal_passes_if_it_is_the_servers_fault() {
        let refused = |status| ClientError::Refused {
            url: String::new(),
            status,
            reason: String::new(),
        };
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE).is_passing());
        assert!(!refused(StatusCode::UNAUTHORIZED).is_passing());
    }
}
