//! One log line per request, at debug level: who asked what, where it went, how it ended and how long that took.

use std::task::{Context, Poll};

use isthmus_exchange::{BoxFuture, Error, Reply, Request, Stage, Step};
use tokio::time::Instant;
use tower::{Layer, Service};

/// Logs each request once its outcome is known, or once nobody waits for it any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLog;

/// A stage that logs.
#[derive(Debug, Clone)]
pub(crate) struct Logged<S>(S);

/// What a line says; written when dropped, so that a client that leaves is seen too.
struct Line {
    method: String,
    subject: String,
    revision: &'static str,
    begun: Instant,
    outcome: &'static str,
    error: Option<String>,
}

impl<S> Layer<S> for RequestLog {
    type Service = Logged<S>;

    fn layer(&self, inner: S) -> Logged<S> {
        Logged(inner)
    }
}

impl<S: Stage> Service<Request> for Logged<S> {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Reply, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return Box::pin(self.0.call(request));
        }
        let mut line = Line::of(&request);
        let answer = self.0.call(request);
        Box::pin(async move {
            match answer.await {
                Ok(reply) => Ok(reply.map(move |step| {
                    if let Step::Done(outcome) = &step {
                        line.ends(outcome.as_ref().err());
                    }
                    step
                })),
                Err(error) => {
                    line.ends(Some(&error));
                    Err(error)
                }
            }
        })
    }
}

impl Line {
    fn of(request: &Request) -> Self {
        Self {
            method: request.method.to_string(),
            subject: format!("{:?}", request.subject),
            revision: request.caller.revision.as_str(),
            begun: Instant::now(),
            outcome: "abandoned",
            error: None,
        }
    }

    fn ends(&mut self, error: Option<&Error>) {
        self.outcome = if error.is_some() { "error" } else { "answered" };
        self.error = error.map(|error| {
            let cause = std::error::Error::source(error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            format!("{error}{cause}")
        });
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Self {
            method,
            subject,
            revision,
            outcome,
            error,
            ..
        } = self;
        let micros = self.begun.elapsed().as_micros();
        tracing::debug!(method, subject, revision, outcome, error, micros, "request");
    }
}
