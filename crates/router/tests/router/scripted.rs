//! A backend that does what a test says, and remembers what it was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use isthmus_backend::{Audience, BackendNotice, BackendState, Verdict};
use isthmus_config::{Backend, Process, StdioWire, Wire};
use isthmus_exchange::{
    BackendName, BoxFuture, Caller, Error, ErrorKind, Freshness, ItemKind, ListedItem, Listing,
    Notice, PeerFacts, Reply, Request,
};
use isthmus_protocol::{RawJson, Revision};
use isthmus_router::AnyBackend;
use tokio::sync::{broadcast, watch};

use crate::json;

type Answer = Box<dyn Fn(Request) -> Result<Reply, Error> + Send + Sync>;

/// A backend that does what a test says.
pub(crate) struct Scripted {
    name: BackendName,
    settings: Backend,
    state: watch::Sender<BackendState>,
    notices: broadcast::Sender<BackendNotice>,
    listing: Mutex<Result<Arc<Listing>, Error>>,
    /// How long a listing, and a subscription, takes.
    pub(crate) slow: Mutex<Duration>,
    answer: Mutex<Answer>,
    fetches: AtomicUsize,
    /// Every request, and every `subscribe uri` and `unsubscribe uri`.
    heard: Mutex<Vec<String>>,
    pub(crate) refuses_subscriptions: Mutex<bool>,
    /// Native URIs that it refuses to have watched.
    pub(crate) refuses: Mutex<Vec<&'static str>>,
    /// It has no way to tell us anything unasked.
    pub(crate) mute: Mutex<bool>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    /// A backend that is still starting and will list `items`: `(kind, key, more members)`.
    pub(crate) fn starting(name: &str, items: &[(ItemKind, &str, &str)]) -> Arc<Self> {
        let process = Process::new("true");
        Self::with_settings(
            Backend::new(name, Wire::Stdio(StdioWire { process })),
            items,
        )
    }

    /// A backend that is ready.
    pub(crate) fn ready(name: &str, items: &[(ItemKind, &str, &str)]) -> Arc<Self> {
        let backend = Self::starting(name, items);
        backend.come_up();
        backend
    }

    pub(crate) fn with_settings(settings: Backend, items: &[(ItemKind, &str, &str)]) -> Arc<Self> {
        Arc::new(Self {
            name: BackendName::parse(&settings.name).unwrap(),
            settings,
            state: watch::Sender::new(BackendState::Starting),
            notices: broadcast::Sender::new(64),
            listing: Mutex::new(Ok(Arc::new(listing(items)))),
            slow: Mutex::default(),
            answer: Mutex::new(Box::new(|request| Ok(Reply::complete(request.params)))),
            fetches: AtomicUsize::new(0),
            heard: Mutex::default(),
            refuses_subscriptions: Mutex::new(false),
            refuses: Mutex::default(),
            mute: Mutex::default(),
        })
    }

    pub(crate) fn come_up(&self) {
        let facts = match &*self.listing.lock().unwrap() {
            Ok(listing) => listing.facts.clone(),
            Err(_) => listing(&[]).facts,
        };
        self.state.send_replace(BackendState::Ready(Verdict {
            facts,
            at: SystemTime::now(),
            evidence: "scripted",
        }));
    }

    pub(crate) fn be(&self, state: BackendState) {
        self.state.send_replace(state);
    }

    pub(crate) fn go_down(&self) {
        let reason = "unplugged".to_owned();
        self.be(BackendState::Down { reason });
    }

    /// What it lists from now on.
    pub(crate) fn lists(&self, items: &[(ItemKind, &str, &str)]) {
        self.lists_all(listing(items));
    }

    pub(crate) fn lists_all(&self, listing: Listing) {
        *self.listing.lock().unwrap() = Ok(Arc::new(listing));
    }

    pub(crate) fn cannot_list(&self) {
        let kind = ErrorKind::BackendUnavailable(self.name.clone());
        *self.listing.lock().unwrap() = Err(Error::new(kind, "no list today"));
    }

    pub(crate) fn answers(
        &self,
        answer: impl Fn(Request) -> Result<Reply, Error> + Send + Sync + 'static,
    ) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn says(&self, audience: Audience, notice: Notice) {
        self.notices
            .send(BackendNotice { audience, notice })
            .unwrap();
    }

