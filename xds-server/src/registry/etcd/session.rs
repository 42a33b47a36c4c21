//! A connection to one server of etcd.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, error::Elapsed, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::protocol::{
    AUTHENTICATE, AuthenticateRequest, AuthenticateResponse, Event, Header, RANGE, RangeRequest,
    RangeResponse, WATCH, WatchAsked, WatchCreate, WatchProgress, WatchRequest, WatchResponse,
    end_of,
};
use super::secrets::{read, tls};
use crate::config::Etcd;
use crate::registry::causes::chain;

/// How long a server is waited for: until it is connected, and for each answer.
const CONNECTING: Duration = Duration::from_secs(1);
const ANSWERING: Duration = Duration::from_secs(3);

/// A watch without events is asked so often whether it lives, and is dead when
/// it says nothing for [`ANSWERING`].
const ASKING: Duration = Duration::from_secs(1);

/// Largest answer: as many members as a roster can have, and more.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Where etcd wants its token.
const TOKEN: &str = "token";

/// Asks a server to end a watch when it is cut off from the others, instead of
/// saying nothing.
const HAS_LEADER: &str = "hasleader";

/// Why a connection came to nothing, or to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A file that the configuration names.
    #[error("{path}: cannot be read: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Nobody is there, or nobody who is believed.
    #[error("no connection: {0}")]
    Connect(String),
    /// The server says no.
    #[error("{call}: {reason}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// What it said.
        reason: String,
    },
    /// The server is there and says nothing.
    #[error("{call}: no answer within {}", humantime::format_duration(ANSWERING))]
    Silent {
        /// What was asked.
        call: &'static str,
    },
    /// Events were forgotten before they were told.
    #[error("the history before revision {0} is compacted: everything has to be read again")]
    Compacted(i64),
    /// The server has ended the watch.
    #[error("the watch was ended: {0}")]
    Ended(String),
}

/// A connection that is ready to be asked.
pub(super) struct Session {
    grpc: Grpc<Channel>,
    token: Option<MetadataValue<Ascii>>,
}

/// Events as they happen.
pub(super) struct Watch {
    questions: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    asking: Interval,
}

impl Session {
    pub(super) async fn open(settings: &Etcd, endpoint: &str) -> Result<Self, SessionError> {
        let wrong = |error: tonic::transport::Error| SessionError::Connect(chain(&error));
        let mut endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(wrong)?;
        endpoint = endpoint.connect_timeout(CONNECTING);
        if let Some(files) = &settings.tls {
            endpoint = endpoint.tls_config(tls(files)?).map_err(wrong)?;
        }
        let connected = within("connect", endpoint.connect()).await?;
        let grpc = Grpc::new(connected.map_err(wrong)?);
        let mut this = Self {
            grpc: grpc.max_decoding_message_size(MAX_ANSWER_BYTES),
            token: None,
        };
        if let (Some(user), Some(file)) = (&settings.user, &settings.password_file) {
            this.authenticate(user, file).await?;
        }
        Ok(this)
    }

    async fn authenticate(&mut self, user: &str, file: &Path) -> Result<(), SessionError> {
        let password = String::from_utf8_lossy(&read(file)?).trim_end().to_owned();
        let question = AuthenticateRequest {
            name: user.to_owned(),
            password,
        };
        let answer: AuthenticateResponse = self.ask(AUTHENTICATE, question).await?;
        let token = answer.token.parse().map_err(|_| SessionError::Refused {
            call: AUTHENTICATE,
            reason: "the token is no text".to_owned(),
        })?;
        self.token = Some(token);
        Ok(())
    }

    /// Everything that begins with `prefix`, up to so many keys, as all servers
    /// together have it now.
    pub(super) async fn range(
        &mut self,
        prefix: &[u8],
        limit: usize,
    ) -> Result<RangeResponse, SessionError> {
        let question = RangeRequest {
            key: prefix.to_vec(),
            range_end: end_of(prefix),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        };
        self.ask(RANGE, question).await
    }

