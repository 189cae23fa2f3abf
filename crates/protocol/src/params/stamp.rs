//! Adds to parameters what the next hop needs.

use super::meta_key;
use crate::object::{edit_member, prepend};
use crate::{LogLevel, RawJson, Revision};

/// W3C trace context to send on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceStamp<'a> {
    /// `traceparent`.
    pub parent: Option<&'a str>,
    /// `tracestate`.
    pub state: Option<&'a str>,
    /// `baggage`.
    pub baggage: Option<&'a str>,
}

/// What a request to a stateless peer says of its hop (MC-1).
#[derive(Debug, Clone, Copy)]
pub struct StatelessStamp<'a> {
    /// The revision spoken.
    pub revision: Revision,
    /// What may be asked of us for this request; an object.
    pub capabilities: &'a RawJson,
    /// Who we are; an object.
    pub client_info: &'a RawJson,
    /// The least severe log message wanted.
    pub log_level: Option<LogLevel>,
    /// Our token, if progress is wanted.
    pub progress_token: Option<&'a RawJson>,
    /// The trace context.
    pub trace: TraceStamp<'a>,
}

/// Adds what a stateless peer needs to know of the hop.
///
/// The keys stand in front of what `_meta` has already, in one copy of the text.
#[must_use]
pub fn stamp_stateless(params: &RawJson, stamp: &StatelessStamp<'_>) -> RawJson {
    let mut added = Vec::with_capacity(512 + stamp.capabilities.len() + stamp.client_info.len());
    push_quoted(
        &mut added,
        meta_key::PROTOCOL_VERSION,
        stamp.revision.as_str(),
    );
    push_raw(
        &mut added,
        meta_key::CLIENT_CAPABILITIES,
        stamp.capabilities,
    );
    push_raw(&mut added, meta_key::CLIENT_INFO, stamp.client_info);
    if let Some(level) = stamp.log_level {
        push_quoted(&mut added, meta_key::LOG_LEVEL, level.as_str());
    }
    push_token_and_trace(&mut added, stamp.progress_token, stamp.trace);
    prepend(params, Vec::new(), added)
}

/// Adds what a stateful peer needs to know of the hop.
#[must_use]
pub fn stamp_stateful(
    params: &RawJson,
    progress_token: Option<&RawJson>,
    trace: TraceStamp<'_>,
) -> RawJson {
    let mut added = Vec::new();
    push_token_and_trace(&mut added, progress_token, trace);
    prepend(params, Vec::new(), added)
}

/// Tags what a listen stream carries with the id of the listen request (MS-21).
#[must_use]
pub fn stamp_subscription(params: &RawJson, subscription_id: &RawJson) -> RawJson {
    edit_member(params, "_meta", |meta| {
        meta.set(meta_key::SUBSCRIPTION_ID, subscription_id.clone())
    })
}

fn push_token_and_trace(
    added: &mut Vec<u8>,
    progress_token: Option<&RawJson>,
    trace: TraceStamp<'_>,
) {
    if let Some(token) = progress_token {
        push_raw(added, meta_key::PROGRESS_TOKEN, token);
    }
    let trace = [
        (meta_key::TRACE_PARENT, trace.parent),
        (meta_key::TRACE_STATE, trace.state),
        (meta_key::BAGGAGE, trace.baggage),
    ];
    for (key, value) in trace {
        if let Some(value) = value {
            push_raw(added, key, &RawJson::string(value));
        }
    }
}

/// Appends a member; `key` needs no escapes.
fn push_raw(added: &mut Vec<u8>, key: &str, value: &RawJson) {
    push_key(added, key);
    added.extend_from_slice(value.as_bytes());
}

/// Appends a member; neither `key` nor `value` needs escapes.
fn push_quoted(added: &mut Vec<u8>, key: &str, value: &str) {
    push_key(added, key);
    added.push(b'"');
    added.extend_from_slice(value.as_bytes());
    added.push(b'"');
}

fn push_key(added: &mut Vec<u8>, key: &str) {
    if !added.is_empty() {
        added.push(b',');
    }
    added.push(b'"');
    added.extend_from_slice(key.as_bytes());
    added.extend_from_slice(b"\":");
}
