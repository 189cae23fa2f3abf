//! A conversation with a stateless server over a pipe: every request describes itself (MC-1).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use isthmus_exchange::{BoxFuture, Error, PeerFacts, Reply};
use isthmus_protocol::params::{StatelessStamp, TraceStamp, stamp_stateless};
use isthmus_protocol::{Method, RawJson, Revision};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, broadcast, oneshot};
use tokio_util::sync::CancellationToken;

use super::call::{Call, Reading};
use super::link::{Link, Sending};
use super::listen::{self, Listening};
use super::opening::{self, Opening};
use super::pipe::Pipe;
use crate::conversation::{Conversation, Outgoing, PeerNotice, Watch};
use crate::traffic::progress_token;

/// A conversation with a stateless server over a pipe.
#[derive(Debug)]
pub(crate) struct StatelessDuplex {
    peer: Arc<Peer>,
    /// The listen that is kept open. Held while it is replaced.
    listening: Mutex<Option<Listening>>,
}

/// What requests and the listen share.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) link: Arc<Link>,
    pub(super) facts: PeerFacts,
    client_info: RawJson,
    /// Whether a listen is open that announces anything.
    pub(super) hears: AtomicBool,
}

impl StatelessDuplex {
    /// Opens a conversation: `server/discover`.
    pub(crate) async fn open(
        pipe: Pipe,
        opening: &Opening,
        background: &Handle,
    ) -> Result<Self, Error> {
        let (link, facts) = opening::open_stateless(pipe, opening, background).await?;
        Ok(Self::new(link, facts, opening))
    }

    pub(super) fn new(link: Arc<Link>, facts: PeerFacts, opening: &Opening) -> Self {
        let peer = Peer {
            link,
            facts,
            client_info: opening.client_info.clone(),
            hears: AtomicBool::new(false),
        };
        Self {
            peer: Arc::new(peer),
            listening: Mutex::default(),
        }
    }
}

impl Peer {
    /// Sends a request; a listen with the place where its acknowledgement arrives.
    pub(super) async fn send(
        &self,
        outgoing: Outgoing,
        acknowledged: Option<oneshot::Sender<RawJson>>,
    ) -> Result<Call, Error> {
        let Outgoing {
            method,
            params,
            wants,
            trace,
            capabilities,
            tool: _,
            asker: _,
        } = outgoing;
        let stamped = |id: u64| {
            let token = wants.progress.then(|| progress_token(id));
            let stamp = StatelessStamp {
                revision: Revision::LATEST,
                capabilities: &capabilities,
                client_info: &self.client_info,
                log_level: wants.log_level,
                progress_token: token.as_ref(),
                trace: TraceStamp {
                    parent: trace.parent.as_deref(),
                    state: trace.state.as_deref(),
                    baggage: trace.baggage.as_deref(),
                },
            };
            stamp_stateless(&params, &stamp)
        };
        let sending = Sending {
            method: &method,
            params: stamped,
            wants,
            acknowledged,
            cancellable: true,
            interactive: None,
        };
        self.link.send_request(sending).await
    }
}

impl Conversation for StatelessDuplex {
    fn facts(&self) -> &PeerFacts {
        &self.peer.facts
    }

    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>> {
        let peer = self.peer.clone();
        Box::pin(async move {
            let method = outgoing.method.clone();
            // A listen is noted as one, so that what is tagged with its id counts as asked for.
            let listens = method == Method::SubscriptionsListen;
            let acknowledged = listens.then(|| oneshot::channel().0);
            let call = peer.send(outgoing, acknowledged).await?;
            call.reply(Reading::Stateless(method)).await
        })
    }

    fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        self.peer.link.shared.notices.subscribe()
    }

    /// Opens a listen for `wanted`, and ends the one before once it is acknowledged: a filter never changes (digest
    /// §1.8), and in between both are heard rather than neither.
    fn watch(self: Arc<Self>, wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>> {
        Box::pin(async move {
            let mut listening = self.listening.lock().await;
            let (honoured, new) = listen::begin(&self.peer, &wanted).await?;
            *listening = new;
            Ok(honoured)
        })
    }

    /// Only what a listen asked for is sent.
    fn hears(&self) -> bool {
        self.peer.hears.load(Ordering::Relaxed) && !self.closed().is_cancelled()
    }

    fn closed(&self) -> CancellationToken {
        self.peer.link.shared.closed.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        // Some servers let an open listen hold up their end, although their input has ended.
        let listening = self.listening.try_lock().ok();
        let listening = listening.and_then(|mut listening| listening.take());
        let link = self.peer.link.clone();
        Box::pin(async move {
            if let Some(listening) = listening {
                listening.end().await;
            }
            link.close().await;
        })
    }
}
