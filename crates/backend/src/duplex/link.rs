//! One end of a pipe: mints ids, knows what is in flight, and owns the task that reads.
//!
//! A request goes straight from its caller into the pipe's queue; one task reads what comes back and hands it to the
//! buffer of its call. Ids are never used twice (LC-5) and make progress tokens, too. Everything that must be
//! written without anybody waiting for it (cancellations, answers to pings) is *owed*: it goes out at once if there is
//! room, else the reading task sends it as soon as there is, and until then it counts as in flight.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use isthmus_exchange::{BackendName, BoxFuture, Error, ErrorKind, Wants};
use isthmus_protocol::message::{write_notification, write_request};
use isthmus_protocol::{Era, Id, LogLevel, Method, RawJson};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::call::Call;
use super::complaints::Complaints;
use super::dispatch;
use super::opening::Opening;
use super::pipe::{OutgoingMessage, Pipe, PipeEnd};
use crate::call_buffer::{Answer, CallBuffer};
use crate::conversation::PeerNotice;
use crate::questions::{Interactive, Questions, Wire};

/// Notices that wait for a slow follower.
const NOTICES: usize = 256;
/// How long the reason of a broken pipe is waited for.
const REASON_FOLLOWS: Duration = Duration::from_secs(5);

/// One end of a pipe. Dropping it ends the pipe.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    end: PipeEnd,
    _dispatcher: AbortOnDropHandle<()>,
}

/// What callers and the reading task share.
pub(super) struct Shared {
    pub(super) backend: BackendName,
    pub(super) complaints: Complaints,
    pub(super) notices: broadcast::Sender<PeerNotice>,
    pub(super) closed: CancellationToken,
    pub(super) questions: Arc<Questions>,
    pub(super) background: Handle,
    outgoing: mpsc::Sender<OutgoingMessage>,
    table: Mutex<Table>,
    owing: Notify,
    era: AtomicU8,
    most_in_flight: usize,
}

#[derive(Default)]
struct Table {
    last_id: u64,
    calls: HashMap<u64, Entry>,
    owed: VecDeque<OutgoingMessage>,
    /// Why nothing can be sent any more.
    failure: Option<Error>,
}

/// One call in flight.
pub(super) struct Entry {
    pub(super) buffer: Arc<CallBuffer>,
    pub(super) wants: Wants,
    /// Present on listens until they are acknowledged; receives the `params` of the acknowledgement.
    pub(super) acknowledged: Option<oneshot::Sender<RawJson>>,
    pub(super) listens: bool,
    /// Present on calls during which the backend may ask; goes with the entry.
    pub(super) interactive: Option<Interactive>,
}

/// What a request is sent with.
pub(super) struct Sending<'a, F> {
    pub(super) method: &'a Method,
    /// Makes the parameters for an id.
    pub(super) params: F,
    pub(super) wants: Wants,
    /// Present on listens.
    pub(super) acknowledged: Option<oneshot::Sender<RawJson>>,
    /// The backend is told when nobody waits any more. Not for `initialize` (LC-5) and probes.
    pub(super) cancellable: bool,
    /// Present on calls during which a stateful backend may ask.
    pub(super) interactive: Option<Interactive>,
}

impl Link {
    /// Takes over `pipe` and starts to read on `background`.
    pub(super) fn start(pipe: Pipe, opening: &Opening, background: &Handle) -> Arc<Self> {
        let Pipe {
            backend,
            outgoing,
            incoming,
            end,
        } = pipe;
        let shared = Arc::new(Shared {
            complaints: Complaints::about(backend.clone()),
            questions: Questions::new(
                backend.clone(),
                &opening.capabilities,
                opening.habit.clone(),
            ),
            background: background.clone(),
            backend,
            notices: broadcast::Sender::new(NOTICES),
            closed: CancellationToken::new(),
            outgoing,
            table: Mutex::default(),
            owing: Notify::new(),
            era: AtomicU8::new(UNDECIDED),
            most_in_flight: opening.most_in_flight,
        });
        let dispatcher = dispatch::run(shared.clone(), incoming, end.closing());
        Arc::new(Self {
            shared,
            end,
            _dispatcher: AbortOnDropHandle::new(background.spawn(dispatcher)),
        })
    }

