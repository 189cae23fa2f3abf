//! A conversation held for the length of a request, and what can be done with it meanwhile.

use std::sync::Arc;

use isthmus_exchange::{Attachment, BoxFuture, Caller, Error, ScopeId};
use isthmus_protocol::object::{member, member_at};
use isthmus_protocol::{Era, LogLevel, Method, RawJson};

use super::slot::{Hold, Owner, Slot, lock};
use crate::conversation::{Conversation, Outgoing, Watch};
use crate::parking::Occupied;

/// A conversation held for the length of a request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) hold: Hold,
    pub(super) conversation: Arc<dyn Conversation>,
}

impl Lease {
    /// The conversation.
    pub(crate) const fn conversation(&self) -> &Arc<dyn Conversation> {
        &self.conversation
    }

    pub(super) const fn slot(&self) -> &Arc<Slot> {
        self.hold.slot()
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
            let mut current = lock(&self.slot().log_level);
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

    /// Tells a stateful backend that its caller's roots have changed, if they have since it was told last.
    pub(crate) async fn tell_roots(&self, caller: &Caller) {
        let declared = member_at(&self.slot().capabilities, &["roots", "listChanged"]).is_some();
        if !declared || caller.attachment == Attachment::Detached {
            return;
        }
        let (scope, changes) = (caller.scope.id(), caller.scope.roots_changes());
        let news = {
            let mut told = lock(&self.slot().roots_told);
            if told.len() >= MOST_ROOTS && !told.contains_key(&scope) {
                told.pop_first();
            }
            // Whoever comes for the first time has not been asked here for roots that could have changed.
            let before = told.insert(scope, changes).unwrap_or(changes);
            before < changes
        };
        if news && let Err(error) = self.conversation.clone().roots_changed().await {
            tracing::debug!(%error, "the backend could not be told that roots changed");
        }
    }

    /// Subscribes `scope` to `uri`. Idempotent. Several at a time cost one change of what the conversation watches.
    ///
    /// # Errors
    ///
    /// Invalid parameters if the backend does not honour it, or if the conversation ends with this call.
    pub(crate) async fn subscribe(&self, scope: ScopeId, uri: &str) -> Result<(), Error> {
        if matches!(*lock(&self.slot().owner), Owner::Call(_)) {
            let text = "each call has its own session with the backend, so nothing can be watched";
            return Err(Error::invalid_params(text));
        }
        lock(&self.slot().subscriptions)
            .entry(uri.to_owned())
            .or_default()
            .insert(scope);
        let _serial = self.slot().watching.lock().await;
        if lock(&self.slot().honoured).contains(uri) {
            return Ok(());
        }
        let honoured = self.watch().await;
        if honoured
            .as_ref()
            .is_ok_and(|honoured| honoured.uris.contains(uri))
        {
            return Ok(());
        }
        self.forget_subscription(scope, uri);
        honoured?;
        Err(Error::invalid_params(format!(
            "the backend does not offer subscriptions to `{uri}`"
        )))
    }

    /// Ends the subscription of `scope` to `uri`. Idempotent.
    pub(crate) async fn unsubscribe(&self, scope: ScopeId, uri: &str) -> Result<(), Error> {
        let _serial = self.slot().watching.lock().await;
        if self.forget_subscription(scope, uri) {
            self.watch().await?;
        }
        Ok(())
    }

    /// Asks for list changes, and again for whatever is subscribed. What the backend honours.
    pub(crate) async fn watch_lists(&self) -> Result<Watch, Error> {
        let _serial = self.slot().watching.lock().await;
        self.watch().await
    }

    /// Whoever calls this holds `watching`.
    async fn watch(&self) -> Result<Watch, Error> {
        let honoured = self.conversation.clone().watch(self.slot().watch()).await?;
        lock(&self.slot().honoured).clone_from(&honoured.uris);
        Ok(honoured)
    }

    /// Whether nobody is subscribed to `uri` any more, who was before.
    fn forget_subscription(&self, scope: ScopeId, uri: &str) -> bool {
        let mut subscriptions = lock(&self.slot().subscriptions);
        let Some(scopes) = subscriptions.get_mut(uri) else {
            return false;
        };
        scopes.remove(&scope);
        let last = scopes.is_empty();
        if last {
            subscriptions.remove(uri);
        }
        last
    }
}

impl Occupied for Lease {
    fn raise_log_level(self: Arc<Self>, level: LogLevel) -> BoxFuture<'static, ()> {
        Box::pin(async move { Self::raise_log_level(&self, level).await })
    }
}

/// How many clients' roots one conversation remembers having been told of.
const MOST_ROOTS: usize = 1_024;
