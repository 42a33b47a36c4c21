//! Load on one connection, always the same and in waves, so that Envoy's
//! reads and writes are the same for every variant.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::upstream::ECHO;
use crate::variants::Variant;

/// Requests that are sent at once; the next wave waits for all answers.
const WAVE: u32 = 32;
const TIMEOUT: Duration = Duration::from_mins(1);

/// A connection to one listener.
#[derive(Debug)]
pub(crate) struct Load {
    sender: SendRequest<Full<Bytes>>,
    next: u32,
}

impl Load {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, next: 0 })
    }

    /// Sends at least so many requests, each of which must be answered with
    /// 200, and returns how many.
    pub(crate) async fn run(
        &mut self,
        variant: &Variant,
        requests: u32,
        with_body: bool,
    ) -> Result<u32> {
        let waves = requests.div_ceil(WAVE);
        let all = async {
            for _ in 0..waves {
                self.wave(variant, with_body).await?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(TIMEOUT, all).await??;
        Ok(waves * WAVE)
    }

    /// Sends one request and returns its headers as the member got them.
    pub(crate) async fn echo(&mut self, variant: &Variant) -> Result<HeaderMap> {
        let mut request = (variant.request)(0, true)?;
        request
            .headers_mut()
            .insert(ECHO, http::HeaderValue::from_static("1"));
        let response = self.sender.send_request(request).await?;
        ensure!(response.status() == StatusCode::OK, "{}", response.status());
        Ok(response.headers().clone())
    }

    async fn wave(&mut self, variant: &Variant, with_body: bool) -> Result<()> {
        let mut answers = Vec::with_capacity(WAVE as usize);
        for _ in 0..WAVE {
            let request = (variant.request)(self.next, with_body)?;
            self.next = self.next.wrapping_add(1);
            // Sent by the call itself, the future is only the answer: all of a wave go in one write.
            answers.push(self.sender.send_request(request));
        }
        for answer in answers {
            let response = answer.await.context("no answer")?;
            ensure!(response.status() == StatusCode::OK, "{}", response.status());
            let mut body = response.into_body();
            while !body.is_end_stream() {
                let Some(frame) = body.frame().await else {
                    break;
                };
                frame?;
            }
        }
        Ok(())
    }
}
