//! A conversation with a stateful server over a pipe.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{BoxFuture, Error, ErrorKind, PeerFacts, Reply};
use isthmus_protocol::object::assemble;
use isthmus_protocol::params::{TraceStamp, stamp_stateful};
use isthmus_protocol::{Method, RawJson};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;

use super::call::Reading;
use super::link::{Link, Sending};
use super::opening::{self, Opening};
use super::pipe::Pipe;
use crate::conversation::{Conversation, Outgoing, PeerNotice, Watch};
use crate::traffic::progress_token;

/// How long a subscription may take.
const SUBSCRIBE: Duration = Duration::from_secs(30);

/// A conversation with a stateful server over a pipe.
#[derive(Debug)]
pub(crate) struct StatefulDuplex {
    link: Arc<Link>,
    facts: PeerFacts,
    /// What is subscribed to; held while that changes.
    watched: Mutex<BTreeSet<String>>,
}

impl StatefulDuplex {
    /// Opens a conversation: `initialize` and `notifications/initialized` (LC-1).
    pub(crate) async fn open(
        pipe: Pipe,
        opening: &Opening,
        background: &Handle,
    ) -> Result<Self, Error> {
        let (link, facts) = opening::open_stateful(pipe, opening, background).await?;
        Ok(Self::new(link, facts))
    }

    pub(super) fn new(link: Arc<Link>, facts: PeerFacts) -> Self {
        Self {
            link,
            facts,
            watched: Mutex::default(),
        }
    }

    async fn send(&self, outgoing: Outgoing) -> Result<Reply, Error> {
        let Outgoing {
            method,
            params,
            wants,
            trace,
            capabilities: _,
            tool: _,
            asker,
        } = outgoing;
        let interactive = self
            .link
            .shared
            .questions
            .begin(&method, &params, asker)
            .await;
        let trace = TraceStamp {
            parent: trace.parent.as_deref(),
            state: trace.state.as_deref(),
            baggage: trace.baggage.as_deref(),
        };
        let sending = Sending {
            method: &method,
            params: |id: u64| {
                let token = wants.progress.then(|| progress_token(id));
                stamp_stateful(&params, token.as_ref(), trace)
            },
            wants,
            acknowledged: None,
            cancellable: true,
            interactive,
        };
        let call = self.link.send_request(sending).await?;
        call.reply(Reading::Stateful).await
    }

    /// Subscribes to `uri` or ends that. False if the server refuses.
    async fn subscribe(&self, method: Method, uri: &str) -> Result<bool, Error> {
        let params = assemble([("uri", RawJson::string(uri))]);
        let outgoing = Outgoing::plain(method, params);
        let answered = async { self.send(outgoing).await?.outcome().await };
        let answer = tokio::time::timeout(SUBSCRIBE, answered).await;
        match answer.unwrap_or_else(|_| Err(self.silent())) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Answered { .. }) => {
                tracing::debug!(backend = %self.link.shared.backend, uri, %error, "a subscription was refused");
                Ok(false)
            }
            // Nobody sends it once more.
            Err(error) if matches!(error.kind(), ErrorKind::SessionUnknown) => {
                Err(self.link.shared.gone().caused_by(error))
            }
            Err(error) => Err(error),
        }
    }

    fn silent(&self) -> Error {
        let backend = &self.link.shared.backend;
        let message = format!("`{backend}` did not answer a subscription in time");
        Error::new(ErrorKind::TimedOut(Some(backend.clone())), message)
    }

    async fn rewatch(&self, wanted: Watch) -> Result<Watch, Error> {
        let mut watched = self.watched.lock().await;
        // Tried even if not declared: the Python SDK does not declare what its servers answer.
        let gone: Vec<String> = watched.difference(&wanted.uris).cloned().collect();
        for uri in gone {
            self.subscribe(Method::ResourcesUnsubscribe, &uri).await?;
            watched.remove(&uri);
        }
        for uri in &wanted.uris {
            if !watched.contains(uri) && self.subscribe(Method::ResourcesSubscribe, uri).await? {
                watched.insert(uri.clone());
            }
        }
        Ok(Watch {
            lists: wanted.lists,
            uris: watched.clone(),
        })
    }
}

impl Conversation for StatefulDuplex {
    fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>> {
        Box::pin(async move { self.send(outgoing).await })
    }

    fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        self.link.shared.notices.subscribe()
    }

    fn watch(self: Arc<Self>, wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>> {
        Box::pin(async move { self.rewatch(wanted).await })
    }

    fn roots_changed(self: Arc<Self>) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            let params = RawJson::empty_object();
            let told = self.link.notify(&Method::RootsListChanged, &params);
            told.await
        })
    }

    /// A pipe carries whatever the server says.
    fn hears(&self) -> bool {
        !self.link.shared.closed.is_cancelled()
    }

    fn closed(&self) -> CancellationToken {
        self.link.shared.closed.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let link = self.link.clone();
        Box::pin(async move { link.close().await })
    }
}
