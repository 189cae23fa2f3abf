//! A conversation with a stateless server over a pipe: every request describes itself (MC-1).

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use isthmus_exchange::{BoxFuture, Error, ErrorKind, PeerFacts, Reply};
use isthmus_protocol::object::{assemble, assemble_array, elements, member, member_at, text};
use isthmus_protocol::params::{StatelessStamp, TraceStamp, stamp_stateless};
use isthmus_protocol::{Method, RawJson, Revision};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;

use super::call::{Call, Reading};
use super::link::{Link, Sending};
use super::opening::{self, Opening};
use super::pipe::Pipe;
use crate::conversation::{Conversation, Outgoing, PeerNotice, Watch};
use crate::traffic::progress_token;

/// How long the acknowledgement of a listen may take.
const ACKNOWLEDGE: Duration = Duration::from_secs(30);

/// A conversation with a stateless server over a pipe.
#[derive(Debug)]
pub(crate) struct StatelessDuplex {
    link: Arc<Link>,
    facts: PeerFacts,
    client_info: RawJson,
    /// The listen that is open. Its call ends when it is replaced.
    listen: std::sync::Mutex<Option<Call>>,
    /// Held while it is replaced.
    replacing: tokio::sync::Mutex<()>,
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
        Self {
            link,
            facts,
            client_info: opening.client_info.clone(),
            listen: std::sync::Mutex::default(),
            replacing: tokio::sync::Mutex::default(),
        }
    }

    async fn send(
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
        self.link.send(sending).await
    }

    /// Opens a listen for `wanted`, and ends the one before once it is acknowledged: a filter never changes (digest
    /// §1.8), and in between both are heard rather than neither.
    async fn rewatch(&self, wanted: Watch) -> Result<Watch, Error> {
        let _replacing = self.replacing.lock().await;
        let Some(filter) = self.filter(&wanted) else {
            self.replace_listen(None);
            return Ok(Watch::default());
        };
        let (acknowledge, acknowledged) = oneshot::channel();
        let params = assemble([("notifications", filter)]);
        let listen = Outgoing::plain(Method::SubscriptionsListen, params);
        let mut call = self.send(listen, Some(acknowledge)).await?;
        let acknowledgement = tokio::select! {
            biased;
            Ok(params) = acknowledged => params,
            answer = call.answer() => {
                return match answer {
                    Err(error) if !matches!(error.kind(), ErrorKind::Answered { .. }) => Err(error),
                    // It does not offer what it declared; then nothing is heard.
                    _ => Ok(Watch::default()),
                };
            }
            () = tokio::time::sleep(ACKNOWLEDGE) => {
                let backend = &self.link.shared.backend;
                let kind = ErrorKind::TimedOut(Some(backend.clone()));
                let message = format!("backend `{backend}` did not acknowledge a listen in time");
                return Err(Error::new(kind, message));
            }
        };
        self.replace_listen(Some(call));
        Ok(honoured(&acknowledgement, &wanted))
    }

    /// The filter for `wanted`, without what the server does not declare; `None` if nothing is left.
    fn filter(&self, wanted: &Watch) -> Option<RawJson> {
        let declares = |path: [&str; 2]| {
            let declared = member_at(&self.facts.capabilities, &path);
            declared.is_some_and(|declared| declared.as_str() == "true")
        };
        let yes = || RawJson::assembled("true");
        let mut members = Vec::new();
        for (capability, flag) in LISTS {
            if wanted.lists && declares([capability, "listChanged"]) {
                members.push((flag, yes()));
            }
        }
        if !wanted.uris.is_empty() && declares(["resources", "subscribe"]) {
            let uris: Vec<RawJson> = wanted.uris.iter().map(|uri| RawJson::string(uri)).collect();
            members.push((URIS, assemble_array(&uris)));
        }
        (!members.is_empty()).then(|| assemble(members))
    }

    fn replace_listen(&self, call: Option<Call>) {
        let mut listen = self.listen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *listen, call);
        drop(listen);
        // Tells the server to end it.
        drop(before);
    }
}

/// Which of `wanted` an acknowledgement honours.
fn honoured(acknowledgement: &RawJson, wanted: &Watch) -> Watch {
    let Some(filter) = member(acknowledgement, "notifications") else {
        return Watch::default();
    };
    let said = |flag| member(&filter, flag).is_some_and(|value| value.as_str() == "true");
    let uris = member(&filter, URIS)
        .and_then(|uris| elements(&uris))
        .unwrap_or_default();
    let uris: BTreeSet<String> = uris
        .iter()
        .filter_map(|uri| Some(text(uri)?.into_owned()))
        .filter(|uri| wanted.uris.contains(uri))
        .collect();
    Watch {
        lists: wanted.lists && LISTS.into_iter().any(|(_, flag)| said(flag)),
        uris,
    }
}

/// Capabilities with changing lists, and the flags of a listen filter.
const LISTS: [(&str, &str); 3] = [
    ("tools", "toolsListChanged"),
    ("prompts", "promptsListChanged"),
    ("resources", "resourcesListChanged"),
];
const URIS: &str = "resourceSubscriptions";

impl Conversation for StatelessDuplex {
    fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>> {
        Box::pin(async move {
            let method = outgoing.method.clone();
            let call = self.send(outgoing, None).await?;
            call.reply(Reading::Stateless(method)).await
        })
    }

    fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        self.link.shared.notices.subscribe()
    }

    fn watch(self: Arc<Self>, wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>> {
        Box::pin(async move { self.rewatch(wanted).await })
    }

    /// Only what a listen asked for is sent.
    fn hears(&self) -> bool {
        let listen = self.listen.lock().unwrap_or_else(PoisonError::into_inner);
        listen.as_ref().is_some_and(|call| !call.is_finished())
    }

    fn closed(&self) -> CancellationToken {
        self.link.shared.closed.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        // Some servers let an open listen hold up their end, although their input has ended.
        self.replace_listen(None);
        let link = self.link.clone();
        Box::pin(async move { link.close().await })
    }
}
