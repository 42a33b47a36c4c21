//! What is asked, and what status answers it.

/// A question, and the status of its answer.
pub(super) struct Case {
    pub(super) path: &'static str,
    pub(super) uri: &'static str,
    pub(super) message: Option<&'static str>,
    pub(super) status: u16,
}

pub(super) const fn get(path: &'static str, uri: &'static str, status: u16) -> Case {
    Case {
        path,
        uri,
        message: None,
        status,
    }
}

const fn plan(message: &'static str, status: u16) -> Case {
    Case {
        path: "/v1/plan",
        uri: "/v1/plan",
        message: Some(message),
        status,
    }
}

/// While members serve.
pub(super) const SERVED: [Case; 24] = [
    get("/healthz", "/healthz", 200),
    get("/readyz", "/readyz", 200),
    get("/metrics", "/metrics", 200),
    get("/v1/openapi.yaml", "/v1/openapi.yaml", 200),
    get("/v1/status", "/v1/status", 200),
    get("/v1/members", "/v1/members", 200),
    get("/v1/assignment", "/v1/assignment", 200),
    get("/v1/owner", "/v1/owner?key=p%2Fd", 200),
    get(
        "/v1/owner",
        "/v1/owner?key=p%2Froom.1&resource=channel",
        200,
    ),
    get("/v1/owner", "/v1/owner?key=auth-session&raw=true", 200),
    get("/v1/owner", "/v1/owner?key=no-separator", 400),
    get("/v1/owner", "/v1/owner?key=p%2Fd&resource=table", 400),
    get("/v1/owner", "/v1/owner?key=p%2Fd&colour=red", 400),
    get("/v1/owner", "/v1/owner", 400),
    plan(
        r#"{"add": {"m3": "127.0.0.1:3"}, "weight": {"m1": 2}}"#,
        200,
    ),
    plan(
        r#"{"remove": ["m2"], "policy": "ring_hash:64:1024:xxhash"}"#,
        200,
    ),
    plan(
        r#"{"members": [{"id": "m1", "address": "[::1]:9", "weight": 1}]}"#,
        200,
    ),
    plan(r#"{"remove": ["m9"]}"#, 400),
    plan(r#"{"removes": []}"#, 400),
    plan("{", 400),
    get("/v1/rebalances", "/v1/rebalances", 200),
    get("/v1/proxies", "/v1/proxies", 200),
    get(
        "/v1/proxies/{node}/config",
        "/v1/proxies/edge%2F1%20%C3%BC/config",
        200,
    ),
    get(
        "/v1/proxies/{node}/config",
        "/v1/proxies/nobody/config",
        404,
    ),
];

const fn order(uri: &'static str, status: u16) -> Case {
    Case {
        path: "/v1/members/{id}/{order}",
        uri,
        message: Some("{}"),
        status,
    }
}

/// While three members serve.
pub(super) const ORDERS: [Case; 5] = [
    order("/v1/members/m1/drain", 200),
    order("/v1/members/m1/undrain", 200),
    order("/v1/members/m1/readmit", 409),
    order("/v1/members/m9/drain", 404),
    order("/v1/members/m1/paint", 400),
];

pub(super) const UNREADABLE: Case = get("/v1/proxies/{node}/config", "/v1/proxies/%FF/config", 400);

/// Before there was a roster.
pub(super) const FRESH: [Case; 8] = [
    get("/readyz", "/readyz", 503),
    get("/v1/status", "/v1/status", 200),
    get("/v1/members", "/v1/members", 200),
    get("/v1/assignment", "/v1/assignment", 503),
    get("/v1/owner", "/v1/owner?key=p%2Fd", 503),
    plan("{}", 503),
    get("/v1/rebalances", "/v1/rebalances", 200),
    get("/v1/proxies", "/v1/proxies", 200),
];
