//! What a stateful backend asks while a conversation is open, whatever its wire.
//!
//! A backend's request for the client becomes an event of the call that it belongs to, and what comes back becomes the
//! response. Whose a question is, is known on the stream of a call and found out elsewhere ([`attribution`]); where that
//! is impossible it waits for a while, and is refused then. Invariants: nobody is asked on behalf of another's call; each
//! question is answered, refused or withdrawn once; what is open is bounded.
//!
//! Once a backend has asked where it cannot be told during which call, the calls of different clients take *turns* in each
//! of its conversations: one client at a time, until its calls have ended or wait for their user.

mod attribution;
mod interactive;
mod open;
mod shape;
mod state;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use isthmus_exchange::{BackendName, BoxFuture, ClientCapabilities, Question};
use isthmus_protocol::message::write_error;
use isthmus_protocol::{Id, JsonRpcError, Method, RawJson, Revision, code};

pub(crate) use self::interactive::Interactive;
use self::state::State;

/// Whether a backend is known to ask where it does not show during which call. All its conversations share one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Habit(Arc<AtomicBool>);

/// The questions of one conversation, and the calls they may belong to.
#[derive(Debug)]
pub(crate) struct Questions {
    backend: BackendName,
    declared: ClientCapabilities,
    revision: OnceLock<Revision>,
    state: Mutex<State>,
}

/// What a question needs of the wire that it came by.
pub(crate) trait Wire: Send + Sync + 'static {
    /// The questions of the conversation.
    fn questions(&self) -> &Arc<Questions>;

    /// Sends a response that nobody waits for. Too many at once are left out.
    fn owe(self: &Arc<Self>, response: Bytes);

    /// Sends a response, for as long as that takes.
    fn respond(self: Arc<Self>, response: Bytes) -> BoxFuture<'static, ()>;

    /// Runs `work` in the background until it is done or the conversation has ended.
    fn run(&self, work: impl Future<Output = ()> + Send + 'static);
}

/// A request of the backend that a client has to answer.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Its id, by which it is answered.
    pub(crate) id: Id,
    /// What is asked.
    pub(crate) method: Method,
    /// How; an object.
    pub(crate) params: RawJson,
    /// It came on a stream that was opened again where it broke off: the backend may repeat itself.
    pub(crate) repeated: bool,
}

impl Asked {
    /// A request as it came.
    pub(crate) fn new(id: Id, method: Method, params: Option<RawJson>) -> Self {
        let params = params.filter(RawJson::is_object);
        Self {
            id,
            method,
            params: params.unwrap_or_else(RawJson::empty_object),
            repeated: false,
        }
    }
}

impl Habit {
    fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Questions {
    /// Of a conversation that declares `capabilities`, with a backend of this `habit`.
    pub(crate) fn new(backend: BackendName, capabilities: &RawJson, habit: Habit) -> Arc<Self> {
        let declared = ClientCapabilities::parse(capabilities.clone());
        Arc::new(Self {
            backend,
            declared: declared.unwrap_or_else(|_| ClientCapabilities::none()),
            revision: OnceLock::new(),
            state: Mutex::new(State::new(habit)),
        })
    }

    /// Notes the revision that was agreed on.
    pub(crate) fn speak(&self, revision: Revision) {
        // It is agreed on once.
        let _ = self.revision.set(revision);
    }

    /// The backend no longer wants an answer. False if it asked nothing of that id.
    pub(crate) fn withdraw(&self, id: &Id) -> bool {
        self.state().close(id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic between plain assignments leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn can_declare(&self, asked: &Asked) -> bool {
        self.declared
            .missing_for(&asked.method, &asked.params)
            .is_none()
    }
}

/// Takes a question that came on the stream of a call, and returns it for that call if it is to be asked.
///
/// `call` is `None` for one during which no client can be asked.
pub(crate) fn take_on_call<W: Wire>(
    wire: &Arc<W>,
    call: Option<&Interactive>,
    asked: Asked,
) -> Option<Question> {
    let (id, method) = (asked.id.clone(), asked.method.clone());
    let questions = wire.questions();
    let taken = match call {
        Some(call) => questions.state().take_on_call(call.key(), asked, questions),
        None => Err(nobody_to_ask(&method)),
    };
    match taken {
        Ok(Some((question, arrived))) => {
            open::see_through(wire, arrived);
            Some(question)
        }
        Ok(None) => None,
        Err(error) => {
            wire.owe(write_error(Some(&id), &error));
            None
        }
    }
}

/// Takes a question that came where it does not show to which call it belongs.
pub(crate) fn take_unbound<W: Wire>(wire: &Arc<W>, asked: Asked) {
    let id = asked.id.clone();
    let questions = wire.questions();
    let taken = questions.state().take_unbound(asked, questions);
    match taken {
        Ok(Some(arrived)) => open::see_through(wire, arrived),
        Ok(None) => {}
        Err(error) => wire.owe(write_error(Some(&id), &error)),
    }
}

fn nobody_to_ask(method: &Method) -> JsonRpcError {
    let text = format!("no client can be asked by `{method}` during this request");
    JsonRpcError::new(code::INVALID_PARAMS, text)
}

fn belongs_to_nobody(method: &Method) -> JsonRpcError {
    let text = format!(
        "the gateway cannot tell to which request in flight this `{method}` belongs, and asks nobody at random"
    );
    JsonRpcError::new(code::INVALID_PARAMS, text)
}

fn not_declared(method: &Method) -> JsonRpcError {
    let text = format!("the gateway did not declare that a client answers this `{method}`");
    JsonRpcError::new(code::METHOD_NOT_FOUND, text)
}

fn too_many(method: &Method) -> JsonRpcError {
    let text = format!("too much is being asked at once; this `{method}` is not");
    JsonRpcError::new(code::INTERNAL_ERROR, text)
}

/// How long a question waits until it can be told to whom it belongs.
const HOLD: Duration = Duration::from_secs(30);
/// How long it waits before the calls it may belong to are looked at: they may be waiting for an answer themselves.
const STUCK: Duration = Duration::from_secs(1);
/// How long after a question its call is expected to ask more before it leaves the backend to others.
const SIBLINGS: Duration = Duration::from_millis(50);
/// Questions open at a time. Hundreds of calls of one principal may be parked in one session, each with a few.
const MOST_OPEN: usize = 1024;
/// Questions open at a time during one call.
const MOST_PER_CALL: usize = 64;
/// Questions among them that wait until it can be told to whom they belong.
const MOST_HELD: usize = 16;
/// Bytes of all that is open; a single question may be larger.
const MOST_BYTES: usize = 16 << 20;
/// Ids of questions of the past that are remembered.
const MOST_REMEMBERED: usize = 64;
