//! A conversation held for the length of a request, and what can be done with it meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use isthmus_exchange::{Error, ScopeId};
use isthmus_protocol::object::member;
use isthmus_protocol::{Era, LogLevel, Method, RawJson};

use super::Pool;
use super::slot::{Owner, Slot, lock};
use crate::conversation::{Conversation, Outgoing, Watch};

/// A conversation held for the length of a request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) slot: Arc<Slot>,
    pub(super) conversation: Arc<dyn Conversation>,
    pub(super) pool: Arc<Pool>,
}

impl Lease {
    /// The conversation.
    pub(crate) const fn conversation(&self) -> &Arc<dyn Conversation> {
        &self.conversation
    }

    /// Asks a stateful backend for log messages of `level` and above, if it sends fewer so far.
    ///
    /// The session's level is the most verbose any of its callers asked for; what a caller did not ask for is filtered
    /// on the way back (digest §3.3).
    pub(crate) async fn raise_log_level(&self, level: LogLevel) {
        let facts = self.conversation.facts();
        let logs = member(&facts.capabilities, "logging").is_some();
        if facts.revision.era() != Era::Stateful || !logs {
            return;
        }
        {
            let mut current = lock(&self.slot.log_level);
            if current.is_some_and(|current| current <= level) {
                return;
            }
            *current = Some(level);
        }
        let params = RawJson::from_serialize(&serde_json::json!({ "level": level.as_str() }));
        let outgoing = Outgoing::plain(Method::LoggingSetLevel, params);
        let answer = match self.conversation.clone().request(outgoing).await {
            Ok(reply) => reply.outcome().await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = answer {
            tracing::debug!(%error, "the backend refused a log level");
        }
    }

    /// Subscribes `scope` to `uri`. Idempotent.
    ///
    /// # Errors
    ///
    /// Invalid parameters if the backend does not honour it.
    pub(crate) async fn subscribe(&self, scope: ScopeId, uri: &str) -> Result<(), Error> {
        let _serial = self.slot.watching.lock().await;
        let new = {
            let mut subscriptions = lock(&self.slot.subscriptions);
            let scopes = subscriptions.entry(uri.to_owned()).or_default();
            scopes.insert(scope);
            scopes.len() == 1
        };
        if !new {
            return Ok(());
        }
        let honoured = self.conversation.clone().watch(self.slot.watch()).await;
        if honoured
            .as_ref()
            .is_ok_and(|honoured| honoured.uris.contains(uri))
        {
            return Ok(());
        }
        lock(&self.slot.subscriptions).remove(uri);
        honoured?;
        Err(Error::invalid_params(format!(
            "the backend does not offer subscriptions to `{uri}`"
        )))
    }

    /// Ends the subscription of `scope` to `uri`. Idempotent.
    pub(crate) async fn unsubscribe(&self, scope: ScopeId, uri: &str) -> Result<(), Error> {
        let _serial = self.slot.watching.lock().await;
        let last = {
            let mut subscriptions = lock(&self.slot.subscriptions);
            let Some(scopes) = subscriptions.get_mut(uri) else {
                return Ok(());
            };
            scopes.remove(&scope);
            let last = scopes.is_empty();
            if last {
                subscriptions.remove(uri);
            }
            last
        };
        if last {
            self.conversation.clone().watch(self.slot.watch()).await?;
        }
        Ok(())
    }

    /// Asks for list changes, and again for whatever is subscribed. What the backend honours.
    pub(crate) async fn watch_lists(&self) -> Result<Watch, Error> {
        let _serial = self.slot.watching.lock().await;
        self.conversation.clone().watch(self.slot.watch()).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.slot
            .last_used
            .store(self.pool.now(), Ordering::Relaxed);
        self.slot.leases.fetch_sub(1, Ordering::Relaxed);
        // A conversation that was opened for one call ends with it.
        if matches!(*lock(&self.slot.owner), Owner::Call(_)) {
            self.pool.forget(&self.slot);
            let conversation = self.conversation.clone();
            self.pool.spawn(async move { conversation.close().await });
        }
    }
}