    pub(crate) fn announces(&self, kind: ItemKind) {
        self.says(Audience::Everyone, Notice::ListChanged(kind));
    }

    pub(crate) fn updates(&self, uri: &str) {
        let params = json(&format!(r#"{{"uri":"{uri}","n":1.0}}"#));
        let uri = uri.to_owned();
        self.says(Audience::Everyone, Notice::ResourceUpdated { uri, params });
    }

    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// What it was asked since the last time.
    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    fn note(&self, what: String) {
        self.heard.lock().unwrap().push(what);
    }
}

/// A listing whose backend tells when it changes.
pub(crate) fn listing(items: &[(ItemKind, &str, &str)]) -> Listing {
    let items = items.iter().map(|(kind, key, more)| {
        let comma = if more.is_empty() { "" } else { "," };
        let text = format!(r#"{{"{}":"{key}"{comma}{more}}}"#, kind.key_member());
        ListedItem {
            kind: *kind,
            key: (*key).to_owned(),
            definition: json(&text),
        }
    });
    let capabilities =
        r#"{"tools":{},"prompts":{},"resources":{"subscribe":true},"completions":{}}"#;
    Listing {
        facts: PeerFacts {
            revision: Revision::V2025_11_25,
            capabilities: json(capabilities),
            server_info: None,
            instructions: None,
        },
        items: items.collect(),
        freshness: Freshness {
            ttl: None,
            public: false,
            watched: true,
        },
    }
}

impl AnyBackend for Scripted {
    fn name(&self) -> &BackendName {
        &self.name
    }

    fn settings(&self) -> &Backend {
        &self.settings
    }

    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Result<Reply, Error>> {
        self.note(format!("{} {}", request.method, request.params));
        let answer = (self.answer.lock().unwrap())(request);
        Box::pin(std::future::ready(answer))
    }

    fn listing(self: Arc<Self>) -> BoxFuture<'static, Result<Arc<Listing>, Error>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let slow = *self.slow.lock().unwrap();
            tokio::time::sleep(slow).await;
            self.listing.lock().unwrap().clone()
        })
    }

    fn subscribe(
        self: Arc<Self>,
        caller: Arc<Caller>,
        uri: String,
    ) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            let slow = *self.slow.lock().unwrap();
            tokio::time::sleep(slow).await;
            if !matches!(*self.state.borrow(), BackendState::Ready(_)) {
                let kind = ErrorKind::BackendUnavailable(self.name.clone());
                return Err(Error::new(kind, "unplugged"));
            }
            let refuses = self.refuses.lock().unwrap().contains(&uri.as_str());
            if refuses || *self.refuses_subscriptions.lock().unwrap() {
                return Err(Error::invalid_params("not that one"));
            }
            self.note(format!("subscribe {:?} {uri}", caller.scope.id().0));
            Ok(())
        })
    }

    fn unsubscribe(
        self: Arc<Self>,
        caller: Arc<Caller>,
        uri: String,
    ) -> BoxFuture<'static, Result<(), Error>> {
        self.note(format!("unsubscribe {:?} {uri}", caller.scope.id().0));
        Box::pin(std::future::ready(Ok(())))
    }

    fn hears(self: Arc<Self>, _caller: Arc<Caller>) -> BoxFuture<'static, bool> {
        let hears = !*self.mute.lock().unwrap();
        Box::pin(std::future::ready(hears))
    }

    fn notices(&self) -> broadcast::Receiver<BackendNotice> {
        self.notices.subscribe()
    }

    fn state(&self) -> watch::Receiver<BackendState> {
        self.state.subscribe()
    }

    fn close(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The text of `result.{member}[].{key}`.
pub(crate) fn keys(result: &RawJson, kind: ItemKind) -> Vec<String> {
    let items = isthmus_protocol::object::member(result, kind.member()).unwrap();
    let items = isthmus_protocol::object::elements(&items).unwrap();
    let key = |item| isthmus_protocol::object::string_member(item, kind.key_member()).unwrap();
    items.iter().map(key).collect()
}
