//! A client that is fast and knows its connections.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self};
use hyper_util::rt::TokioExecutor;
use sharding::SHARD_KEY;
use tokio::task::JoinSet;

use crate::Answer;

/// A request over loopback that takes longer has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What a [`Client`] speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// HTTP/1.1.
    Http1,
}

/// Connections to one address. Several, because each worker of an Envoy has
/// connections of its own and they must all agree.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    /// Requests in flight at once on one connection.
    depth: usize,
    /// Each has one connection, as long as it is asked for `depth` at once at most.
    lanes: Arc<[Lane]>,
}

type Lane = legacy::Client<HttpConnector, Full<Bytes>>;

/// A request, before it is known where to.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    /// Of an extended CONNECT.
    protocol: Option<&'static str>,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Request {
    /// A request without body.
    #[must_use]
    pub fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            protocol: None,
        }
    }

    /// What an upgrade to `protocol` is over HTTP/2: an extended CONNECT.
    #[must_use]
    pub fn connect(protocol: &'static str, path: &str) -> Self {
        Self {
            protocol: Some(protocol),
            ..Self::new(Method::CONNECT, path)
        }
    }

    /// A `GET` of a document by its key.
    pub fn of_key(key: impl AsRef<[u8]>) -> Result<Self> {
        Self::new(Method::GET, "/document").header(SHARD_KEY, key)
    }

    /// Adds a header; one of the same name stays.
    pub fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Result<Self> {
        let value = HeaderValue::from_bytes(value.as_ref())?;
        self.headers.append(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// Gives it a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Its content type, empty if it has none.
    #[must_use]
    pub fn content_type(&self) -> &str {
        let value = self.headers.get(http::header::CONTENT_TYPE);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Its body.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.body
    }

    fn to(&self, address: SocketAddr) -> Result<http::Request<Full<Bytes>>> {
        let uri = Uri::try_from(format!("http://{address}{}", self.path))?;
        let mut request = http::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if let Some(protocol) = self.protocol {
            let protocol = hyper::ext::Protocol::from_static(protocol);
            request.extensions_mut().insert(protocol);
        }
        Ok(request)
    }
}

impl Reply {
    /// The member's answer, if one has answered.
    pub fn answer(&self) -> Result<Answer> {
        let text = String::from_utf8_lossy(&self.body);
        ensure!(self.status == StatusCode::OK, "{}: {text}", self.status);
        Answer::read(&self.headers, &self.body)
            .with_context(|| format!("no member answers so: {self:?}"))
    }

    /// The value of a header that must be there.
    pub fn header(&self, name: &str) -> Result<&str> {
        let value = self.headers.get(name);
        let value = value.with_context(|| format!("no {name} in {self:?}"))?;
        Ok(value.to_str()?)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A client of that address; it connects when it is needed, and again
    /// after a connection is lost.
    #[must_use]
    pub fn new(address: SocketAddr, protocol: Protocol) -> Self {
        let (lanes, depth) = match protocol {
            Protocol::H2c => (4, 24),
            Protocol::Http1 => (16, 1),
        };
        let lane = || {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            legacy::Client::builder(TokioExecutor::new())
                .http2_only(protocol == Protocol::H2c)
                .retry_canceled_requests(false)
                .build(connector)
        };
        Self {
            address,
            depth,
            lanes: (0..lanes).map(|_| lane()).collect(),
        }
    }

    /// Where it sends its requests.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request and reads the whole response.
    pub async fn send(&self, request: &Request) -> Result<Reply> {
        send(&self.lanes[0], request.to(self.address)?).await
    }

    /// Sends a request and returns as soon as the response starts.
    pub async fn open(&self, request: &Request) -> Result<http::Response<Incoming>> {
        let response = self.lanes[0].request(request.to(self.address)?);
        Ok(tokio::time::timeout(REQUEST_TIMEOUT, response).await??)
    }

    /// Like [`Client::send`], with the body in frames of `size` bytes.
    pub async fn send_in_pieces(&self, request: &Request, size: usize) -> Result<Reply> {
        let (head, _) = request.to(self.address)?.into_parts();
        let pieces: Vec<_> = request
            .body
            .chunks(size)
            .map(Bytes::copy_from_slice)
            .collect();
        let frames = pieces
            .into_iter()
            .map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let body = StreamBody::new(tokio_stream::iter(frames));
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let lane = legacy::Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build(connector);
        receive(lane.request(http::Request::from_parts(head, body))).await
    }

    /// Asks for the document of that key.
    pub async fn ask(&self, key: impl AsRef<[u8]>) -> Result<Answer> {
        self.send(&Request::of_key(key)?).await?.answer()
    }

    /// Sends a request on every connection.
    pub async fn on_each_connection(&self, request: &Request) -> Result<Vec<Reply>> {
        let mut replies = Vec::new();
        for lane in &*self.lanes {
            replies.push(send(lane, request.to(self.address)?).await?);
        }
        Ok(replies)
    }

    /// Sends all requests, many at once, and returns the replies in the order
    /// of the requests.
    pub async fn send_all(&self, requests: Vec<Request>) -> Result<Vec<Result<Reply>>> {
        let requests = Arc::<[Request]>::from(requests);
        let next = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for number in 0..self.lanes.len() * self.depth {
            let (client, requests, next) = (self.clone(), requests.clone(), next.clone());
            senders.spawn(async move {
                let lane = &client.lanes[number % client.lanes.len()];
                let mut replies = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(index) else {
                        return replies;
                    };
                    let reply = match request.to(client.address) {
                        Ok(request) => send(lane, request).await,
                        Err(error) => Err(error),
                    };
                    replies.push((index, reply));
                }
            });
        }
        let mut replies: Vec<_> = senders.join_all().await.into_iter().flatten().collect();
        replies.sort_by_key(|(index, _)| *index);
        Ok(replies.into_iter().map(|(_, reply)| reply).collect())
    }
}

async fn send(lane: &Lane, request: http::Request<Full<Bytes>>) -> Result<Reply> {
    receive(lane.request(request)).await
}

async fn receive(response: legacy::ResponseFuture) -> Result<Reply> {
    let exchange = async {
        let (head, body) = response.await?.into_parts();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    };
    tokio::time::timeout(REQUEST_TIMEOUT, exchange)
        .await
        .with_context(|| format!("no response within {REQUEST_TIMEOUT:?}"))?
}
