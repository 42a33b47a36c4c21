//! What the stand-in answers.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;

use super::question::Question;
use super::{ApiFault, Shared};

type Body = BoxBody<Bytes, io::Error>;

/// How long before the end of a watch its bookmark comes.
const BOOKMARK: Duration = Duration::from_secs(2);

/// Until what is written is on its way.
const FLUSH: Duration = Duration::from_millis(50);

pub(super) async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, http::Error> {
    let question = Question::new(&request, &shared.cluster());
    let question = match question {
        Ok(question) => question,
        Err((code, message)) => return status(code, message),
    };
    let fault = {
        let mut cluster = shared.cluster();
        if question.is_watch() {
            cluster.watches += 1;
            cluster.watch_fault.clone()
        } else {
            cluster.lists += 1;
            cluster.list_fault.clone()
        }
    };
    match fault {
        Some(ApiFault::Status(code, message)) => return status(code, message),
        Some(ApiFault::Silence) => pending().await,
        Some(ApiFault::Body(text)) => return json_body(whole(text.to_owned())),
        Some(ApiFault::Break) if !question.is_watch() => {
            let text = list(&question, &shared).to_string();
            let half = text.chars().take(text.len() / 2).collect();
            return json_body(broken(half));
        }
        _ => {}
    }
    if !question.is_watch() {
        return json_body(whole(list(&question, &shared).to_string()));
    }
    let from = question.version().unwrap_or_default();
    let forgotten = shared.cluster().forgotten;
    let (lines, sent) = mpsc::channel(64);
    if from < forgotten {
        // The real one says so in the stream.
        let text = format!("too old resource version: {from} ({forgotten})");
        let gone = json!({ "type": "ERROR", "object": status_of(410, &text) });
        let _ = lines.try_send(Ok(line(&gone.to_string())));
    } else {
        tokio::spawn(tell(question, from, shared, lines));
    }
    json_body(StreamBody::new(ReceiverStream::new(sent)).boxed())
}

/// Tells what happens, until its time is over or nobody listens.
async fn tell(
    question: Question,
    from: u64,
    shared: Arc<Shared>,
    lines: mpsc::Sender<io::Result<Frame<Bytes>>>,
) {
    let mut happened = shared.happened.subscribe();
    let (breaks, mut said) = {
        let cluster = shared.cluster();
        (cluster.breaks, cluster.said.len())
    };
    let (mut told, end) = (from, Instant::now() + question.timeout());
    let mut bookmark = question
        .wants_bookmarks()
        .then(|| end - BOOKMARK.min(question.timeout()));
    loop {
        let (news, is_silent, is_broken) = {
            let cluster = shared.cluster();
            let mut news: Vec<_> = cluster
                .said
                .iter()
                .skip(said)
                .map(|text| line(text))
                .collect();
            said = cluster.said.len();
            let new = cluster
                .history
                .iter()
                .filter(|(version, _)| *version > told);
            news.extend(new.map(|(_, text)| line(text)));
            let last = cluster.history.last().map_or(told, |(version, _)| *version);
            told = told.max(last);
            let is_silent = cluster.watch_fault == Some(ApiFault::Silence);
            (news, is_silent, cluster.breaks != breaks)
        };
        if is_broken {
            let half = Bytes::from_static(b"{\"type\":\"MODIFIED\",\"object\":{\"kind\":");
            let _ = lines.send(Ok(Frame::data(half))).await;
            let _ = lines.send(Err(io::Error::other("broken off"))).await;
            return;
        }
        if !is_silent {
            for news in news {
                let _ = lines.send(Ok(news)).await;
            }
        }
        tokio::select! {
            changed = happened.changed() => if changed.is_err() { return },
            () = lines.closed() => return,
            () = sleep_until(bookmark.unwrap_or(end)), if !is_silent => {
                if bookmark.take().is_none() {
                    return;
                }
                {
                    let cluster = shared.cluster();
                    if told < cluster.forgotten {
                        continue;
                    }
                    told = told.max(cluster.version);
                }
                let mark = json!({ "type": "BOOKMARK", "object": {
                    "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
                    "metadata": { "resourceVersion": told.to_string() },
                    "endpoints": null, "ports": null, "addressType": "",
                } });
                let _ = lines.send(Ok(line(&mark.to_string()))).await;
            }
        }
    }
}

fn list(question: &Question, shared: &Shared) -> Value {
    let cluster = shared.cluster();
    let (offset, limit) = (question.offset(), question.limit().min(cluster.page));
    let items: Vec<_> = cluster.slices.values().skip(offset).take(limit).collect();
    let end = offset + items.len();
    let mut metadata = json!({ "resourceVersion": cluster.version.to_string() });
    if end < cluster.slices.len() {
        metadata["continue"] = end.to_string().into();
        metadata["remainingItemCount"] = (cluster.slices.len() - end).into();
    }
    json!({
        "kind": "EndpointSliceList",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": metadata,
        "items": items,
    })
}

fn status(code: u16, message: &str) -> Result<Response<Body>, http::Error> {
    let body = whole(status_of(code, message).to_string());
    let response = Response::builder().status(code);
    response
        .header("content-type", "application/json")
        .body(body)
}

fn status_of(code: u16, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "", "code": code,
    })
}

fn json_body(body: Body) -> Result<Response<Body>, http::Error> {
    let response = Response::builder().header("content-type", "application/json");
    response.body(body)
}

fn whole(text: String) -> Body {
    let never = |never: Infallible| match never {};
    Full::new(Bytes::from(text)).map_err(never).boxed()
}

/// What is written is on its way before the connection breaks.
fn broken(text: String) -> Body {
    let (frames, sent) = mpsc::channel(1);
    tokio::spawn(async move {
        let _ = frames.send(Ok(Frame::data(Bytes::from(text)))).await;
        sleep(FLUSH).await;
        let _ = frames.send(Err(io::Error::other("broken off"))).await;
    });
    StreamBody::new(ReceiverStream::new(sent)).boxed()
}

fn line(text: &str) -> Frame<Bytes> {
    Frame::data(Bytes::from(format!("{text}\n")))
}
