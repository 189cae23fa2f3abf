//! The task that reads a pipe and brings each message to whom it belongs.
//!
//! Nothing it meets stops it but the end of the pipe: garbage, unknown ids and floods are counted and left out.

use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use isthmus_exchange::{Error, ErrorKind, Event};
use isthmus_protocol::message::{Incoming, Message, MessageError, parse_incoming};
use isthmus_protocol::object::{member, member_at, text};
use isthmus_protocol::params::meta_key;
use isthmus_protocol::{Era, Id, JsonRpcError, Method, RawJson};
use tokio_util::sync::CancellationToken;

use super::link::Shared;
use super::pipe::PipeEvent;
use crate::asking::is_question;
use crate::questions::{self, Asked};
use crate::traffic;

/// Reads until the pipe ends, then fails every call.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut incoming: Pin<Box<dyn Stream<Item = Result<PipeEvent, Error>> + Send>>,
    closing: CancellationToken,
) {
    let mut paying = pin!(shared.pay());
    // May be sent once more elsewhere; whoever does must not find this conversation again.
    let mut unsent = Vec::new();
    let failure = loop {
        tokio::select! {
            event = incoming.next() => match event {
                Some(Ok(PipeEvent::Undelivered { request, error })) if is_gone(&error) => {
                    unsent.extend(shared.remove(request).map(|entry| (entry, error)));
                }
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
    for (entry, error) in unsent {
        entry.buffer.finish(Err(error));
    }
}

fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::SessionUnknown)
}

impl Shared {
    fn take(self: &Arc<Self>, event: PipeEvent) {
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
            let failure = self.misbehaved("answered with something that is no response");
            self.finish(id, Err(failure.caused_by(error.clone())));
        }
    }

    fn take_message(self: &Arc<Self>, message: Message) {
        match message {
            Message::Response { id, outcome } => self.take_response(id, outcome),
            Message::Notification { method, params } => {
                self.take_notification(&method, params.as_ref());
            }
            Message::Request { id, method, params } => self.take_request(id, method, params),
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

    /// A request of the backend's: a ping, or a question for a client.
    fn take_request(self: &Arc<Self>, id: Id, method: Method, params: Option<RawJson>) {
        if self.era() == Some(Era::Stateless) {
            // A stateless client sends no responses (MC-4).
            self.complaints
                .file(format_args!("a stateless server must not send `{method}`"));
        } else if is_question(&method) {
            questions::take_unbound(self, Asked::new(id, method, params));
        } else {
            self.owe(traffic::answer_to(&id, &method));
        }
    }

    fn take_notification(&self, method: &Method, params: Option<&RawJson>) {
        match (method, params) {
            (Method::Progress, Some(params)) => self.take_progress(params),
            (Method::LogMessage, Some(params)) => self.take_log(params),
            (Method::SubscriptionsAcknowledged, Some(params)) => self.take_acknowledgement(params),
            (Method::Cancelled, Some(params)) => self.take_cancellation(params),
            _ if !params.is_none_or(|params| self.was_asked_for(params)) => {}
            _ => self.announce(method, params),
        }
    }

    fn take_progress(&self, params: &RawJson) {
        let Some((id, progress)) = traffic::progress(params) else {
            self.complaints.file("progress without a token of ours");
            return;
        };
        // Progress of a call that has just ended is no offence.
        self.with_call(id, |entry| {
            if entry.wants.progress {
                entry.buffer.push(Event::Progress(progress));
            }
        });
    }

    fn take_log(&self, params: &RawJson) {
        let Some(record) = traffic::log_record(params) else {
            self.complaints.file("a log message without a level");
            return;
        };
        match self.owner_of_log(record.level) {
            Some(buffer) => buffer.push(Event::Log(record)),
            None => self.announce(&Method::LogMessage, Some(params)),
        }
    }

    /// Whether unsolicited traffic belongs to a listen that is open. Stateful servers have none and tag nothing.
    fn was_asked_for(&self, params: &RawJson) -> bool {
        match subscription(params) {
            None => true,
            Some(id) => id.is_some_and(|id| self.is_listening(id)),
        }
    }

    fn announce(&self, method: &Method, params: Option<&RawJson>) {
        match traffic::notice(&self.backend, method, params) {
            // Nobody following is fine.
            Some(notice) => drop(self.notices.send(notice)),
            None => {
                let size = params.map_or(0, RawJson::len);
                tracing::debug!(backend = %self.backend, %method, size, "a notification that means nothing here");
            }
        }
    }

    fn take_acknowledgement(&self, params: &RawJson) {
        let id = subscription(params).flatten();
        let taken = id.and_then(|id| self.with_call(id, |entry| entry.acknowledged.take()));
        match taken.flatten() {
            // Whoever asked may have left meanwhile.
            Some(acknowledged) => drop(acknowledged.send(params.clone())),
            None => self.complaints.file("an acknowledgement of nothing"),
        }
    }

    /// A stateful server withdraws a question of its own. A stateless one ends a listen.
    fn take_cancellation(&self, params: &RawJson) {
        let Some(id) = member(params, "requestId").and_then(Id::from_raw) else {
            return;
        };
        if self.questions.withdraw(&id) {
            return;
        }
        if let Some(id) = id.as_number()
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
