//! Log messages to the client, for those who want them and at the level they want.
#![expect(
    deprecated,
    reason = "revision 2026-07-28 deprecates logging and keeps it; the example shows it on purpose"
)]

use std::sync::{Arc, Mutex};

use rmcp::RoleServer;
use rmcp::model::{LoggingLevel, LoggingMessageNotificationParam, ProtocolVersion};
use rmcp::service::RequestContext;
use serde_json::Value;

/// What one client wants to hear.
#[derive(Debug, Clone)]
pub struct Log {
    name: &'static str,
    session_level: Arc<Mutex<LoggingLevel>>,
}

impl Log {
    /// A log that starts at `info`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            session_level: Arc::new(Mutex::new(LoggingLevel::Info)),
        }
    }

    /// What `logging/setLevel` asks for.
    pub fn set_level(&self, level: LoggingLevel) {
        *self
            .session_level
            .lock()
            .expect("nobody panics while holding this lock") = level;
    }

    /// Sends one message to the client that made this request, if it wants it.
    pub async fn info(&self, context: &RequestContext<RoleServer>, data: Value) {
        if self
            .wanted(context)
            .is_some_and(|level| severity(level) <= severity(LoggingLevel::Info))
        {
            let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, data)
                .with_logger(self.name);
            // A client that has gone needs no message.
            let _ = context.peer.notify_logging_message(message).await;
        }
    }

    /// Since revision 2026-07-28 each request says what it wants; before, the session does.
    fn wanted(&self, context: &RequestContext<RoleServer>) -> Option<LoggingLevel> {
        let per_request = context
            .protocol_version()
            .is_some_and(|revision| revision >= ProtocolVersion::V_2026_07_28);
        if per_request {
            return context.meta.log_level();
        }
        Some(
            *self
                .session_level
                .lock()
                .expect("nobody panics while holding this lock"),
        )
    }
}

fn severity(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}
