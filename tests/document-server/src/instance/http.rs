//! The HTTP side of an instance: routes, the log line, `x-served-by`.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Instance;
use super::request::{Context, shard_headers};
use crate::log::{self, Moment};
use crate::protocol::error::{Code, RpcError};
use crate::protocol::reply::{Body, Reply, full};
use crate::protocol::{MAX_MESSAGE, methods, rpc};

/// Names who answered.
pub const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// Room for an envelope around the largest message.
const MAX_BODY: usize = MAX_MESSAGE + 1024;

impl Instance {
    /// Answers one HTTP request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let mut response = match (path, &parts.method) {
            ("/log/streams", &Method::GET) => json_response(&self.streams.list()),
            ("/yorkie.v1.YorkieService/health", method) => health(method),
            _ if is_echo(path) => self.log_plain(&parts, self.echo(&parts)),
            _ => {
                let names = path.trim_start_matches('/').split_once('/');
                match names.and_then(|(service, method)| methods::find(service, method)) {
                    Some(method) => self.rpc(&parts, body, method).await,
                    None => self.log_plain(&parts, status(StatusCode::NOT_FOUND)),
                }
            }
        };
        if let Ok(id) = HeaderValue::from_str(self.id()) {
            response.headers_mut().insert(SERVED_BY, id);
        }
        response
    }

    async fn rpc(
        self: &Arc<Self>,
        parts: &Parts,
        body: Incoming,
        method: prost_reflect::MethodDescriptor,
    ) -> Response<Body> {
        let received = Moment::now();
        let name = method.full_name().to_owned();
        let incoming = match rpc::Incoming::accept(parts, method) {
            Ok(incoming) => incoming,
            Err(refusal) => return self.log_plain(parts, refusal),
        };
        let protocol = incoming.content.protocol.name();
        let api_key = parts
            .headers
            .get("x-api-key")
            .map_or(&[][..], HeaderValue::as_bytes);
        let project = self.project_of(&String::from_utf8_lossy(api_key));
        let context = Context::new(project, protocol, &parts.headers);
        let outcome = self.outcome(&context, &incoming, parts, body).await;

        let mut entry = json!({
            "event": "request",
            "instance": self.id(),
            "method": name,
            "protocol": protocol,
            "codec": incoming.content.codec.name(),
            "http": format!("{:?}", parts.version),
            "project": context.project,
            "code": outcome.as_ref().map_or_else(|error| error.code.name(), |_| "ok"),
            "received": received,
            "at": Moment::now(),
        });
        if let Err(error) = &outcome {
            entry["error"] = json!(error.message);
        }
        if let (Value::Object(entry), Ok(Value::Object(notes))) =
            (&mut entry, serde_json::to_value(context.notes()))
        {
            entry.extend(context.shard_headers);
            entry.extend(notes);
        }
        log::line(&entry);
        incoming.answer(outcome)
    }

    async fn outcome(
        self: &Arc<Self>,
        context: &Context,
        incoming: &rpc::Incoming,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Reply, RpcError> {
        let body = Limited::new(body, MAX_BODY)
            .collect()
            .await
            .map_err(|error| {
                let code = if error.is::<http_body_util::LengthLimitError>() {
                    Code::ResourceExhausted
                } else {
                    Code::InvalidArgument
                };
                RpcError::new(code, format!("read request: {error}"))
            })?;
        let (call, limit) = incoming.call(parts.headers.clone(), body.to_bytes())?;
        let Some(limit) = limit else {
            return self.call(context, call).await;
        };
        let context = context.until(Instant::now().checked_add(limit));
        let answer = tokio::time::timeout(limit, self.call(&context, call)).await;
        answer.map_err(|_| RpcError::deadline_exceeded())?
    }

    /// Logs a request that is no RPC.
    fn log_plain(&self, parts: &Parts, response: Response<Body>) -> Response<Body> {
        let mut entry = json!({
            "event": "request",
            "instance": self.id(),
            "method": parts.uri.path(),
            "protocol": "http",
            "http": format!("{:?}", parts.version),
            "code": response.status().as_u16(),
            "at": Moment::now(),
        });
        if let Value::Object(entry) = &mut entry {
            entry.extend(shard_headers(&parts.headers));
        }
        log::line(&entry);
        response
    }

    fn echo(&self, parts: &Parts) -> Response<Body> {
        let mut echo = json!({"id": self.id(), "path": parts.uri.path()});
        if let Value::Object(echo) = &mut echo {
            echo.extend(shard_headers(&parts.headers));
        }
        json_response(&echo)
    }
}

fn is_echo(path: &str) -> bool {
    path == "/echo" || path.starts_with("/echo/") || path.starts_with("/auth/")
}

fn health(method: &Method) -> Response<Body> {
    match *method {
        Method::GET => json_response(&json!({"status": "serving"})),
        Method::HEAD => {
            let mut response = json_response(&json!({}));
            *response.body_mut() = full("");
            response
        }
        _ => status(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn json_response(value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = status;
    response
}
