//! A connection to the API server of a cluster.

use std::error::Error;
use std::iter::successors;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use http::StatusCode;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};
use sharding::MAX_MEMBERS;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Kubernetes;
use crate::registry::causes::chain;

/// How long the API server is waited for: until it is connected, and for each
/// answer.
const CONNECTING: Duration = Duration::from_secs(2);
const ANSWERING: Duration = Duration::from_secs(5);

/// The API server is asked to end each watch after so long, and the next goes on
/// from there. So it gives a sign of life this often, whatever happens or does
/// not, and tells where the history stands shortly before.
const WATCHING: Duration = Duration::from_secs(5);

/// A watch that has not ended so long after its time is dead.
const OVERDUE: Duration = Duration::from_secs(3);

/// One that ends so much before its time was broken off.
const EARLY: Duration = Duration::from_secs(1);

/// Slices of one page; of a service with a thousand pods there are ten.
const PAGE: u32 = 200;

/// Label by which a slice belongs to a service.
const SERVICE: &str = "kubernetes.io/service-name";

/// Most of a text that is shown which the other side has chosen.
const MAX_SHOWN: usize = 300;

/// Why a connection came to nothing, or to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A file that says how to reach the cluster.
    #[error("{path}: {reason}", path = .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No pod of a cluster.
    #[error(
        "this is no pod of a cluster ({0}): outside, registry.kubernetes.kubeconfig says how to reach it"
    )]
    Outside(String),
    /// Nobody is there, or nobody who is believed, or nobody who makes sense.
    #[error("{call}: {reason}")]
    Failed {
        /// What was asked.
        call: &'static str,
        /// What happened.
        reason: String,
    },
    /// The API server says no.
    #[error("{call}: {code}: {message}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// Its HTTP status.
        code: u16,
        /// What it said.
        message: String,
    },
    /// What comes next in the history, or in a list, is forgotten.
    #[error("the history is gone, everything has to be listed again: {0}")]
    Gone(String),
    /// The API server is there and says nothing.
    #[error("{call}: no answer within {}", humantime::format_duration(*.limit))]
    Silent {
        /// What was asked.
        call: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The watch was broken off.
    #[error("the watch ended after {} of {}", humantime::format_duration(*.after), humantime::format_duration(WATCHING))]
    Ended {
        /// How long it lasted.
        after: Duration,
    },
    /// More slices than there can be members.
    #[error("more than {MAX_MEMBERS} slices")]
    TooMany,
    /// An object that is none.
    #[error("{0}")]
    Garbage(&'static str),
}

/// Where the slices of a service are.
pub(super) struct Cluster {
    slices: Api<EndpointSlice>,
    labels: String,
}

/// What happens to them, for as long as was asked for.
pub(super) struct Watch {
    events: Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<EndpointSlice>>> + Send>>,
    since: Instant,
}

impl Cluster {
    /// Reads how to reach the cluster. Nobody is asked yet, unless the
    /// kubeconfig names a program that has to be.
    pub(super) async fn connect(settings: &Kubernetes) -> Result<Self, ClusterError> {
        let mut config = match &settings.kubeconfig {
            Some(path) => from_outside(path, settings.context.clone()).await?,
            None => Config::incluster().map_err(|error| ClusterError::Outside(chain(&error)))?,
        };
        config.connect_timeout = Some(CONNECTING);
        // When to try again is decided here.
        config.default_retry = false;
        let namespace = settings.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        // It may run a program and wait for it.
        let client = spawn_blocking(|| Client::try_from(config));
        let client = async {
            let client = client.await;
            client.unwrap_or_else(|error| Err(kube::Error::Service(error.into())))
        };
        let client = within("connect", ANSWERING, client).await?;
        let labels = match (&settings.service, &settings.selector) {
            (Some(service), _) => format!("{SERVICE}={service}"),
            (None, selector) => selector.clone().unwrap_or_default(),
        };
        Ok(Self {
            slices: Api::namespaced(client, namespace.trim()),
            labels,
        })
    }

    /// All of them, as the whole cluster has them now, and the version of that.
    pub(super) async fn list(&self) -> Result<(Vec<EndpointSlice>, String), ClusterError> {
        let mut asked = ListParams::default().labels(&self.labels).limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = within("list", ANSWERING, self.slices.list(&asked)).await?;
            all.extend(page.items);
            if all.len() > MAX_MEMBERS {
                return Err(ClusterError::TooMany);
            }
            let more = page.metadata.continue_.filter(|token| !token.is_empty());
            let Some(token) = more else {
                let version = page.metadata.resource_version.unwrap_or_default();
                return if version.is_empty() {
                    Err(ClusterError::Garbage("the list has no version"))
                } else {
                    Ok((all, version))
                };
            };
            asked.continue_token = Some(token);
        }
    }

    /// What happens from that version on.
    pub(super) async fn watch(&self, version: &str) -> Result<Watch, ClusterError> {
        let asked = WatchParams::default().labels(&self.labels);
        let asked = asked.timeout(WATCHING.as_secs() as u32);
        let since = Instant::now();
        let events = within("watch", ANSWERING, self.slices.watch(&asked, version)).await?;
        Ok(Watch {
            events: events.boxed(),
            since,
        })
    }
}

