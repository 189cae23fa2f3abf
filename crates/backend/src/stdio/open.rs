//! Opens a conversation with a child in the era it speaks.

use std::sync::Arc;

use isthmus_config::EraSetting;
use isthmus_exchange::Error;
use tokio::runtime::Handle;

use super::child::ChildSettings;
use super::piped::start_piped;
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
    let start = || -> Result<Pipe, Error> {
        start_piped(settings, background).map_err(|error| error.at(&settings.backend))
    };
    let stateful = async |pipe, evidence| {
        let conversation = StatefulDuplex::open(pipe, opening, background).await?;
        let conversation = Arc::new(conversation);
        Ok(Detected {
            conversation,
            evidence,
        })
    };
    match era {
        EraSetting::Stateful => stateful(start()?, "pinned").await,
        EraSetting::Stateless => {
            let conversation = StatelessDuplex::open(start()?, opening, background).await?;
            let conversation = Arc::new(conversation);
            Ok(Detected {
                conversation,
                evidence: "pinned",
            })
        }
        EraSetting::Auto => match open_detecting(start()?, opening, background).await {
            Ok(detected) => Ok(detected),
            Err(DetectError::Failed(error)) => Err(error),
            Err(DetectError::DiedOnProbe(error)) => {
                tracing::debug!(backend = %settings.backend, %error, "it did not survive being probed");
                stateful(start()?, "ended when it was probed").await
            }
        },
    }
}
