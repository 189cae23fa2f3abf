//! What a request points at, and the trace it belongs to: the parts that both eras read alike.

use isthmus_exchange::{Subject, TraceContext};
use isthmus_protocol::params::{Reference, RequestMeta, SplitParams};

pub(super) fn of(split: &mut SplitParams) -> Subject {
    if let Some(name) = split.name.take() {
        return Subject::Name(name);
    }
    if let Some(uri) = split.uri.take() {
        return Subject::Uri(uri);
    }
    if let Some(id) = split.task_id.take() {
        return Subject::Task(id);
    }
    match split.reference.take() {
        Some(Reference::Prompt(name)) => Subject::PromptReference(name),
        Some(Reference::Resource(uri)) => Subject::ResourceReference(uri),
        None => Subject::None,
    }
}

pub(super) fn trace(meta: &mut RequestMeta) -> TraceContext {
    TraceContext {
        parent: meta.traceparent.take(),
        state: meta.tracestate.take(),
        baggage: meta.baggage.take(),
    }
}
