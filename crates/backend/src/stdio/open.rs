//! Opens a conversation with a child in the era it speaks.

use std::sync::Arc;

use isthmus_config::EraSetting;
use isthmus_exchange::{Error, ErrorKind};
use tokio::runtime::Handle;

use super::child::{ChildSettings, StdioError};
use super::piped::start_piped;
use super::stderr::TextLog;
use crate::conversation::Conversation;
use crate::duplex::{
    DetectError, Detected, Opening, Pipe, StatefulDuplex, StatelessDuplex, open_detecting,
};

/// Starts a child and opens a conversation with it. The child lives as long as the conversation.
///
/// A child that does not survive being probed is started once more and spoken to in the stateful way at once (E-9); a
/// caller that remembers the verdict and passes [`EraSetting::Stateful`] next time spares it the probe.
///
/// # Errors
///
/// The program cannot be started, or what was started ends, is silent until the deadline, or does not speak MCP.
pub(crate) async fn open(
    settings: &ChildSettings,
    era: EraSetting,
    opening: &Opening,
    background: &Handle,
) -> Result<Detected, Error> {
    let backend = &settings.backend;
    let mut log = match era {
        EraSetting::Auto => TextLog::default(),
        EraSetting::Stateful | EraSetting::Stateless => TextLog::loud(),
    };
    let start = |log: &TextLog| -> Result<Pipe, Error> {
        start_piped(settings, log.clone(), background).map_err(|error| error.at(backend))
    };
    let detected = |conversation: Arc<dyn Conversation>, evidence| Detected {
        conversation,
        evidence,
    };
    let stateful = async |pipe, evidence| {
        let conversation = StatefulDuplex::open(pipe, opening, background).await?;
        Ok(detected(Arc::new(conversation), evidence))
    };
    let opened = match era {
        EraSetting::Stateful => stateful(start(&log)?, "pinned").await,
        EraSetting::Stateless => StatelessDuplex::open(start(&log)?, opening, background)
            .await
            .map(|conversation| detected(Arc::new(conversation), "pinned")),
        EraSetting::Auto => match open_detecting(start(&log)?, opening, background).await {
            Ok(detected) => Ok(detected),
            Err(DetectError::Failed(error)) => Err(error),
            Err(DetectError::DiedOnProbe(error)) => {
                tracing::debug!(%backend, %error, "it did not survive being probed");
                log = TextLog::loud();
                stateful(start(&log)?, "ended when it was probed").await
            }
        },
    };
    log.raise();
    opened.map_err(|error| match error.kind() {
        // It did not end, so its end does not carry its last words.
        ErrorKind::TimedOut(_) => error.caused_by(StdioError::Unready(log.last_words())),
        // A greeting that was never read is no session that ended.
        ErrorKind::SessionUnknown => {
            error.with_kind(ErrorKind::BackendUnavailable(backend.clone()))
        }
        _ => error,
    })
}
