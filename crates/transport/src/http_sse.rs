//! HTTP+SSE of 2024-11-05: one event stream, and a path beside it that messages are posted to.
//!
//! The stream is the session: it begins with the address to post to, everything the client hears comes on it, and when
//! it ends the session ends (LS-12).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::StatusCode;
use hyper::body::Incoming;
use isthmus_exchange::{Error, ErrorKind, PrincipalId, RouteName};
use isthmus_protocol::Era;
use isthmus_protocol::sse::encode_event;
use tokio::sync::mpsc;

use crate::answer::{HttpResponse, empty, event_stream, refusal, refusal_as};
use crate::body;
use crate::entry::Visit;
use crate::listener::Clients;
use crate::rim::pipe::{FaceSource, Pipe};
use crate::rim::stateless::Sender;
use crate::streamable_http::keep_alive::KeepAlive;

/// The open streams, by the secret that their clients post with.
#[derive(Debug, Default)]
pub(crate) struct SseConnections {
    open: papaya::HashMap<String, Arc<SseConnection>>,
}

struct SseConnection {
    principal: PrincipalId,
    route: RouteName,
    pipe: Arc<Pipe>,
}

/// Answers GET: opens a stream.
pub(crate) fn open(visit: &Visit) -> HttpResponse {
    let clients = &visit.listener.clients;
    if clients.sse().open.len() >= clients.bounds().sessions {
        let retry_after = std::time::Duration::from_secs(10);
        let kind = ErrorKind::Overloaded { retry_after };
        let error = Error::new(kind, "too many event streams are open");
        return refusal_as(StatusCode::SERVICE_UNAVAILABLE, Era::Stateful, None, &error);
    }
    let (sender, messages) = mpsc::channel(BUFFERED);
    let pipe = Pipe::new(
        Arc::clone(clients),
        face_source(visit),
        Sender {
            principal: visit.principal.clone(),
            address: visit.peer,
        },
        sender,
        false,
    );
    let secret = format!("{:032x}", isthmus_seal::random_id());
    let connection = SseConnection {
        principal: visit.principal.id().clone(),
        route: visit.face.route.clone(),
        pipe: Arc::clone(&pipe),
    };
    clients
        .sse()
        .open
        .pin()
        .insert(secret.clone(), Arc::new(connection));
    let base = visit.face.route.as_str().trim_end_matches('/');
    let endpoint = format!("{base}/messages?session={secret}");
    event_stream(SseStream {
        first: Some(encode_event(Some("endpoint"), None, endpoint.as_bytes())),
        messages,
        deserted: Box::pin(pipe.deserted().clone().cancelled_owned()),
        keep_alive: KeepAlive::new(clients.bounds().keep_alive),
        _registered: Registered {
            clients: Arc::clone(clients),
            secret,
            pipe,
        },
    })
}

/// Answers POST: takes a message. Its response comes on the stream.
pub(crate) async fn message(visit: Visit, incoming: Incoming) -> HttpResponse {
    let clients = &visit.listener.clients;
    let query = visit.parts.uri.query().unwrap_or_default();
    let secret = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("session="))
        .unwrap_or_default();
    let found = clients.sse().open.pin().get(secret).cloned();
    let theirs = found.filter(|connection| {
        connection.principal == *visit.principal.id() && connection.route == visit.face.route
    });
    let Some(connection) = theirs else {
        let error = Error::new(
            ErrorKind::SessionUnknown,
            "no open event stream has this session",
        );
        return refusal(Era::Stateful, None, &error);
    };
    match body::read(incoming, clients.bounds(), clients.calls()).await {
        Ok(text) => {
            connection.pipe.shown(&visit.principal);
            connection.pipe.receive(&text).await;
            empty(StatusCode::ACCEPTED)
        }
        Err(error) => {
            let (status, error) = error.into_parts();
            refusal_as(status, Era::Stateful, None, &error)
        }
    }
}

fn face_source(visit: &Visit) -> FaceSource {
    let listener = Arc::clone(&visit.listener);
    let route = visit.face.route.clone();
    Arc::new(move || listener.view().face(&route))
}

/// The body of a stream: the endpoint, then messages, with comments while there is none.
struct SseStream {
    first: Option<Bytes>,
    messages: mpsc::Receiver<Bytes>,
    deserted: Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
    keep_alive: KeepAlive,
    _registered: Registered,
}

/// Ends the session when the stream is dropped.
struct Registered {
    clients: Arc<Clients>,
    secret: String,
    pipe: Arc<Pipe>,
}

impl Stream for SseStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if let Poll::Ready(message) = self.messages.poll_recv(context) {
            self.keep_alive.reset();
            return Poll::Ready(
                message.map(|message| encode_event(Some("message"), None, &message)),
            );
        }
        if self.deserted.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        self.keep_alive.poll(context).map(Some)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.clients.sse().open.pin().remove(&self.secret);
        self.pipe.close();
    }
}

impl std::fmt::Debug for SseConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SseConnection")
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

/// Messages that wait for a slow client before their senders have to wait too.
const BUFFERED: usize = 64;
