//! One `subscriptions/listen` stream, kept open (MC-7).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use isthmus_exchange::{Error, ItemKind};
use isthmus_protocol::message::{Incoming, Message, parse_incoming};
use isthmus_protocol::{Method, RawJson, ServerCapabilities, code, object};
use serde::Deserialize;
use tokio_util::task::AbortOnDropHandle;

use super::answer::Content;
use super::call::Hop;
use super::event_stream::EventStream;
use super::failure;
use super::pause;
use super::stateless::Peer;
use crate::conversation::{Outgoing, PeerNotice, Watch};
use crate::traffic;

/// What a listen asks for, or what of it is honoured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: BTreeSet<String>,
}

/// Opens a listen for `wanted` on the background runtime and waits until it is acknowledged. Returns the honoured part, and
/// the task that keeps it open; none if there is nothing to listen to.
pub(super) async fn begin(
    peer: &Arc<Peer>,
    wanted: &Watch,
) -> Result<(Watch, Option<AbortOnDropHandle<()>>), Error> {
    let filter = Filter::wanted(
        wanted,
        &ServerCapabilities::parse(&peer.facts().capabilities),
    );
    if filter == Filter::default() {
        peer.hears.store(false, Ordering::Relaxed);
        return Ok((Watch::default(), None));
    }
    let (acknowledged, first) = tokio::sync::oneshot::channel();
    let keeping = keep(Arc::clone(peer), filter, acknowledged);
    let task = AbortOnDropHandle::new(peer.endpoint().background().spawn(keeping));
    match first.await {
        Ok(Ok(honoured)) => Ok((honoured.into_watch(), Some(task))),
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
    filter: Filter,
    acknowledged: tokio::sync::oneshot::Sender<Result<Filter, Unheard>>,
) {
    let mut stream = match open(&peer, &filter).await {
        Ok((stream, honoured)) => {
            peer.hears
                .store(honoured != Filter::default(), Ordering::Relaxed);
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
async fn reopen(peer: &Arc<Peer>, filter: &Filter) -> Option<EventStream> {
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
                peer.hears
                    .store(honoured != Filter::default(), Ordering::Relaxed);
                honoured.announce_gap(peer);
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
async fn open(peer: &Arc<Peer>, filter: &Filter) -> Result<(EventStream, Filter), Unheard> {
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
    filter: &Filter,
) -> Result<(EventStream, Filter), Unheard> {
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
                    let honoured = params
                        .and_then(|params| object::member(&params, "notifications"))
                        .and_then(|honoured| honoured.read().ok())
                        .unwrap_or_default();
                    return Ok((stream, honoured));
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

impl Filter {
    /// Of what is wanted, what the backend declares: it would leave the rest out of its acknowledgement anyway.
    fn wanted(wanted: &Watch, declared: &ServerCapabilities) -> Self {
        let changes = |list: Option<isthmus_protocol::ListCapability>| {
            wanted.lists && list.is_some_and(|list| list.list_changed)
        };
        Self {
            tools_list_changed: changes(declared.tools),
            prompts_list_changed: changes(declared.prompts),
            resources_list_changed: changes(declared.resources),
            resource_subscriptions: if declared.resources_subscribe {
                wanted.uris.clone()
            } else {
                BTreeSet::new()
            },
        }
    }

    fn to_params(&self) -> RawJson {
        let flags = [
            ("toolsListChanged", self.tools_list_changed),
            ("promptsListChanged", self.prompts_list_changed),
            ("resourcesListChanged", self.resources_list_changed),
        ];
        let mut members: Vec<_> = flags
            .into_iter()
            .filter(|(_, wanted)| *wanted)
            .map(|(key, _)| (key, RawJson::assembled("true")))
            .collect();
        if !self.resource_subscriptions.is_empty() {
            members.push((
                "resourceSubscriptions",
                RawJson::from_serialize(&self.resource_subscriptions),
            ));
        }
        object::assemble([("notifications", object::assemble(members))])
    }

    fn into_watch(self) -> Watch {
        Watch {
            lists: self.tools_list_changed
                || self.prompts_list_changed
                || self.resources_list_changed,
            uris: self.resource_subscriptions,
        }
    }

    fn announce_gap(&self, peer: &Peer) {
        let lists = [
            (self.tools_list_changed, ItemKind::Tool),
            (self.prompts_list_changed, ItemKind::Prompt),
            (self.resources_list_changed, ItemKind::Resource),
        ];
        for (_, kind) in lists.into_iter().filter(|(heard, _)| *heard) {
            peer.say(PeerNotice::ListChanged(kind));
        }
        for uri in &self.resource_subscriptions {
            let params = object::assemble([("uri", RawJson::string(uri))]);
            peer.say(PeerNotice::ResourceUpdated {
                uri: uri.clone(),
                params,
            });
        }
    }
}
