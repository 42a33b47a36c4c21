//! Asks a running control plane.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

use crate::config::ADMIN_PORT;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Largest answer: some tens of thousands of members and proxies.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// Where an admin interface is: `http://HOST:PORT`, also with a path in front
/// of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminUrl(String);

impl AdminUrl {
    /// The default address, on this machine.
    pub(crate) fn local() -> Self {
        Self(format!("http://127.0.0.1:{ADMIN_PORT}"))
    }

    /// What is at that path.
    ///
    /// # Errors
    /// When nobody answers, or something else than expected.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let url = format!("{}{path}", self.0);
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let mut response = agent
            .get(&url)
            .call()
            .with_context(|| format!("{url}: no answer"))?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        let text = body
            .read_to_string()
            .with_context(|| format!("{url}: the answer breaks off"))?;
        let status = response.status();
        if !status.is_success() {
            let reason = text.lines().next().unwrap_or_default();
            bail!("{url}: {status}: {reason}");
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{url}: is no admin interface of this version"))
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AdminUrl {
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
    fn an_admin_url_is_plain_http() {
        for (text, url) in [
            ("http://127.0.0.1:1", "http://127.0.0.1:1"),
            ("http://[::1]:1/", "http://[::1]:1"),
            ("http://gateway/yorkies/", "http://gateway/yorkies"),
        ] {
            assert_eq!(text.parse(), Ok(AdminUrl(url.to_owned())));
        }
        for text in [
            "",
            "127.0.0.1:1",
            "https://a",
            "http://",
            "http:///x",
            "http://a b",
        ] {
            let error = text.parse::<AdminUrl>().unwrap_err();
            assert!(error.ends_with("expected http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn nobody_there_is_an_error_with_the_url() {
        let url: AdminUrl = "http://127.0.0.1:1".parse().unwrap();
        let error = url.get::<u8>("/x").unwrap_err().to_string();
        assert_eq!(error, "http://127.0.0.1:1/x: no answer");
    }
}
