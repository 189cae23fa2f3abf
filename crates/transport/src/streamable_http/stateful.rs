//! Requests and notifications of a session.
//!
//! A request runs in a task of the session's own; the POST that brought it only listens. If the connection breaks, the
//! request goes on (LS-8), and the client can ask for the rest of its stream.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use isthmus_protocol::headers::MCP_SESSION_ID;
use isthmus_protocol::message::write_result;
use isthmus_protocol::params::{ParamsError, SplitParams};
use isthmus_protocol::{Era, Id, Method, RawJson};
use isthmus_session::{EventLog, EventReader, Session, StoredEvent};

use super::accept;
use super::stream::{Hold, SessionStream};
use crate::admission::insufficient;
use crate::answer::{HttpResponse, event_stream, json, refusal};
use crate::entry::Visit;
use crate::listener::Clients;
use crate::rim::call::Outlet;
use crate::rim::stateful::Dispatch;
use crate::rim::stateless::Sender;
use crate::rim::{call, initialize as handshake, listening, stateful};

/// Answers `initialize`: a session begins.
pub(crate) async fn initialize(visit: Visit, id: Id, params: Option<&RawJson>) -> HttpResponse {
    let clients = &visit.listener.clients;
    let sender = Sender {
        principal: visit.principal.clone(),
        address: visit.peer,
    };
    match handshake::initialize(clients, &visit.face, sender, params).await {
        Ok((session, result)) => {
            let mut response = json(StatusCode::OK, write_result(&id, &result));
            if let Ok(value) = HeaderValue::from_str(session.id()) {
                response.headers_mut().insert(MCP_SESSION_ID, value);
            }
            response
        }
        Err(error) => refusal(Era::Stateful, Some(&id), &error),
    }
}

/// Answers a request within a session.
pub(crate) async fn request(
    visit: Visit,
    session: &Arc<Session>,
    id: Id,
    method: Method,
    split: Result<SplitParams, ParamsError>,
) -> HttpResponse {
    let (encoder, dispatch) = stateful::request(session, id, method, split);
    listen(&visit, session);
    if let Dispatch::Here(answer) = dispatch {
        return json(StatusCode::OK, call::here(&encoder, answer));
    }
    let mut reader = session.streams().open_answer();
    let (outlet, owner) = (AnswerStream::new(&visit, &reader), Arc::clone(session));
    let lacking = Arc::clone(&outlet.lacking);
    let stage = visit.face.stage.clone();
    visit.listener.clients.calls().spawn(async move {
        let response = call::run(&owner, &stage, &encoder, dispatch, &outlet).await;
        outlet.log().close(response);
    });
    if accept::prefers_stream(&visit.parts.headers) {
        return stream(&visit, session, reader, Vec::new());
    }
    let hold = Hold::new(hold_time(session));
    match hold.wait(reader.next()).await {
        Some(Some(event)) if event.is_answer => match lacking.get() {
            Some(scopes) => insufficient(&visit.face, scopes, event.message),
            None => json(StatusCode::OK, event.message),
        },
        Some(Some(event)) => stream(&visit, session, reader, vec![event]),
        // Cancelled by the client, or the session has ended: there is no response, and the stream says so.
        Some(None) => event_stream(futures_util::stream::empty()),
        None => stream(&visit, session, reader, Vec::new()),
    }
}

/// Turns the answer of a request into a stream. What was already taken from it goes back first, to be sent and, if the
/// stream can be resumed, kept.
pub(crate) fn stream(
    visit: &Visit,
    session: &Arc<Session>,
    mut reader: EventReader,
    taken: Vec<StoredEvent>,
) -> HttpResponse {
    for event in taken.into_iter().rev() {
        reader.unread(event);
    }
    if session.is_resumable() {
        session.streams().keep(reader.log());
    }
    let keep_alive = visit.listener.clients.bounds().keep_alive;
    event_stream(SessionStream::new(
        Arc::clone(session),
        reader,
        0,
        keep_alive,
        None,
    ))
}

/// Takes a notification of a session.
pub(crate) fn notification(
    visit: &Visit,
    session: &Arc<Session>,
    method: &Method,
    params: Option<&RawJson>,
) {
    stateful::notification(session, method, params);
    listen(visit, session);
}

/// Forwards what the session hears, once it is ready and has a standing stream to hear it on.
pub(crate) fn listen(visit: &Visit, session: &Arc<Session>) {
    if !session.streams().has_standing() {
        return;
    }
    session.listen(|| {
        let listener = Arc::clone(&visit.listener);
        let route = visit.face.route.clone();
        let stage = move || listener.view().face(&route).map(|face| face.stage.clone());
        let sink = Arc::clone(session);
        let send = move |message: Bytes| {
            sink.streams().send_unsolicited(&message);
            std::future::ready(())
        };
        let session = Arc::clone(session);
        let forwarding = async move {
            listening::forward(Arc::clone(&session), stage, send).await;
            // The route is gone: nothing will come any more, and the client may as well know.
            session.streams().end_standing();
        };
        let background = visit.listener.clients.background();
        background.spawn(forwarding).abort_handle()
    });
}

/// Where the messages of a POST's requests go. Closes the log when whoever writes it is gone, so that its reader never
/// waits for nobody.
pub(crate) struct AnswerStream {
    log: Arc<EventLog>,
    clients: Arc<Clients>,
    /// Set before the response is written that says so.
    lacking: Arc<OnceLock<Arc<[String]>>>,
}

impl AnswerStream {
    pub(crate) fn new(visit: &Visit, reader: &EventReader) -> Self {
        Self {
            log: Arc::clone(reader.log()),
            clients: Arc::clone(&visit.listener.clients),
            lacking: Arc::default(),
        }
    }

    pub(crate) const fn log(&self) -> &Arc<EventLog> {
        &self.log
    }
}

impl Outlet for AnswerStream {
    async fn event(&self, message: Bytes) {
        self.log.write(message).await;
    }

    async fn question(&self, message: Bytes) -> Option<u64> {
        if self.clients.closing().is_cancelled() {
            return None;
        }
        self.log.write_question(message).await
    }

    fn retract(&self, place: u64) -> bool {
        self.log.retract(place)
    }

    fn patience(&self) -> Duration {
        self.clients.bounds().answer
    }

    async fn lost(&self) {
        // A gateway that shuts down takes no POST any more, and an answer would have to be one.
        tokio::select! {
            () = self.clients.closing().cancelled() => {}
            () = self.log.lost() => {}
        }
    }

    fn lacks(&self, scopes: &Arc<[String]>) {
        // One response has one reason; of a batch nobody looks.
        let _ = self.lacking.set(Arc::clone(scopes));
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        self.log.close(None);
    }
}

/// How long headers wait for the first event (design §4). A client that can read an event without data should have its
/// first event id before its connection can break; to others JSON is kinder than a stream.
pub(crate) fn hold_time(session: &Session) -> Duration {
    if session.is_primed() {
        Duration::from_millis(50)
    } else {
        Duration::from_secs(5)
    }
}
