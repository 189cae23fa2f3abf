//! The stage that writes a line for each request that passes.

use std::sync::Arc;
use std::task::{Context, Poll};

use isthmus_exchange::{
    BoxFuture, Error, Event, Outcome, Reply, Request, RouteName, Stage, Step, Trail,
};
use isthmus_protocol::object;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::line::{Begun, Ended};
use super::log::{AuditLog, Place};

/// Writes a line for each request of a route, once its outcome is known or nobody waits for it any more. Does nothing
/// without a log.
#[derive(Debug, Clone)]
pub struct AuditLayer {
    log: Option<AuditLog>,
    route: RouteName,
}

/// A stage that writes lines.
#[derive(Debug, Clone)]
pub struct Audited<S> {
    inner: S,
    layer: AuditLayer,
}

impl AuditLayer {
    /// A layer for one route.
    #[must_use]
    pub const fn new(log: Option<AuditLog>, route: RouteName) -> Self {
        Self { log, route }
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = Audited<S>;

    fn layer(&self, inner: S) -> Audited<S> {
        Audited {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S: Stage> Service<Request> for Audited<S> {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Reply, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let log = match &self.layer.log {
            // What a session opens for itself is nobody's request.
            Some(log) if !is_internal(&request) => log.clone(),
            _ => return Box::pin(self.inner.call(request)),
        };
        let begun = Begun::of(&request, self.layer.route.as_str(), log.arguments());
        let trail = Arc::<Trail>::default();
        request.trail = Some(Arc::clone(&trail));
        // The one that was polled ready goes on; its clone waits for the next.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let place = log.place().await?;
            let mut pending = Pending {
                line: Some((place, begun)),
                trail,
                since: Instant::now(),
            };
            match inner.call(request).await {
                Ok(reply) => Ok(reply.map(move |step| {
                    pending.pass(&step);
                    step
                })),
                Err(error) => {
                    pending.end(&Ended::Failed(error.clone()));
                    Err(error)
                }
            }
        })
    }
}

fn is_internal(request: &Request) -> bool {
    request
        .listen
        .as_ref()
        .is_some_and(|filter| filter.follow_scope)
}

/// A line that is not written yet. Written at the latest when it is dropped.
struct Pending {
    line: Option<(Place, Begun)>,
    trail: Arc<Trail>,
    since: Instant,
}

impl Pending {
    fn pass(&mut self, step: &Step) {
        match step {
            // A listen has no end that says anything, and may last for weeks.
            Step::Event(Event::Acknowledged(_)) => self.end(&Ended::As("listening")),
            Step::Event(_) => {}
            Step::Done(Ok(outcome)) => self.end(&Ended::As(name(outcome))),
            Step::Done(Err(error)) => self.end(&Ended::Failed(error.clone())),
        }
    }

    fn end(&mut self, ended: &Ended) {
        if let Some((place, begun)) = self.line.take() {
            place.write(begun.line(&self.trail, ended, self.since.elapsed()));
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.end(&Ended::Abandoned);
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Complete(complete) => {
            // Large results are not read through for a member that is rarely there.
            let result = &complete.result;
            let flag = result
                .as_str()
                .contains("\"isError\"")
                .then(|| object::member(result, "isError"));
            match flag.flatten() {
                Some(flag) if flag.as_str() == "true" => "tool_error",
                _ => "complete",
            }
        }
        Outcome::InputRequired(_) => "input_required",
        Outcome::Task(_) => "task",
    }
}

#[cfg(test)]
mod tests;
