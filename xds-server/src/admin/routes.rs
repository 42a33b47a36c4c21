//! The answers over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sharding::Resource;

use super::route::{Route, changing};
use super::{Admin, Refusal, leases};
use crate::api::{
    ASSIGNMENT_PATH, AssignmentStatus, LEASES_PATH, MEMBERS_PATH, Members, ORDER_PATH, OWNER_PATH,
    Owner, PLAN_PATH, PROXIES_PATH, PROXY_CONFIG_PATH, Proxies, ProxyConfig, REBALANCES_PATH,
    RELEASE_PATH, RENEW_PATH, Rebalances, STATUS_PATH, Status,
};
use crate::rebalance::{Planned, Proposal};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Answer<T> = Result<Json<T>, Refusal>;

/// Everything that is there.
pub(super) fn routes() -> Vec<Route> {
    let questions = [
        Route::get("/healthz", async || "ok\n"),
        Route::get("/readyz", ready),
        Route::get("/metrics", metrics),
        Route::get("/v1/openapi.yaml", document),
        Route::get(STATUS_PATH, status),
        Route::get(MEMBERS_PATH, members),
        Route::get(ASSIGNMENT_PATH, assignment),
        Route::get(OWNER_PATH, owner),
        Route::post(PLAN_PATH, plan),
        Route::get(REBALANCES_PATH, rebalances),
        Route::get(PROXIES_PATH, proxies),
        Route::get(PROXY_CONFIG_PATH, proxy_config),
        Route::get(LEASES_PATH, leases::all),
    ];
    let commands = changing([
        Route::post(ORDER_PATH, super::members::order),
        Route::post(LEASES_PATH, leases::acquire),
        Route::post(RENEW_PATH, leases::renew),
        Route::post(RELEASE_PATH, leases::release),
    ]);
    questions.into_iter().chain(commands).collect()
}

async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, &'static str) {
    if admin.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "there was no roster yet\n")
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Result<Response, Refusal> {
    let text = admin.metrics().map_err(Refusal::internal)?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

async fn document() -> Response {
    let text = include_str!("../../openapi.yaml");
    ([(CONTENT_TYPE, "application/yaml")], text).into_response()
}

async fn status(State(admin): State<Arc<Admin>>) -> Json<Status> {
    Json(admin.status().await)
}

async fn members(State(admin): State<Arc<Admin>>) -> Json<Members> {
    let Status { epoch, members, .. } = admin.status().await;
    Json(Members { epoch, members })
}

async fn rebalances(State(admin): State<Arc<Admin>>) -> Json<Rebalances> {
    let Status {
        stage,
        pending,
        rebalance,
        last,
        ..
    } = admin.status().await;
    Json(Rebalances {
        stage,
        pending,
        rebalance,
        last,
    })
}

async fn proxies(State(admin): State<Arc<Admin>>) -> Json<Proxies> {
    let Status {
        proxies,
        unreported,
        ..
    } = admin.status().await;
    Json(Proxies {
        proxies,
        unreported,
    })
}

async fn assignment(State(admin): State<Arc<Admin>>) -> Answer<AssignmentStatus> {
    let assignment = admin.assignment().ok_or_else(Refusal::not_ready)?;
    Ok(Json(assignment))
}

async fn proxy_config(
    State(admin): State<Arc<Admin>>,
    node: Result<Path<String>, PathRejection>,
) -> Answer<ProxyConfig> {
    let Path(node) = node.map_err(|error| Refusal::bad_request(error.body_text()))?;
    Ok(Json(admin.proxy_config(node).await?))
}

/// Whose owner is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfKey {
    key: String,
    #[serde(default = "document_kind")]
    resource: Resource,
    /// Take the key as it stands, whatever it names.
    #[serde(default)]
    raw: bool,
}

fn document_kind() -> Resource {
    Resource::Document
}

async fn owner(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<OfKey>, QueryRejection>,
) -> Answer<Owner> {
    let Query(OfKey { key, resource, raw }) =
        query.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let resource = (!raw).then_some(resource);
    Ok(Json(admin.owner(key, resource).await?))
}

async fn plan(
    State(admin): State<Arc<Admin>>,
    proposal: Result<Json<Proposal>, JsonRejection>,
) -> Answer<Planned> {
    let Json(proposal) = proposal.map_err(|error| Refusal::bad_request(error.body_text()))?;
    Ok(Json(admin.plan(proposal).await?))
}
