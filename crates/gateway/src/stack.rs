//! The order of what an authenticated request meets between a listener and the backends.

use isthmus_exchange::{BoxStage, RouteName, Stage};
use isthmus_telemetry::audit::{AuditLayer, AuditLog};
use tower::ServiceBuilder;

use crate::request_log::RequestLog;

/// What every request of a route meets, outermost first.
pub(crate) fn front_stack(
    route: &RouteName,
    audit: Option<&AuditLog>,
    dispatch: impl Stage,
) -> BoxStage {
    BoxStage::new(
        ServiceBuilder::new()
            .layer(RequestLog)
            .layer(AuditLayer::new(audit.cloned(), route.clone())) // also sees what is refused below
            .service(dispatch),
    )
}
