//! One `subscriptions/listen` stream, kept open (MC-7).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use isthmus_exchange::Error;
use isthmus_protocol::message::{Incoming, Message, parse_incoming};
use isthmus_protocol::{Method, ServerCapabilities, code};
use tokio_util::task::AbortOnDropHandle;

use super::answer::Content;
use super::call::Hop;
use super::event_stream::EventStream;
use super::failure;
use super::pause;
use super::stateless::Peer;
use crate::conversation::{Outgoing, Watch};
use crate::listen_filter::ListenFilter;
use crate::traffic;

/// Opens a listen for `wanted` on the background runtime and waits until it is acknowledged. Returns the honoured part, and
/// the task that keeps it open; none if there is nothing to listen to.
pub(super) async fn begin(
    peer: &Arc<Peer>,
    wanted: &Watch,
) -> Result<(Watch, Option<AbortOnDropHandle<()>>), Error> {
    let filter = ListenFilter::wanted(
        wanted,
        &ServerCapabilities::parse(&peer.facts().capabilities),
    );
    if filter.is_empty() {
        peer.hears.store(false, Ordering::Relaxed);
        return Ok((Watch::default(), None));
    }
    let (acknowledged, first) = tokio::sync::oneshot::channel();
    let keeping = keep(Arc::clone(peer), filter, acknowledged);
    let task = AbortOnDropHandle::new(peer.endpoint().background().spawn(keeping));
    match first.await {
        Ok(Ok(honoured)) => Ok((honoured.to_watch(), Some(task))),
        Ok(Err(Unheard::NotOffered)) => {
            peer.hears.store(false, Ordering::Relaxed);
            Ok((Watch::default(), None))
        }
        Ok(Err(Unheard::Failed(error))) => Err(error),
        Err(ended) => Err(Error::internal(ended)),
    }
}

#[derive(Debug)]
enum Unheard {
    /// The backend does not implement the method.
    NotOffered,
    Failed(Error),
}

/// Keeps a listen open. Reports how the first attempt went; after a loss it tries until the conversation ends.
async fn keep(
    peer: Arc<Peer>,
    filter: ListenFilter,
    acknowledged: tokio::sync::oneshot::Sender<Result<ListenFilter, Unheard>>,
) {
    let mut stream = match open(&peer, &filter).await {
        Ok((stream, honoured)) => {
            peer.hears.store(!honoured.is_empty(), Ordering::Relaxed);
            // Whoever asked may have gone meanwhile; then the task is aborted too.
            let _ = acknowledged.send(Ok(honoured));
            stream
        }
        Err(unheard) => {
            let _ = acknowledged.send(Err(unheard));
            return;
        }
    };
    loop {
        read(&peer, &mut stream).await;
        let Some(again) = reopen(&peer, &filter).await else {
            return;
        };
        stream = again;
    }
}

/// Opens the listen again, and says of everything it announces that it may have changed meanwhile (digest trap 16).
async fn reopen(peer: &Arc<Peer>, filter: &ListenFilter) -> Option<EventStream> {
    let mut failures = 0;
    loop {
        // Also after a stream that ended well: one that always ends at once must not become a busy loop.
        failures += 1;
        tokio::time::sleep(pause::after_failures(
            peer.endpoint().limits().pause,
            failures,
        ))
        .await;
        if peer.closed.is_cancelled() {
            return None;
        }
        match open(peer, filter).await {
            Ok((stream, honoured)) => {
                peer.hears.store(!honoured.is_empty(), Ordering::Relaxed);
                honoured.gap().for_each(|notice| peer.say(notice));
                return Some(stream);
            }
            Err(Unheard::NotOffered) => {
                peer.hears.store(false, Ordering::Relaxed);
                return None;
            }
            Err(Unheard::Failed(error)) => {
                peer.hears.store(false, Ordering::Relaxed);
                tracing::debug!(backend = %peer.backend(), %error, failures, "cannot listen");
            }
        }
    }
}

/// Sends the request and reads up to the acknowledgement, which comes first (MS-21).
async fn open(
    peer: &Arc<Peer>,
    filter: &ListenFilter,
) -> Result<(EventStream, ListenFilter), Unheard> {
    let limit = peer.endpoint().limits().open;
    tokio::time::timeout(limit, open_unlimited(peer, filter))
        .await
        .unwrap_or_else(|_| {
            Err(Unheard::Failed(failure::timed_out(
                peer.backend(),
                "acknowledge `subscriptions/listen`",
                limit,
            )))
        })
}

async fn open_unlimited(
    peer: &Arc<Peer>,
    filter: &ListenFilter,
) -> Result<(EventStream, ListenFilter), Unheard> {
    let backend = peer.backend();
    let id = peer.next_id();
    let outgoing = Outgoing::plain(Method::SubscriptionsListen, filter.to_params());
    let answered = peer
        .post(id, &outgoing)
        .await
        .map_err(|failure| Unheard::Failed(failure.error))?;
    if let Some(error) = peer.refusal(&answered) {
        return Err(Unheard::Failed(error));
    }
    let mut stream = match answered.content {
        Content::Stream(stream) => stream,
        other => {
            let status = failure::status(backend, answered.status, &answered.headers);
            let response = other
                .response(backend, id)
                .await
                .map_err(|failure| Unheard::Failed(failure.error))?;
            return Err(match response {
                Some(Err(error)) => refused(peer, error),
                Some(Ok(_)) => Unheard::NotOffered, // It ended before it began.
                None => Unheard::Failed(status),
            });
        }
    };
    loop {
        let event = stream.next().await.map_err(|end| {
            let text = format!("`{backend}` ended a listen without acknowledging it");
            Unheard::Failed(failure::unavailable(backend, text).caused_by(end))
        })?;
        for message in messages(&event.data) {
            match message {
                Message::Notification {
                    method: Method::SubscriptionsAcknowledged,
                    params,
                } => {
                    return Ok((stream, filter.honoured(params.as_ref())));
                }
                Message::Response {
                    outcome: Err(error),
                    ..
                } => return Err(refused(peer, error)),
                Message::Response { outcome: Ok(_), .. } => return Err(Unheard::NotOffered),
                _ => {}
            }
        }
    }
}

fn refused(peer: &Peer, error: isthmus_protocol::JsonRpcError) -> Unheard {
    if error.code == code::METHOD_NOT_FOUND {
        return Unheard::NotOffered;
    }
    Unheard::Failed(Error::answered(peer.endpoint().backend().clone(), error))
}

/// Reads until the stream ends, with a response or without.
async fn read(peer: &Arc<Peer>, stream: &mut EventStream) {
    loop {
        let event = match stream.next().await {
            Ok(event) => event,
            Err(end) => {
                tracing::debug!(backend = %peer.backend(), %end, "a listen stream ended");
                return;
            }
        };
        for message in messages(&event.data) {
            match message {
                Message::Notification { method, params } => {
                    if let Some(notice) = traffic::notice(peer.backend(), &method, params.as_ref())
                    {
                        peer.say(notice);
                    }
                }
                Message::Response { .. } => return,
                Message::Request { .. } => {}
            }
        }
    }
}

fn messages(data: &bytes::Bytes) -> Vec<Message> {
    match parse_incoming(data) {
        Ok(Incoming::Single(message)) => vec![message],
        _ => Vec::new(),
    }
}
