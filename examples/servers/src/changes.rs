//! Tells clients of either era what changed: a session hears it unasked, a `subscriptions/listen` hears what it chose.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use rmcp::service::{SubscriptionContext, SubscriptionSendError};
use rmcp::{Peer, RoleServer};
use tokio::sync::broadcast;

/// Something a client may want to know about.
#[derive(Debug, Clone)]
pub enum Change {
    /// The list of tools is another one.
    Tools,
    /// The list of resources is another one.
    Resources,
    /// The resource with this URI reads differently.
    Resource(String),
}

/// The URIs one session has subscribed to (`resources/subscribe`).
#[derive(Debug, Clone, Default)]
pub struct Watched(Arc<Mutex<HashSet<String>>>);

/// Where a server announces changes and from where its clients are told.
#[derive(Debug, Clone)]
pub struct Changes {
    announced: broadcast::Sender<Change>,
    expected: Arc<Mutex<VecDeque<broadcast::Receiver<Change>>>>,
}

impl Watched {
    /// Adds a URI.
    pub fn add(&self, uri: String) {
        self.with(|uris| uris.insert(uri));
    }

    /// Takes a URI away.
    pub fn remove(&self, uri: &str) {
        self.with(|uris| uris.remove(uri));
    }

    fn has(&self, uri: &str) -> bool {
        self.with(|uris| uris.contains(uri))
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashSet<String>) -> T) -> T {
        act(&mut self
            .0
            .lock()
            .expect("nobody panics while holding this lock"))
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            announced: broadcast::Sender::new(64),
            expected: Arc::default(),
        }
    }
}

impl Changes {
    /// Tells everybody who listens.
    pub fn announce(&self, change: Change) {
        // The only error is that nobody listens.
        let _ = self.announced.send(change);
    }

    /// Tells a client that opened a session (revisions up to 2025-11-25), for as long as its session lives.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with the session: the SDK offers no task group to put it into"
    )]
    pub fn tell_session(&self, peer: Peer<RoleServer>, watched: Watched) {
        let mut changes = self.announced.subscribe();
        tokio::spawn(async move {
            while let Ok(change) = changes.recv().await {
                let told = match change {
                    Change::Tools => peer.notify_tool_list_changed().await,
                    Change::Resources => peer.notify_resource_list_changed().await,
                    Change::Resource(uri) if watched.has(&uri) => {
                        let updated = rmcp::model::ResourceUpdatedNotificationParam::new(uri);
                        peer.notify_resource_updated(updated).await
                    }
                    Change::Resource(_) => Ok(()),
                };
                if told.is_err() {
                    return; // The client has gone.
                }
            }
        });
    }

    /// Says that a `subscriptions/listen` is about to be acknowledged, and so must not miss what changes from now on.
    ///
    /// The SDK acknowledges between this and [`Self::tell_listener`]; a client may change something right then.
    pub fn expect_listener(&self) {
        let mut expected = self.expected();
        expected.truncate(16); // Those whose client left before it was acknowledged.
        expected.push_back(self.announced.subscribe());
    }

    /// Tells a client that asked with `subscriptions/listen` (revision 2026-07-28), until it hangs up.
    pub async fn tell_listener(&self, listener: SubscriptionContext) {
        // Which of several expected ones it is does not matter: an earlier one only hears more.
        let earliest = self.expected().pop_front();
        let mut changes = earliest.unwrap_or_else(|| self.announced.subscribe());
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = listener.cancelled() => return,
            };
            let told = match change {
                Ok(Change::Tools) => listener.sink().notify_tool_list_changed().await,
                Ok(Change::Resources) => listener.sink().notify_resource_list_changed().await,
                Ok(Change::Resource(uri)) => listener.sink().notify_resource_updated(uri).await,
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            };
            match told {
                // The SDK keeps back what this listener did not ask for.
                Ok(()) | Err(SubscriptionSendError::NotificationNotAccepted(_)) => {}
                Err(_) => return,
            }
        }
    }
    fn expected(&self) -> MutexGuard<'_, VecDeque<broadcast::Receiver<Change>>> {
        self.expected
            .lock()
            .expect("nobody panics while holding this lock")
    }
}
