//! The task that reads a pipe and brings each message to whom it belongs.
//!
//! Nothing it meets stops it but the end of the pipe: garbage, unknown ids and floods are counted and left out.

use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use isthmus_exchange::{Error, ItemKind, LogRecord};
use isthmus_protocol::message::{
    Incoming, Message, MessageError, parse_incoming, write_error, write_result,
};
use isthmus_protocol::object::{edit_member, member_at, string_member, text};
use isthmus_protocol::params::meta_key;
use isthmus_protocol::{Era, Id, JsonRpcError, LogLevel, Method, RawJson, code, object};
use tokio_util::sync::CancellationToken;

use super::call_buffer::Untaken;
use super::link::Shared;
use super::outcome::misbehaved;
use super::pipe::PipeEvent;
use crate::conversation::PeerNotice;

/// The largest notice that is passed on: notices wait in a queue that counts them, not their bytes.
const LARGEST_NOTICE: usize = 64 << 10;

/// Reads until the pipe ends, then fails every call.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut incoming: Pin<Box<dyn Stream<Item = Result<PipeEvent, Error>> + Send>>,
    closing: CancellationToken,
) {
    let mut paying = pin!(shared.pay());
    let failure = loop {
        tokio::select! {
            event = incoming.next() => match event {
                Some(Ok(event)) => shared.take(event),
                Some(Err(error)) => break error,
                None => break shared.gone(),
            },
            () = &mut paying => {}
            () = closing.cancelled() => break shared.gone(),
        }
    };
    tracing::debug!(backend = %shared.backend, %failure, "the conversation has ended");
    shared.fail(&failure);
}

impl Shared {
    fn take(&self, event: PipeEvent) {
        match event {
            PipeEvent::Undelivered { request, error } => {
                self.finish(request, Err(error));
            }
            PipeEvent::Message(text) => match parse_incoming(&text) {
                Ok(Incoming::Single(message)) => self.take_message(message),
                Ok(Incoming::Batch(messages)) => {
                    // Only 2025-03-26 sends them, but whoever does gets each member read (LC-6).
                    for message in messages {
                        match message {
                            Ok(message) => self.take_message(message),
                            Err(error) => self.take_garbage(&text, &error),
                        }
                    }
                }
                Err(error) => self.take_garbage(&text, &error),
            },
        }
    }

    fn take_garbage(&self, text: &Bytes, error: &MessageError) {
        let beginning = String::from_utf8_lossy(&text[..text.len().min(80)]);
        self.complaints
            .file(format_args!("{error}: {:?}", beginning));
        if let Some(id) = error.id.as_ref().and_then(Id::as_number) {
            let failure = misbehaved(&self.backend, "answered with something that is no response");
            self.finish(id, Err(failure.caused_by(error.clone())));
        }
    }

    fn take_message(&self, message: Message) {
        match message {
            Message::Response { id, outcome } => self.take_response(id, outcome),
            Message::Notification { method, params } => {
                self.take_notification(method, params.unwrap_or_else(RawJson::empty_object));
            }
            Message::Request { id, method, params } => {
                self.take_request(&id, &method, params.unwrap_or_else(RawJson::empty_object));
            }
        }
    }

    fn take_response(&self, id: Option<Id>, outcome: Result<RawJson, JsonRpcError>) {
        let Some(id) = id else {
            self.complaints.file("it reports an error without an id");
            return;
        };
        let answer = outcome.map_err(|error| Error::answered(self.backend.clone(), error));
        let known = id.as_number().is_some_and(|id| self.finish(id, answer));
        if !known {
            // Usual after a cancellation that crossed the answer.
            tracing::debug!(backend = %self.backend, ?id, "an answer to nothing");
        }
    }

    /// A request of the backend's.
    fn take_request(&self, id: &Id, method: &Method, params: RawJson) {
        match (self.era(), method) {
            // A stateless client sends no responses (MC-4).
            (Some(Era::Stateless), _) => {
                self.complaints
                    .file(format_args!("a stateless server must not send `{method}`"));
            }
            (_, Method::Ping) => self.owe(write_result(id, &RawJson::empty_object())),
            _ => self.answer_question(id, method, &params),
        }
    }

    /// Elicitation, sampling, roots and whatever else a backend may ask. This is the place where a question will be
    /// attributed to a call in flight; none is relayed yet, and none of the capabilities that invite them is declared.
    fn answer_question(&self, id: &Id, method: &Method, _params: &RawJson) {
        tracing::debug!(backend = %self.backend, %method, "a question that is not relayed");
        let message =
            format!("this client does not answer `{method}`: it did not declare the capability");
        let error = JsonRpcError::new(code::METHOD_NOT_FOUND, message);
        self.owe(write_error(Some(id), &error));
    }

