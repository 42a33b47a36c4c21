//! What a client asks for.

use std::collections::HashMap;
use std::time::Duration;

use http::Request;
use http::header::AUTHORIZATION;

use super::Cluster;

/// A question for slices.
pub(super) struct Question {
    parameters: HashMap<String, String>,
}

impl Question {
    /// The question, or the status and the message of why it is none.
    pub(super) fn new<T>(
        request: &Request<T>,
        cluster: &Cluster,
    ) -> Result<Self, (u16, &'static str)> {
        let wanted = cluster
            .token
            .as_ref()
            .map(|token| format!("Bearer {token}"));
        let shown = request.headers().get(AUTHORIZATION);
        if wanted.is_some_and(|wanted| shown.is_none_or(|shown| *shown != *wanted)) {
            return Err((401, "Unauthorized"));
        }
        let namespace = &cluster.namespace;
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        if request.uri().path() != path {
            return Err((404, "the server could not find the requested resource"));
        }
        let query = request.uri().query().unwrap_or_default();
        let parameters = query.split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), decoded(value)))
        });
        let this = Self {
            parameters: parameters.collect(),
        };
        if this.text("labelSelector") != cluster.labels {
            return Err((400, "unable to parse requirement"));
        }
        Ok(this)
    }

    pub(super) fn is_watch(&self) -> bool {
        self.text("watch") == "true"
    }

    pub(super) fn wants_bookmarks(&self) -> bool {
        self.text("allowWatchBookmarks") == "true"
    }

    /// From where on it wants the history; of a list, none.
    pub(super) fn version(&self) -> Option<u64> {
        self.text("resourceVersion").parse().ok()
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.number("timeoutSeconds").unwrap_or(300))
    }

    pub(super) fn limit(&self) -> usize {
        self.number("limit").unwrap_or(u64::MAX) as usize
    }

    /// After how many slices it goes on.
    pub(super) fn offset(&self) -> usize {
        self.number("continue").unwrap_or(0) as usize
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    fn text(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }
}

/// Of what is escaped in a query, no more comes here.
fn decoded(value: &str) -> String {
    value
        .replace("%2F", "/")
        .replace("%3D", "=")
        .replace("%2C", ",")
}
