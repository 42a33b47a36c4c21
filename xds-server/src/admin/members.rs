//! Members: what is said of them, and what may be ordered.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::Admin;
use crate::api::{MemberStatus, ORDER_PATH};
use crate::health::{MemberHealth, OrderRefused};

/// What changes something.
pub(super) fn orders() -> Router<Arc<Admin>> {
    Router::new().route(ORDER_PATH, post(order))
}

async fn order(
    State(admin): State<Arc<Admin>>,
    Path((id, order)): Path<(String, String)>,
) -> Response {
    let Ok(order) = order.parse() else {
        let reason = format!("there is no order {order:?}: expected drain, undrain or readmit\n");
        return (StatusCode::NOT_FOUND, reason).into_response();
    };
    let refused = match admin.health.order(&id, order).await {
        Ok(()) => return StatusCode::NO_CONTENT.into_response(),
        Err(refused) => refused,
    };
    let status = match refused {
        OrderRefused::Unknown { .. } => StatusCode::NOT_FOUND,
        OrderRefused::Last { .. } | OrderRefused::NotEjected { .. } => StatusCode::CONFLICT,
        OrderRefused::NotSaved => StatusCode::INTERNAL_SERVER_ERROR,
        OrderRefused::Closed => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{refused}\n")).into_response()
}

/// Adds what health says: to those who serve, what becomes of them, and all
/// those who do not. Sorted by id.
pub(super) fn with_health(
    serving: Vec<MemberStatus>,
    health: Vec<MemberHealth>,
    open: &BTreeMap<String, u64>,
) -> Vec<MemberStatus> {
    let mut members: BTreeMap<String, MemberStatus> = serving
        .into_iter()
        .map(|member| (member.id.clone(), member))
        .collect();
    for of in health {
        let id = of.id.clone();
        let member = members.entry(id).or_insert_with(|| MemberStatus {
            open: open.get(&of.id).copied().unwrap_or_default(),
            id: of.id,
            address: of.address,
            weight: of.weight,
            incarnation: of.incarnation,
            share: None,
            state: of.state,
            why: None,
        });
        (member.state, member.why) = (of.state, of.why);
    }
    members.into_values().collect()
}
