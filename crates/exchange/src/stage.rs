//! Every part of the path is a stage: a request in, a reply out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use crate::{Error, Reply, Request};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A tower service of our shape. Implemented by every service that fits.
pub trait Stage:
    Service<Request, Response = Reply, Error = Error, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Stage for S where
    S: Service<Request, Response = Reply, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Any stage behind one type: what crates hand to each other instead of long generic bounds.
#[derive(Clone)]
pub struct BoxStage(BoxCloneSyncService<Request, Reply, Error>);

impl BoxStage {
    /// Boxes `stage`.
    #[must_use]
    pub fn new(stage: impl Stage) -> Self {
        Self(BoxCloneSyncService::new(stage))
    }

    /// A stage that is one async function.
    #[must_use]
    pub fn from_fn<F, Answer>(function: F) -> Self
    where
        F: FnMut(Request) -> Answer + Clone + Send + Sync + 'static,
        Answer: Future<Output = Result<Reply, Error>> + Send + 'static,
    {
        Self::new(tower::service_fn(function))
    }

    /// Sends one request through.
    ///
    /// # Errors
    ///
    /// Whatever the stage refuses with before a reply exists.
    pub async fn run(&self, request: Request) -> Result<Reply, Error> {
        self.0.clone().oneshot(request).await
    }
}

impl Service<Request> for BoxStage {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Reply, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.call(request)
    }
}

impl fmt::Debug for BoxStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxStage")
    }
}
