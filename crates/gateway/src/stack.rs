//! The order of what an authenticated request meets between a listener and the backends.

use isthmus_exchange::{BoxStage, Stage};
use tower::ServiceBuilder;

/// What every request of a route meets, outermost first.
pub(crate) fn front_stack(dispatch: impl Stage) -> BoxStage {
    BoxStage::new(
        ServiceBuilder::new()
            .layer(crate::request_log::RequestLog)
            .service(dispatch),
    )
}