    fn take_notification(&self, method: Method, params: RawJson) {
        match method {
            Method::Progress => self.take_progress(params),
            Method::LogMessage => self.take_log(params),
            Method::SubscriptionsAcknowledged => self.take_acknowledgement(params),
            Method::ToolsListChanged => self.take_list_change(ItemKind::Tool, &params),
            Method::PromptsListChanged => self.take_list_change(ItemKind::Prompt, &params),
            Method::ResourcesListChanged => self.take_list_change(ItemKind::Resource, &params),
            Method::ResourcesUpdated => self.take_update(params),
            Method::Cancelled => self.take_cancellation(&params),
            other => {
                tracing::debug!(backend = %self.backend, method = %other, "a notification without a meaning here");
            }
        }
    }

    fn take_progress(&self, params: RawJson) {
        let token = object::member(&params, meta_key::PROGRESS_TOKEN);
        let Some(id) = token
            .and_then(Id::from_raw)
            .and_then(|token| token.as_number())
        else {
            self.complaints.file("progress without a token of ours");
            return;
        };
        // Progress of a call that has just ended is no offence.
        self.with_call(id, |entry| {
            if entry.wants.progress {
                entry.buffer.push(Untaken::Progress(params));
            }
        });
    }

    fn take_log(&self, params: RawJson) {
        let level = string_member(&params, "level");
        let Some(Ok(level)) = level.map(|level| level.parse::<LogLevel>()) else {
            self.complaints.file("a log message without a level");
            return;
        };
        match self.owner_of_log(level) {
            Some(buffer) => buffer.push(Untaken::Log(level, params)),
            None => self.announce(PeerNotice::Log(LogRecord { level, params })),
        }
    }

    fn take_list_change(&self, kind: ItemKind, params: &RawJson) {
        if self.was_asked_for(params) {
            self.announce(PeerNotice::ListChanged(kind));
        }
    }

    fn take_update(&self, params: RawJson) {
        if !self.was_asked_for(&params) {
            return;
        }
        let Some(uri) = string_member(&params, "uri") else {
            self.complaints.file("a resource update without a URI");
            return;
        };
        let params = edit_member(&params, "_meta", |meta| {
            meta.remove(meta_key::SUBSCRIPTION_ID)
        });
        self.announce(PeerNotice::ResourceUpdated { uri, params });
    }

    /// Whether unsolicited traffic belongs to a listen that is open. Stateful servers have none and tag nothing.
    fn was_asked_for(&self, params: &RawJson) -> bool {
        match subscription(params) {
            None => true,
            Some(id) => id.is_some_and(|id| self.is_listening(id)),
        }
    }

    fn announce(&self, notice: PeerNotice) {
        let size = match &notice {
            PeerNotice::ListChanged(_) => 0,
            PeerNotice::ResourceUpdated { params, .. } => params.len(),
            PeerNotice::Log(record) => record.params.len(),
        };
        if size > LARGEST_NOTICE {
            self.complaints
                .file(format_args!("a notice of {size} bytes is left out"));
            return;
        }
        // Nobody following is fine.
        let _ = self.notices.send(notice);
    }

    fn take_acknowledgement(&self, params: RawJson) {
        let id = subscription(&params).flatten();
        let taken = id.and_then(|id| self.with_call(id, |entry| entry.acknowledged.take()));
        match taken.flatten() {
            // Whoever asked may have left meanwhile.
            Some(acknowledged) => drop(acknowledged.send(params)),
            None => self.complaints.file("an acknowledgement of nothing"),
        }
    }

    /// A stateful server withdraws a question of its own, of which none is pending. A stateless one ends a listen.
    fn take_cancellation(&self, params: &RawJson) {
        let id = object::member(params, "requestId").and_then(Id::from_raw);
        if let Some(id) = id.and_then(|id| id.as_number())
            && self.is_listening(id)
        {
            self.finish(id, Err(self.gone()));
        }
    }
}

/// The subscription id of unsolicited traffic: absent, not one of ours, or one of ours. Some servers make a string of it.
fn subscription(params: &RawJson) -> Option<Option<u64>> {
    let tag = member_at(params, &["_meta", meta_key::SUBSCRIPTION_ID])?;
    let id = match text(&tag) {
        Some(text) => text.parse().ok(),
        None => Id::from_raw(tag).and_then(|id| id.as_number()),
    };
    Some(id)
}