    /// What happens under `prefix` from that revision on.
    pub(super) async fn watch(
        mut self,
        prefix: &[u8],
        start_revision: i64,
    ) -> Result<Watch, SessionError> {
        let (questions, asked) = mpsc::channel(1);
        let create = WatchCreate {
            key: prefix.to_vec(),
            range_end: end_of(prefix),
            start_revision,
        };
        // There is room for one.
        let _ = questions.try_send(ask(WatchAsked::Create(create)));
        let mut request = self.request(ReceiverStream::new(asked));
        let yes = MetadataValue::from_static("true");
        request.metadata_mut().insert(HAS_LEADER, yes);
        let path = PathAndQuery::from_static(WATCH);
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let streaming = async {
            ready(&mut self.grpc).await?;
            self.grpc.streaming(request, path, codec).await
        };
        let answered = within(WATCH, streaming).await?.map_err(refused(WATCH))?;
        let mut asking = interval(ASKING);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Watch {
            questions,
            answers: answered.into_inner(),
            asking,
        })
    }

    async fn ask<Q, A>(&mut self, call: &'static str, question: Q) -> Result<A, SessionError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let request = self.request(question);
        let path = PathAndQuery::from_static(call);
        let codec = ProstCodec::<Q, A>::default();
        let unary = async {
            ready(&mut self.grpc).await?;
            self.grpc.unary(request, path, codec).await
        };
        let answered = within(call, unary).await?;
        Ok(answered.map_err(refused(call))?.into_inner())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert(TOKEN, token.clone());
        }
        request
    }
}

impl Watch {
    /// The next events, and where etcd stands; none when the server only says
    /// that nothing happened, which it does at least each [`ASKING`].
    pub(super) async fn next(&mut self) -> Result<(Header, Vec<Event>), SessionError> {
        let answer = within(WATCH, async {
            loop {
                tokio::select! {
                    answer = self.answers.message() => return answer,
                    _ = self.asking.tick() => {
                        // A question that still waits is as good.
                        let _ = self.questions.try_send(ask(WatchAsked::Progress(WatchProgress {})));
                    }
                }
            }
        });
        let answer = answer.await?.map_err(refused(WATCH))?;
        events(answer.ok_or_else(|| SessionError::Ended("the server has closed it".to_owned()))?)
    }
}

/// The answer's events, unless it is the last.
fn events(answer: WatchResponse) -> Result<(Header, Vec<Event>), SessionError> {
    match answer {
        WatchResponse {
            compact_revision: revision @ 1..,
            ..
        } => Err(SessionError::Compacted(revision)),
        WatchResponse {
            canceled: true,
            cancel_reason,
            ..
        } => Err(SessionError::Ended(cancel_reason)),
        answer => Ok((answer.header.unwrap_or_default(), answer.events)),
    }
}

fn ask(asked: WatchAsked) -> WatchRequest {
    WatchRequest { asked: Some(asked) }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(chain(&error)))
}

async fn within<T>(call: &'static str, answer: impl Future<Output = T>) -> Result<T, SessionError> {
    let silent = |_: Elapsed| SessionError::Silent { call };
    timeout(ANSWERING, answer).await.map_err(silent)
}

fn refused(call: &'static str) -> impl Fn(Status) -> SessionError {
    move |status| SessionError::Refused {
        call,
        reason: status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_ends_the_watch_says_why() {
        let error = |answer| events(answer).unwrap_err().to_string();
        let compacted = WatchResponse {
            canceled: true,
            compact_revision: 7,
            ..WatchResponse::default()
        };
        assert!(error(compacted).starts_with("the history before revision 7 is compacted"));
        let canceled = WatchResponse {
            canceled: true,
            cancel_reason: "no leader".to_owned(),
            events: vec![Event::default()],
            ..WatchResponse::default()
        };
        assert_eq!(error(canceled), "the watch was ended: no leader");
        let alive = WatchResponse::default();
        assert_eq!(events(alive).unwrap(), (Header::default(), Vec::new()));
    }
}
