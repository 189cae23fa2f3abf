//! What goes in.

use std::sync::Arc;

use isthmus_protocol::{LogLevel, Method, RawJson};
use tokio::time::Instant;

use crate::{Caller, Continuation, ListenFilter, Target, Trail};

/// One self-contained request in the shape of revision 2026-07-28.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// The parameters without the members that belong to the caller's hop: no protocol keys and no progress token in
    /// `_meta`, no `inputResponses`, no `requestState`, no `task`. Always an object. Names and URIs are exposed ones
    /// until the router has replaced them, native ones after it.
    pub params: RawJson,
    /// What `params` points at, read once where the request came in.
    pub subject: Subject,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// What the caller wants to hear while it waits.
    pub wants: Wants,
    /// Answers to an earlier `input_required` outcome of the same request.
    pub retry: Option<Retry>,
    /// The `task` member of 2025-11-25: the caller wants the request to run as a task.
    pub task: Option<RawJson>,
    /// Present on `subscriptions/listen` only.
    pub listen: Option<ListenFilter>,
    /// W3C trace context of the caller.
    pub trace: TraceContext,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// Where to leave what becomes known of it; `None` if nobody writes that down.
    pub trail: Option<Arc<Trail>>,
    /// Where the request goes. Attached by the router's resolve stage; nothing below looks a name up again.
    pub target: Option<Target>,
}

/// What a request points at, in the caller's names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Subject {
    /// Nothing: a list, a listen.
    #[default]
    None,
    /// A tool or prompt by name.
    Name(String),
    /// A resource by URI.
    Uri(String),
    /// `completion/complete` with `ref/prompt`.
    PromptReference(String),
    /// `completion/complete` with `ref/resource`: a URI or a template.
    ResourceReference(String),
    /// A task by id.
    Task(String),
}

/// What a caller wants to hear while a request runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// The caller gave a progress token.
    pub progress: bool,
    /// Log messages of this request, at least this severe.
    pub log_level: Option<LogLevel>,
}

/// The part of a request that continues an earlier one (26:basic/patterns/mrtr).
#[derive(Debug, Clone)]
pub struct Retry {
    /// What came with the questions.
    pub state: Option<Continuation>,
    /// The answers by key: an object of results.
    pub responses: Option<RawJson>,
}

/// W3C trace context as the caller wrote it (SEP-414: unprefixed keys of `params._meta`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// `traceparent`.
    pub parent: Option<String>,
    /// `tracestate`.
    pub state: Option<String>,
    /// `baggage`.
    pub baggage: Option<String>,
}

impl Request {
    /// A request with nothing but a method, parameters and a caller.
    #[must_use]
    pub fn new(method: Method, params: RawJson, caller: Arc<Caller>) -> Self {
        Self {
            method,
            params,
            subject: Subject::None,
            caller,
            wants: Wants::default(),
            retry: None,
            task: None,
            listen: None,
            trace: TraceContext::default(),
            deadline: None,
            trail: None,
            target: None,
        }
    }
}
