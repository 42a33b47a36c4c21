//! Members: what is said of them, and what may be ordered.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::{Admin, Refusal};
use crate::api::{MemberStatus, Ordered};
use crate::health::{MemberHealth, MemberState, Order, OrderRefused};

/// Has an order carried out.
pub(super) async fn order(
    State(admin): State<Arc<Admin>>,
    asked: Result<Path<(String, Order)>, PathRejection>,
) -> Result<Json<Ordered>, Refusal> {
    let Path((id, order)) = asked.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let done = admin.health.order(&id, order).await;
    done.map_err(|refused| Refusal::new(status_of(&refused), refused))?;
    Ok(Json(Ordered { id, order }))
}

fn status_of(refused: &OrderRefused) -> StatusCode {
    match refused {
        OrderRefused::Unknown { .. } => StatusCode::NOT_FOUND,
        OrderRefused::Last { .. } | OrderRefused::NotEjected { .. } => StatusCode::CONFLICT,
        OrderRefused::NotSaved => StatusCode::INTERNAL_SERVER_ERROR,
        OrderRefused::Closed => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Adds what health says: to those of the assignment, what becomes of them; and
/// all those who do not serve. Who is about to serve comes with the assignment.
/// Sorted by id.
pub(super) fn with_health(
    assigned: Vec<MemberStatus>,
    health: Vec<MemberHealth>,
    open: &BTreeMap<String, u64>,
) -> Vec<MemberStatus> {
    let mut members: BTreeMap<String, MemberStatus> = assigned
        .into_iter()
        .map(|member| (member.id.clone(), member))
        .collect();
    for of in health {
        if let Some(member) = members.get_mut(&of.id) {
            (member.state, member.why) = (of.state, of.why);
        } else if !matches!(of.state, MemberState::Serving | MemberState::Failing) {
            let out = MemberStatus {
                open: open.get(&of.id).copied().unwrap_or_default(),
                id: of.id,
                address: of.address,
                weight: of.weight,
                incarnation: of.incarnation,
                zone: of.zone,
                share: None,
                state: of.state,
                why: of.why,
            };
            members.insert(out.id.clone(), out);
        }
    }
    members.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str, state: MemberState) -> MemberHealth {
        MemberHealth {
            id: id.to_owned(),
            address: ([10, 0, 0, 1], 80).into(),
            weight: 1,
            incarnation: None,
            zone: None,
            state,
            why: Some("because".to_owned()),
        }
    }

    #[test]
    fn who_does_not_serve_is_shown_and_who_will_serve_is_not_yet() {
        let open = BTreeMap::from([("b".to_owned(), 7)]);
        let ejected = with_health(Vec::new(), vec![of("b", MemberState::Ejected)], &open);
        let health = [
            of("a", MemberState::Serving),
            of("b", MemberState::Drained),
            of("c", MemberState::Failing),
        ];
        let members = with_health(ejected, health.to_vec(), &open);
        let shown = members
            .iter()
            .map(|member| (member.id.as_str(), member.state, member.open));
        assert_eq!(shown.collect::<Vec<_>>(), [("b", MemberState::Drained, 7)]);
    }
}
