//! The streams on which a scripted backend may say something unasked.

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::within;

/// Everybody who listens to a backend, by the session it listens in.
#[derive(Default)]
pub(super) struct Listeners {
    open: watch::Sender<Vec<Listener>>,
}

#[derive(Clone)]
struct Listener {
    session: String,
    /// The id of a listen; null for a GET stream.
    subscription: Value,
    feed: mpsc::Sender<String>,
}

impl Listeners {
    pub(super) fn add(&self, session: &str, subscription: Value, feed: mpsc::Sender<String>) {
        let session = session.to_owned();
        self.open.send_modify(|open| {
            open.push(Listener {
                session,
                subscription,
                feed,
            });
        });
    }

    /// Forgets those of a session whose wire is gone.
    pub(super) fn remove(&self, session: &str) {
        self.open
            .send_modify(|open| open.retain(|one| one.session != session));
    }

    /// Waits until this session has no stream any more.
    pub(super) async fn none_of(&self, session: &str) {
        let mut open = self.open.subscribe();
        let gone = open.wait_for(|open| open.iter().all(|one| one.session != session));
        gone.await.unwrap();
    }

    /// Ends all of them.
    pub(super) fn clear(&self) {
        self.open.send_modify(Vec::clear);
    }

    /// Says something to all of them; returns to how many.
    pub(super) async fn announce(&self, method: &str, params: &Value) -> usize {
        let listeners = self.open.borrow().clone();
        for listener in &listeners {
            let mut params = params.clone();
            if !listener.subscription.is_null() {
                params["_meta"] =
                    json!({"io.modelcontextprotocol/subscriptionId": listener.subscription});
            }
            let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
            let _ = listener.feed.send(message.to_string()).await;
        }
        listeners.len()
    }

    /// Waits until somebody listens.
    pub(super) async fn some(&self) {
        let mut open = self.open.subscribe();
        let came = within(open.wait_for(|open| !open.is_empty())).await;
        came.expect("nobody listens to the backend").unwrap();
    }

    /// The newest stream of this session; waits until it has one.
    pub(super) async fn of(&self, session: &str) -> mpsc::Sender<String> {
        let mut open = self.open.subscribe();
        let fits = |one: &Listener| one.session == session && !one.feed.is_closed();
        let came = within(open.wait_for(|open| open.iter().any(fits))).await;
        let open = came.unwrap_or_else(|| panic!("nobody listens in `{session}`"));
        let open = open.unwrap();
        let newest = open.iter().rev().find(|one| fits(one)).unwrap();
        newest.feed.clone()
    }
}