    /// Sends a request. Waits while the pipe's queue is full.
    ///
    /// # Errors
    ///
    /// The conversation is over, or too much is in flight.
    pub(super) async fn send<F>(self: &Arc<Self>, sending: Sending<'_, F>) -> Result<Call, Error>
    where
        F: FnOnce(u64) -> RawJson,
    {
        let shared = &self.shared;
        let Ok(slot) = shared.outgoing.reserve().await else {
            return Err(shared.failure().await);
        };
        let buffer = Arc::new(CallBuffer::default());
        let id = shared.admit(Entry {
            buffer: buffer.clone(),
            wants: sending.wants,
            listens: sending.acknowledged.is_some(),
            acknowledged: sending.acknowledged,
            interactive: sending.interactive,
        })?;
        // From here on nothing may fail or wait: the entry and the message belong together.
        let params = (sending.params)(id);
        slot.send(OutgoingMessage {
            text: write_request(&Id::number(id), sending.method, &params),
            request: Some(id),
        });
        Ok(Call::new(self.clone(), id, buffer, sending.cancellable))
    }

    /// The same for a caller's request. One that cannot be sent because the conversation is over fails with
    /// `SessionUnknown`: the backend never saw it, so it may be sent once more elsewhere (digest trap 16).
    pub(super) async fn send_request<F>(
        self: &Arc<Self>,
        sending: Sending<'_, F>,
    ) -> Result<Call, Error>
    where
        F: FnOnce(u64) -> RawJson,
    {
        self.send(sending).await.map_err(|error| {
            if matches!(error.kind(), ErrorKind::Overloaded { .. }) {
                return error;
            }
            error.with_kind(ErrorKind::SessionUnknown)
        })
    }

    /// Sends a notification. Waits while the pipe's queue is full.
    pub(super) async fn notify(&self, method: &Method, params: &RawJson) -> Result<(), Error> {
        let message = OutgoingMessage {
            text: write_notification(method, Some(params)),
            request: None,
        };
        match self.shared.outgoing.send(message).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.shared.failure().await),
        }
    }

    /// Ends the pipe and waits until nothing is left of it.
    pub(super) async fn close(&self) {
        self.end.close();
        self.end.ended().cancelled().await;
    }
}

impl Shared {
    /// The era, once it is known.
    pub(super) fn era(&self) -> Option<Era> {
        match self.era.load(Ordering::Relaxed) {
            STATEFUL => Some(Era::Stateful),
            STATELESS => Some(Era::Stateless),
            _ => None,
        }
    }

    /// Decides on the era.
    pub(super) fn set_era(&self, era: Era) {
        let era = match era {
            Era::Stateful => STATEFUL,
            Era::Stateless => STATELESS,
        };
        self.era.store(era, Ordering::Relaxed);
    }

    /// Gives a call an id, if the conversation is not over and there is room.
    fn admit(&self, entry: Entry) -> Result<u64, Error> {
        let mut table = self.table();
        if let Some(failure) = &table.failure {
            return Err(failure.clone());
        }
        if table.calls.len() + table.owed.len() >= self.most_in_flight {
            let retry_after = Duration::from_secs(1);
            let message = format!("too much is in flight to backend `{}`", self.backend);
            return Err(Error::new(ErrorKind::Overloaded { retry_after }, message));
        }
        table.last_id += 1;
        let id = table.last_id;
        if let Some(interactive) = &entry.interactive {
            interactive.sent(id, entry.buffer.clone());
        }
        table.calls.insert(id, entry);
        Ok(id)
    }

    /// Ends the call `id` with `answer`. False if no such call is in flight.
    pub(super) fn finish(&self, id: u64, answer: Answer) -> bool {
        let Some(entry) = self.remove(id) else {
            return false;
        };
        entry.buffer.finish(answer);
        true
    }

    /// Takes the call `id` out of those in flight.
    pub(super) fn remove(&self, id: u64) -> Option<Entry> {
        self.table().calls.remove(&id)
    }

    /// Looks at the call `id`.
    pub(super) fn with_call<T>(&self, id: u64, look: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.table().calls.get_mut(&id).map(look)
    }

    /// The call that a log message of `level` can only belong to: the single one in flight, if its caller wants it. With
    /// several in flight a message must not reach the wrong caller (digest §3.3).
    pub(super) fn owner_of_log(&self, level: LogLevel) -> Option<Arc<CallBuffer>> {
        let table = self.table();
        let mut calls = table.calls.values().filter(|entry| !entry.listens);
        let only = calls.next().filter(|_| calls.next().is_none())?;
        let wanted = only.wants.log_level.is_some_and(|least| least <= level);
        wanted.then(|| only.buffer.clone())
    }

