//! One `subscriptions/listen` on a pipe, kept open (MC-7).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use isthmus_exchange::{Error, ErrorKind};
use isthmus_protocol::{JsonRpcError, Method, ServerCapabilities, code};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::call::Call;
use super::stateless::Peer;
use crate::conversation::{Outgoing, Watch};
use crate::listen_filter::ListenFilter;
use crate::streamable_http::after_failures;

/// How long the acknowledgement of a listen may take.
const ACKNOWLEDGE: Duration = Duration::from_secs(30);
/// The pause before a listen that the server ended is opened again; it grows with failures.
const PAUSE: Duration = Duration::from_secs(1);

/// A listen and the task that keeps it open. Dropping it tells the server to end it, soon.
#[derive(Debug)]
pub(super) struct Listening(AbortOnDropHandle<()>);

impl Listening {
    /// Tells the server to end it, now.
    pub(super) async fn end(self) {
        self.0.abort();
        // It was aborted, or had ended.
        let _ = self.0.await;
    }
}

/// Opens a listen for `wanted` and waits until it is acknowledged. Returns the honoured part, and the listen; none if there
/// is nothing to listen to.
pub(super) async fn begin(
    peer: &Arc<Peer>,
    wanted: &Watch,
) -> Result<(Watch, Option<Listening>), Error> {
    let declared = ServerCapabilities::parse(&peer.facts.capabilities);
    let filter = ListenFilter::wanted(wanted, &declared);
    let opened = if filter.is_empty() {
        None
    } else {
        open(peer, &filter)
            .await
            .map_err(|error| match error.kind() {
                // Nobody sends it once more.
                ErrorKind::SessionUnknown => peer.link.shared.gone().caused_by(error),
                _ => error,
            })?
    };
    let Some((call, honoured)) = opened else {
        peer.hears.store(false, Ordering::Relaxed);
        return Ok((Watch::default(), None));
    };
    peer.hears.store(!honoured.is_empty(), Ordering::Relaxed);
    let keeping = keep(peer.clone(), filter, call);
    let task = peer.link.shared.background.spawn(keeping);
    let listening = Listening(AbortOnDropHandle::new(task));
    Ok((honoured.to_watch(), Some(listening)))
}

/// Opens the listen again whenever the server ends it, until the conversation ends or the server will not.
async fn keep(peer: Arc<Peer>, filter: ListenFilter, mut call: Call) {
    loop {
        let end = call.answer().await;
        peer.hears.store(false, Ordering::Relaxed);
        tracing::debug!(backend = %peer.link.shared.backend, ?end, "a listen ended");
        match reopen(&peer, &filter).await {
            Some(again) => call = again,
            None => return,
        }
    }
}

/// Opens the listen again, and says of everything it announces that it may have changed meanwhile (digest trap 16).
async fn reopen(peer: &Arc<Peer>, filter: &ListenFilter) -> Option<Call> {
    for failures in 1.. {
        // Also after one that ended well: a server that always ends them must not keep us busy.
        tokio::select! {
            biased;
            () = peer.link.shared.closed.cancelled() => return None,
            () = tokio::time::sleep(after_failures(PAUSE, failures)) => {}
        }
        match open(peer, filter).await {
            Ok(Some((call, honoured))) => {
                peer.hears.store(!honoured.is_empty(), Ordering::Relaxed);
                for notice in honoured.gap() {
                    // Nobody following is fine.
                    let _ = peer.link.shared.notices.send(notice);
                }
                return Some(call);
            }
            Ok(None) => return None,
            Err(error) => {
                tracing::debug!(backend = %peer.link.shared.backend, %error, failures, "cannot listen");
            }
        }
    }
    None
}

/// Sends the request and waits for the acknowledgement. `None` if the server does not offer what it declared.
async fn open(
    peer: &Arc<Peer>,
    filter: &ListenFilter,
) -> Result<Option<(Call, ListenFilter)>, Error> {
    let (acknowledge, acknowledged) = oneshot::channel();
    let listen = Outgoing::plain(Method::SubscriptionsListen, filter.to_params());
    let mut call = peer.send(listen, Some(acknowledge)).await?;
    tokio::select! {
        biased;
        Ok(params) = acknowledged => Ok(Some((call, filter.honoured(Some(&params))))),
        answer = call.answer() => match answer {
            Err(error) if !is_refusal(&error) => Err(error),
            _ => Ok(None),
        },
        () = tokio::time::sleep(ACKNOWLEDGE) => {
            let backend = &peer.link.shared.backend;
            let message = format!("`{backend}` did not acknowledge a listen in time");
            Err(Error::new(ErrorKind::TimedOut(Some(backend.clone())), message))
        }
    }
}

/// Whether the server says that there is nothing to listen to, rather than that it cannot now.
fn is_refusal(error: &Error) -> bool {
    let codes = [code::METHOD_NOT_FOUND, code::INVALID_PARAMS];
    matches!(error.kind(), ErrorKind::Answered { error: JsonRpcError { code, .. }, .. } if codes.contains(code))
}
