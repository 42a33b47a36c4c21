//! Routes as data, so that the document of the interface can be held against
//! them.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::routing::{MethodRouter, get, post};
use axum::{Router, middleware};

use super::guard::{Guard, guard};
use super::{Admin, Refusal};

/// What is at one path for one method.
pub(super) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "axum has its own of it"))]
    pub(super) method: Method,
    /// As axum spells it, which is as `OpenAPI` does: `/v1/members/{id}`.
    pub(super) path: &'static str,
    /// Whether it can change something, and so needs the token.
    pub(super) changes: bool,
    handler: MethodRouter<Arc<Admin>>,
}

impl Route {
    /// A question.
    pub(super) fn get<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Admin>>,
        T: 'static,
    {
        Self {
            method: Method::GET,
            path,
            changes: false,
            handler: get(handler),
        }
    }

    /// A question with a message, or, behind [`changing`], a command.
    pub(super) fn post<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Admin>>,
        T: 'static,
    {
        Self {
            method: Method::POST,
            path,
            changes: false,
            handler: post(handler),
        }
    }
}

/// Routes that can change something: only whoever shows the token gets through.
pub(super) fn changing(routes: impl IntoIterator<Item = Route>) -> impl Iterator<Item = Route> {
    routes.into_iter().map(|route| Route {
        changes: true,
        ..route
    })
}

/// All of them together.
pub(super) fn router(
    routes: impl IntoIterator<Item = Route>,
    guarded_by: Guard,
    admin: Arc<Admin>,
) -> Router {
    let guard = middleware::from_fn_with_state(guarded_by, guard);
    let mut all = Router::new();
    for route in routes {
        let handler = if route.changes {
            route.handler.route_layer(guard.clone())
        } else {
            route.handler
        };
        all = all.route(route.path, handler);
    }
    all.fallback(async || Refusal::not_found("there is nothing here: /v1/openapi.yaml lists all"))
        .method_not_allowed_fallback(async || {
            let text = "not by this method: /v1/openapi.yaml lists all";
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .with_state(admin)
}