impl Watch {
    /// The next event, or none when the time is over.
    pub(super) async fn next(&mut self) -> Result<Option<WatchEvent<EndpointSlice>>, ClusterError> {
        let limit = WATCHING + OVERDUE;
        match timeout_at(self.since + limit, self.events.next()).await {
            Err(_) => Err(ClusterError::Silent {
                call: "watch",
                limit,
            }),
            Ok(Some(Ok(WatchEvent::Error(status)))) => Err(refused("watch", &status)),
            Ok(Some(Ok(event))) => Ok(Some(event)),
            Ok(Some(Err(error))) => Err(failed("watch", &error)),
            Ok(None) => match self.since.elapsed() {
                after if after + EARLY < WATCHING => Err(ClusterError::Ended {
                    after: whole(after),
                }),
                _ => Ok(None),
            },
        }
    }
}

async fn from_outside(path: &Path, context: Option<String>) -> Result<Config, ClusterError> {
    let wrong = |error: &dyn Error| ClusterError::Kubeconfig {
        path: path.to_owned(),
        reason: chain(error),
    };
    let file = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(file, &options).await;
    config.map_err(|error| wrong(&error))
}

async fn within<T>(
    call: &'static str,
    limit: Duration,
    answer: impl Future<Output = kube::Result<T>>,
) -> Result<T, ClusterError> {
    let answered = timeout(limit, answer).await;
    let answered = answered.map_err(|_| ClusterError::Silent { call, limit })?;
    answered.map_err(|error| failed(call, &error))
}

fn failed(call: &'static str, error: &kube::Error) -> ClusterError {
    let reason = match error {
        kube::Error::Api(status) => return refused(call, status),
        error => credential(error).unwrap_or_else(|| chain(error)),
    };
    let reason = shortened(&reason);
    ClusterError::Failed { call, reason }
}

/// What became of the program that the kubeconfig has for a token, if it is that:
/// what it printed may have the token in it, and its command line and environment
/// other secrets. Within a request the client hands the error on in another one.
fn credential(error: &kube::Error) -> Option<String> {
    let error: &(dyn Error + 'static) = error;
    let mut all = successors(Some(error), |&error| error.source());
    match all.find_map(|error| error.downcast_ref::<AuthError>())? {
        AuthError::AuthExecRun { out, .. } => {
            Some(format!("the program of the kubeconfig: {}", out.status))
        }
        AuthError::AuthExecParse(_) => {
            Some("what the program of the kubeconfig printed is no credential".to_owned())
        }
        _ => None,
    }
}

fn refused(call: &'static str, status: &Status) -> ClusterError {
    let message = if status.message.is_empty() {
        shortened(&status.reason)
    } else {
        shortened(&status.message)
    };
    // Whatever is JSON is read as a status that says nothing.
    if status.code == 0 && message.is_empty() {
        let reason = "what came is neither an object of that kind nor a status".to_owned();
        return ClusterError::Failed { call, reason };
    }
    if status.code == StatusCode::GONE.as_u16() {
        return ClusterError::Gone(message);
    }
    ClusterError::Refused {
        call,
        code: status.code,
        message,
    }
}

/// In one line, and not all of it.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{} ...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// For people, milliseconds say enough.
fn whole(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{ExitStatus, Output};

    use super::*;

    #[test]
    fn what_a_program_printed_for_a_token_is_not_shown() {
        let run = || AuthError::AuthExecRun {
            cmd: "KEY=\"secret\" \"get-token\" \"secret\"".to_owned(),
            out: Box::new(Output {
                status: ExitStatus::from_raw(256),
                stdout: b"secret".to_vec(),
                stderr: b"secret".to_vec(),
            }),
        };
        for error in [
            kube::Error::Auth(run()),
            kube::Error::Service(Box::new(run())),
        ] {
            assert_eq!(
                failed("connect", &error).to_string(),
                "connect: the program of the kubeconfig: exit status: 1"
            );
        }
    }

    #[test]
    fn what_the_other_side_says_is_a_line_of_some_length() {
        let status = |code, message: &str, reason: &str| Status {
            code,
            message: message.to_owned(),
            reason: reason.to_owned(),
            ..Status::success()
        };
        let told = |status: &Status| refused("list", status).to_string();
        assert_eq!(told(&status(500, "a\nb", "")), "list: 500: a b");
        assert_eq!(told(&status(403, "", "Forbidden")), "list: 403: Forbidden");
        assert!(told(&status(410, "too old", "Expired")).contains("listed again: too old"));
        let long = told(&status(500, &"é".repeat(1000), ""));
        assert_eq!(long.chars().count(), "list: 500:  ...".len() + MAX_SHOWN);
    }
}