    /// Whether `id` is a call in flight that listens.
    pub(super) fn is_listening(&self, id: u64) -> bool {
        self.with_call(id, |entry| entry.listens).unwrap_or(false)
    }

    /// How many calls are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.table().calls.len()
    }

    /// Nobody waits for the call `id` any more; if the backend still works on it, it is told.
    pub(super) fn abandon(&self, id: u64, tell: bool) {
        let Some(entry) = self.remove(id) else {
            return;
        };
        if tell && !self.closed.is_cancelled() {
            let params =
                format!("{{\"requestId\":{id},\"reason\":\"the caller no longer waits\"}}");
            let params = RawJson::assembled(params);
            self.owe(write_notification(&Method::Cancelled, Some(&params)));
        }
        if let Some(interactive) = entry.interactive {
            interactive.abandon();
        }
    }

    /// Sends `text` without waiting: now, or as soon as there is room.
    pub(super) fn owe(&self, text: Bytes) {
        let message = OutgoingMessage {
            text,
            request: None,
        };
        let mut table = self.table();
        if table.owed.len() >= 2 * self.most_in_flight {
            drop(table);
            self.complaints
                .file("it reads too slowly for what it is owed");
            return;
        }
        if !table.owed.is_empty() {
            table.owed.push_back(message);
        } else if let Err(mpsc::error::TrySendError::Full(message)) =
            self.outgoing.try_send(message)
        {
            table.owed.push_back(message);
            self.owing.notify_one();
        }
    }

    /// Sends what is owed, for ever.
    pub(super) async fn pay(&self) {
        loop {
            while self.table().owed.is_empty() {
                self.owing.notified().await;
            }
            let Ok(slot) = self.outgoing.reserve().await else {
                return std::future::pending().await;
            };
            if let Some(message) = self.table().owed.pop_front() {
                slot.send(message);
            }
        }
    }

    /// Ends every call with `failure`, and refuses later ones.
    pub(super) fn fail(&self, failure: &Error) {
        let calls = {
            let mut table = self.table();
            table.failure = Some(failure.clone());
            table.owed.clear();
            std::mem::take(&mut table.calls)
        };
        self.closed.cancel();
        for entry in calls.into_values() {
            entry.buffer.finish(Err(failure.clone()));
        }
    }

    /// Why nothing can be sent any more. The reading task is the one to find out.
    async fn failure(&self) -> Error {
        let _ = tokio::time::timeout(REASON_FOLLOWS, self.closed.cancelled()).await;
        let failure = self.table().failure.clone();
        failure.unwrap_or_else(|| self.gone())
    }

    /// The conversation ended, and nothing more is known about it.
    pub(super) fn gone(&self) -> Error {
        let kind = ErrorKind::BackendUnavailable(self.backend.clone());
        Error::new(
            kind,
            format!("the conversation with backend `{}` has ended", self.backend),
        )
    }

    /// The backend said something that the protocol does not allow.
    pub(super) fn misbehaved(&self, what: &str) -> Error {
        let kind = ErrorKind::BackendMisbehaved(self.backend.clone());
        Error::new(kind, format!("`{}` {what}", self.backend))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic between plain assignments leaves nothing half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const UNDECIDED: u8 = 0;
const STATEFUL: u8 = 1;
const STATELESS: u8 = 2;

impl Wire for Shared {
    fn questions(&self) -> &Arc<Questions> {
        &self.questions
    }

    fn owe(self: &Arc<Self>, response: Bytes) {
        Self::owe(self, response);
    }

    fn respond(self: Arc<Self>, response: Bytes) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let message = OutgoingMessage {
                text: response,
                request: None,
            };
            // It fails only with the conversation.
            let _ = self.outgoing.send(message).await;
        })
    }

    fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let work = self.closed.clone().run_until_cancelled_owned(work);
        self.background.spawn(work);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // What the reading task has no more time to say, since it ends here.
        self.shared.closed.cancel();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("backend", &self.shared.backend)
            .field("in_flight", &self.shared.in_flight())
            .finish_non_exhaustive()
    }
}
