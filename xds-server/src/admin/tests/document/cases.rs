//! What is asked, and what status answers it.

/// A question, and the status of its answer.
pub(super) struct Case<'a> {
    pub(super) path: &'static str,
    pub(super) uri: &'static str,
    pub(super) message: Option<&'a str>,
    pub(super) status: u16,
}

pub(super) const fn get(path: &'static str, uri: &'static str, status: u16) -> Case<'static> {
    Case {
        path,
        uri,
        message: None,
        status,
    }
}

const fn plan(message: &'static str, status: u16) -> Case<'static> {
    Case {
        path: "/v1/plan",
        uri: "/v1/plan",
        message: Some(message),
        status,
    }
}

/// While members serve.
pub(super) const SERVED: [Case<'static>; 24] = [
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

const fn order(uri: &'static str, status: u16) -> Case<'static> {
    Case {
        path: "/v1/members/{id}/{order}",
        uri,
        message: Some("{}"),
        status,
    }
}

/// While three members serve.
pub(super) const ORDERS: [Case<'static>; 5] = [
    order("/v1/members/m1/drain", 200),
    order("/v1/members/m1/undrain", 200),
    order("/v1/members/m1/readmit", 409),
    order("/v1/members/m9/drain", 404),
    order("/v1/members/m1/paint", 400),
];

pub(super) const UNREADABLE: Case<'static> =
    get("/v1/proxies/{node}/config", "/v1/proxies/%FF/config", 400);

/// Before there was a roster, and without leases.
pub(super) const FRESH: [Case<'static>; 10] = [
    get("/readyz", "/readyz", 503),
    get("/v1/status", "/v1/status", 200),
    get("/v1/members", "/v1/members", 200),
    get("/v1/assignment", "/v1/assignment", 503),
    get("/v1/owner", "/v1/owner?key=p%2Fd", 503),
    plan("{}", 503),
    get("/v1/rebalances", "/v1/rebalances", 200),
    get("/v1/proxies", "/v1/proxies", 200),
    get("/v1/leases", "/v1/leases", 404),
    acquire(ACQUIRE, 404),
];

/// Makes `m4` a member.
pub(super) const ACQUIRE: &str = r#"{"id": "m4", "address": "127.0.0.1:4"}"#;

const fn acquire(message: &str, status: u16) -> Case<'_> {
    Case {
        path: "/v1/leases",
        uri: "/v1/leases",
        message: Some(message),
        status,
    }
}

const fn renew(message: &str, status: u16) -> Case<'_> {
    Case {
        path: "/v1/leases/renew",
        uri: "/v1/leases/renew",
        message: Some(message),
        status,
    }
}

const fn release(message: &str, status: u16) -> Case<'_> {
    Case {
        path: "/v1/leases/release",
        uri: "/v1/leases/release",
        message: Some(message),
        status,
    }
}

/// Before somebody has a lease, and how `m4` gets one, last.
pub(super) const LEASES: [Case<'static>; 12] = [
    get("/v1/leases", "/v1/leases", 200),
    renew(r#"{"id": "m4", "token": 1}"#, 404),
    renew(r#"{"id": "m4"}"#, 400),
    renew(r#"{"id": "m4", "token": -1}"#, 400),
    release(r#"{"id": "m4", "token": 1}"#, 404),
    release("{", 400),
    acquire(r#"{"id": "m4"}"#, 400),
    acquire(r#"{"id": "m4", "address": "127.0.0.1:0"}"#, 400),
    acquire(
        r#"{"id": "m4", "address": "127.0.0.1:4", "ttl_ms": 999}"#,
        400,
    ),
    acquire(
        r#"{"id": "m4", "address": "127.0.0.1:4", "colour": "red"}"#,
        400,
    ),
    acquire(
        r#"{"id": "m4", "address": "127.0.0.1:4", "weight": 2, "incarnation": "a", "ttl_ms": 1000000}"#,
        200,
    ),
    acquire(ACQUIRE, 200),
];

/// While that lease is held: it is given back, last. The messages of whoever
/// holds it, and of whoever held it before.
pub(super) fn held<'a>(message: &'a str, stale: &'a str) -> [Case<'a>; 5] {
    [
        get("/v1/leases", "/v1/leases", 200),
        renew(stale, 409),
        release(stale, 409),
        renew(message, 200),
        release(message, 200),
    ]
}

/// While the token of those who may change something cannot be read.
pub(super) const WITHOUT_TOKEN: [Case<'static>; 4] = [
    order("/v1/members/m1/drain", 503),
    acquire(ACQUIRE, 503),
    renew(r#"{"id": "m4", "token": 1}"#, 503),
    release(r#"{"id": "m4", "token": 1}"#, 503),
];
