//! What the router needs of a backend: so little that a test can script one.

use std::fmt;
use std::sync::Arc;

use isthmus_backend::{Backend, BackendNotice, BackendState, TaskNews};
use isthmus_exchange::{BackendName, BoxFuture, Caller, Error, Listing, Reply, Request};
use tokio::sync::{broadcast, watch};

/// One MCP server behind us, as the router sees it. Names and URIs are native ones throughout.
pub trait AnyBackend: Send + Sync + fmt::Debug + 'static {
    /// Its name.
    fn name(&self) -> &BackendName;

    /// Its settings. A reload keeps a backend whose settings are equal.
    fn settings(&self) -> &isthmus_config::Backend;

    /// Sends one request. Dropping the future or the reply cancels it.
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Result<Reply, Error>>;

    /// Says that `caller` looks at what there is: some servers have more for clients that can be asked something.
    fn expect(&self, _caller: &Caller) {}

    /// Fetches everything it lists, now.
    fn listing(self: Arc<Self>) -> BoxFuture<'static, Result<Arc<Listing>, Error>>;

    /// Subscribes the caller's scope to a resource. Idempotent.
    fn subscribe(
        self: Arc<Self>,
        caller: Arc<Caller>,
        uri: String,
    ) -> BoxFuture<'static, Result<(), Error>>;

    /// Ends the subscription of the caller's scope. Idempotent.
    fn unsubscribe(
        self: Arc<Self>,
        caller: Arc<Caller>,
        uri: String,
    ) -> BoxFuture<'static, Result<(), Error>>;

    /// Whether updates of what the caller's scope subscribed to can reach us: a stateful HTTP backend may take a
    /// subscription and offer no stream to say anything on.
    fn hears(self: Arc<Self>, caller: Arc<Caller>) -> BoxFuture<'static, bool>;

    /// Asks it to say when tasks of the caller come further, for as long as the returned value lives; it may not be able to.
    fn hear_of_tasks(&self, _caller: &Caller, _ids: &[String]) -> Option<TaskNews> {
        None
    }

    /// Follows what it says unasked, each with the audience that may hear it.
    fn notices(&self) -> broadcast::Receiver<BackendNotice>;

    /// Follows its state.
    fn state(&self) -> watch::Receiver<BackendState>;

    /// Takes nothing new, and ends in an orderly way.
    fn close(self: Arc<Self>) -> BoxFuture<'static, ()>;
}

impl AnyBackend for Backend {
    fn name(&self) -> &BackendName {
        self.name()
    }

    fn settings(&self) -> &isthmus_config::Backend {
        self.settings()
    }

    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Result<Reply, Error>> {
        Box::pin(async move { Self::call(&self, request).await })
    }

    fn expect(&self, caller: &Caller) {
        self.expect(caller);
    }

    fn listing(self: Arc<Self>) -> BoxFuture<'static, Result<Arc<Listing>, Error>> {
        Box::pin(async move { Self::listing(&self).await })
    }

    fn subscribe(
        self: Arc<Self>,
        caller: Arc<Caller>,
        uri: String,
    ) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move { Self::subscribe(&self, &caller, &uri).await })
    }

    fn unsubscribe(
        self: Arc<Self>,
        caller: Arc<Caller>,
        uri: String,
    ) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move { Self::unsubscribe(&self, &caller, &uri).await })
    }

    fn hears(self: Arc<Self>, caller: Arc<Caller>) -> BoxFuture<'static, bool> {
        Box::pin(async move { Self::hears(&self, &caller).await })
    }

    fn hear_of_tasks(&self, caller: &Caller, ids: &[String]) -> Option<TaskNews> {
        self.hear_of_tasks(caller, ids)
    }

    fn notices(&self) -> broadcast::Receiver<BackendNotice> {
        self.notices()
    }

    fn state(&self) -> watch::Receiver<BackendState> {
        self.state()
    }

    fn close(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { Self::close(&self).await })
    }
}
