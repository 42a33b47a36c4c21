//! By which names the interface may be called where it listens on loopback.
//!
//! A page in a browser of this machine may have its own name stand for a loopback
//! address, and then read answers as if they were its own (DNS rebinding). The
//! browser still says that name in `host`. Nobody else has a reason to call a
//! loopback address by another name than these. Where the interface listens for
//! others too it has names that are not known here, and anybody may read it.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Refusal;

const ANOTHER: &str = "called by a name that is not of this machine: expected an IP address or localhost in the header host";

/// Lets a request pass that calls this machine by its own name.
pub(super) async fn local(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(HOST).iter();
    // HTTP/1.0 needs none, and a browser always has one.
    let is_local = hosts.all(|host| host.to_str().is_ok_and(is_local));
    if is_local {
        next.run(request).await
    } else {
        Refusal::new(StatusCode::FORBIDDEN, ANOTHER).into_response()
    }
}

fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let literal = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_address = literal.unwrap_or(name).parse::<IpAddr>().is_ok();
    is_address || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_names_of_this_machine_and_nothing_else_is() {
        for host in [
            "localhost",
            "LocalHost:18001",
            "127.0.0.1",
            "127.0.0.1:18001",
            "[::1]:18001",
            "10.0.0.1:80",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:18001",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost:18001, evil.example",
            "evil.example@",
            "a b",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
