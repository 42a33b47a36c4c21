//! The health service: serving as long as the process listens.

use super::Instance;
use crate::api::health::health_check_response::ServingStatus;
use crate::api::health::{HealthCheckRequest, HealthCheckResponse};
use crate::protocol::error::{Code, RpcError};

/// The services whose health can be asked for; the empty name means all.
const SERVICES: [&str; 4] = [
    "",
    "grpc.health.v1.Health",
    "yorkie.v1.YorkieService",
    "yorkie.v1.AdminService",
];

impl Instance {
    pub(super) fn check_health(
        request: &HealthCheckRequest,
    ) -> Result<HealthCheckResponse, RpcError> {
        if !SERVICES.contains(&request.service.as_str()) {
            let message = format!("unknown service {}", request.service);
            return Err(RpcError::new(Code::NotFound, message));
        }
        let mut response = HealthCheckResponse::default();
        response.set_status(ServingStatus::Serving);
        Ok(response)
    }

    /// As the real server answers.
    pub(super) fn watch_health() -> RpcError {
        RpcError::new(
            Code::Unimplemented,
            "connect doesn't support watching health state",
        )
    }
}
