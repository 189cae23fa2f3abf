//! What a route looks like from the clients' side.

use std::fmt;
use std::sync::Arc;

use isthmus_exchange::{BoxAuthenticator, BoxStage, Caller, PublicDocument, RouteName};
use isthmus_protocol::RawJson;
use isthmus_telemetry::audit::AuditLog;

/// What a route looks like from the clients' side: where its requests go, and who may send any.
#[derive(Debug, Clone)]
pub struct RouteFace {
    /// The route's path.
    pub route: RouteName,
    /// Where every request of the route goes.
    pub stage: BoxStage,
    /// Who may call. `None`: everybody, and all of them are one principal.
    pub authenticator: Option<BoxAuthenticator>,
    /// Finds the definition that a caller sees of a tool, to check `Mcp-Param` headers (MS-3).
    pub tools: Arc<dyn ToolDefinitions>,
    /// Whether `{path}/sse` and `{path}/messages` serve HTTP+SSE of 2024-11-05.
    pub legacy_sse: bool,
    /// Where it is written down that somebody was not let in.
    pub audit: Option<AuditLog>,
    /// What anybody may read on the listener beside what the authenticator publishes.
    pub documents: Vec<PublicDocument>,
}

/// Finds tools by the names our clients see.
pub trait ToolDefinitions: Send + Sync + fmt::Debug {
    /// The definition as `caller` sees it; `None` if it sees no tool of that name.
    fn definition(&self, name: &str, caller: &Caller) -> Option<RawJson>;
}

/// No tool has a definition: nothing mirrors parameters.
#[derive(Debug, Clone, Copy)]
pub struct NoToolDefinitions;

impl ToolDefinitions for NoToolDefinitions {
    fn definition(&self, _name: &str, _caller: &Caller) -> Option<RawJson> {
        None
    }
}

impl RouteFace {
    /// A route that lets everybody in and checks no mirrored parameters.
    #[must_use]
    pub fn new(route: RouteName, stage: BoxStage) -> Self {
        Self {
            route,
            stage,
            authenticator: None,
            tools: Arc::new(NoToolDefinitions),
            legacy_sse: true,
            audit: None,
            documents: Vec::new(),
        }
    }
}
