//! One parked call: the task that owns it, from its first question to the end of its outcome.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use isthmus_exchange::{
    BackendName, BoxFuture, ClientCapabilities, Continuation, Error, ErrorKind, Event,
    InputRequired, Outcome, Question, Reply, Step, Wants,
};
use isthmus_protocol::{JsonRpcError, RawJson};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::attached::Attached;
use super::meanwhile::Meanwhile;
use super::open::OpenQuestions;
use super::seed::Seed;
use super::table::{self, Place};
use super::window::Window;
use super::{Shared, expired};
use crate::asking;
use crate::held::Clock;

/// A retry, as far as its park has to know it.
#[derive(Debug)]
pub(super) struct Resume {
    pub(super) round: u32,
    pub(super) responses: Option<RawJson>,
    pub(super) capabilities: Arc<ClientCapabilities>,
    pub(super) wants: Wants,
    pub(super) deadline: Option<Instant>,
    pub(super) respond: oneshot::Sender<Result<Reply, Error>>,
}

/// A parked call.
pub(super) struct Park {
    shared: Arc<Shared>,
    place: Place,
    seed: Seed,
    reply: Reply,
    retries: mpsc::Receiver<Resume>,
    ending: [Pin<Box<WaitForCancellationFutureOwned>>; 2],
    round: u32,
    open: OpenQuestions,
    meanwhile: Meanwhile,
    /// Until when the client may come back.
    expires: Pin<Box<Sleep>>,
    phase: Phase,
}

/// Where the call is.
enum Phase {
    /// Its client is away. The backend may go on by itself.
    Away,
    /// All answers are there; it waits for a place among the calls in flight.
    Entering {
        callers: Callers,
        entering: BoxFuture<'static, Result<OwnedSemaphorePermit, Error>>,
    },
    /// It goes on, and somebody waits for it.
    Running {
        callers: Callers,
        clock: Clock,
        /// Open while questions are gathered.
        window: Option<Window>,
        _running: OwnedSemaphorePermit,
    },
}

/// Who waits; at least one.
struct Callers {
    all: Vec<Attached>,
    deadline: Option<Instant>,
}

/// What can happen to a park.
enum Happening {
    Ending,
    Retry(Resume),
    AllGone,
    Withdrawn,
    Step(Step),
    Expired,
    Entered(Result<OwnedSemaphorePermit, Error>),
    OutOfTime,
    WindowOver,
}

/// How the call ends.
enum End {
    /// With an outcome, which whoever comes may have.
    Settled(Result<Outcome, Error>),
    /// Nobody came back in time.
    Expired,
}

type Flow = ControlFlow<End>;

impl Park {
    /// A park with the questions that made it one, and what its client is told.
    ///
    /// # Errors
    ///
    /// `Overloaded` if there is no room for its questions.
    pub(super) fn new(
        shared: Arc<Shared>,
        place: Place,
        seed: Seed,
        reply: Reply,
        questions: Vec<Question>,
        retries: mpsc::Receiver<Resume>,
    ) -> Result<(Self, InputRequired), Error> {
        let mut open = OpenQuestions::new(shared.table.open().clone());
        for question in questions {
            if !open.add(question) {
                return Err(table::overloaded("too much is waiting for answers"));
            }
        }
        let ending = [&shared.closing, &seed.ending];
        let ending = ending.map(|token| Box::pin(token.clone().cancelled_owned()));
        let mut park = Self {
            expires: Box::pin(tokio::time::sleep(shared.lifetime)),
            shared,
            place,
            seed,
            reply,
            retries,
            ending,
            round: 0,
            open,
            meanwhile: Meanwhile::default(),
            phase: Phase::Away,
        };
        let required = park.ask();
        tracing::debug!(backend = %park.seed.backend, park = ?park.place.id, "a call waits for its client");
        Ok((park, required))
    }

    /// Lives until nobody can want anything of it any more.
    pub(super) async fn run(mut self) {
        let end = loop {
            let happening = std::future::poll_fn(|context| self.poll(context)).await;
            if let ControlFlow::Break(end) = self.handle(happening) {
                break end;
            }
        };
        match end {
            End::Settled(outcome) => self.settle(outcome).await,
            End::Expired => self.expire().await,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Happening> {
        for ending in &mut self.ending {
            if ending.as_mut().poll(context).is_ready() {
                return Poll::Ready(Happening::Ending);
            }
        }
        if let Phase::Entering { callers, .. } | Phase::Running { callers, .. } = &mut self.phase
            && callers.poll_all_gone(context).is_ready()
        {
            return Poll::Ready(Happening::AllGone);
        }
        if self.open.poll_withdrawn(context).is_ready() {
            return Poll::Ready(Happening::Withdrawn);
        }
        if let Poll::Ready(Some(retry)) = self.retries.poll_recv(context) {
            return Poll::Ready(Happening::Retry(retry));
        }
        if let Poll::Ready(step) = self.reply.poll_next(context) {
            return Poll::Ready(Happening::Step(step));
        }
        match &mut self.phase {
            Phase::Away => self
                .expires
                .as_mut()
                .poll(context)
                .map(|()| Happening::Expired),
            Phase::Entering { entering, .. } => {
                entering.as_mut().poll(context).map(Happening::Entered)
            }
            Phase::Running { clock, window, .. } => {
                if let Some(window) = window
                    && window.poll(context).is_ready()
                {
                    return Poll::Ready(Happening::WindowOver);
                }
                clock.poll(context).map(|()| Happening::OutOfTime)
            }
        }
    }

    fn handle(&mut self, happening: Happening) -> Flow {
        match happening {
            Happening::Ending | Happening::Expired => return Flow::Break(End::Expired),
            Happening::AllGone => return Flow::Break(End::Settled(Err(abandoned()))),
            Happening::OutOfTime => {
                return Flow::Break(End::Settled(Err(self.seed.timed_out())));
            }
            Happening::Step(Step::Done(outcome)) => return Flow::Break(End::Settled(outcome)),
            Happening::Step(Step::Event(Event::Question(question))) => return self.add(question),
            Happening::Step(Step::Event(event)) => self.hear(event),
            Happening::Retry(retry) => self.retry(retry),
            Happening::Entered(Ok(place)) => self.enter(place),
            Happening::Entered(Err(error)) => {
                if let Some(callers) = self.leave() {
                    callers.end(&Err(error));
                }
            }
            Happening::WindowOver => self.next_round(),
            Happening::Withdrawn => {
                if let Phase::Running { window, .. } = &mut self.phase
                    && !self.open.wants_answers()
                {
                    *window = None;
                }
            }
        }
        Flow::Continue(())
    }

    /// The backend asks one more thing.
    fn add(&mut self, question: Question) -> Flow {
        let Phase::Running {
            callers, window, ..
        } = &mut self.phase
        else {
            // Whether the client can be asked is seen when it comes.
            self.open.add(question);
            return Flow::Continue(());
        };
        if let Some(refusal) = callers.refusal(&self.seed.backend, &question) {
            let undeclared = asking::undeclared(&question.method);
            question.answer(undeclared);
            return Flow::Break(End::Settled(Err(refusal)));
        }
        if self.open.add(question) {
            match window {
                Some(window) => window.extend(),
                None => *window = Some(Window::open()),
            }
        }
        Flow::Continue(())
    }

    fn hear(&mut self, event: Event) {
        match &mut self.phase {
            Phase::Away => self.meanwhile.keep(event),
            Phase::Entering { callers, .. } => callers.tell(&event),
            Phase::Running { callers, clock, .. } => {
                if matches!(event, Event::Progress(_)) {
                    clock.progress();
                }
                callers.tell(&event);
            }
        }
    }

    fn retry(&mut self, retry: Resume) {
        if retry.respond.is_closed() {
            // It has gone before anybody looked at it.
            return;
        }
        let answer = match &mut self.phase {
            Phase::Entering { callers, .. } | Phase::Running { callers, .. } => {
                Ok(callers.join(&retry))
            }
            Phase::Away => self.come_back(&retry),
        };
        // If it has gone meanwhile, its end of the reply is dropped with the answer.
        let _ = retry.respond.send(answer);
    }

    /// The client comes back to a call that waits for it.
    fn come_back(&mut self, retry: &Resume) -> Result<Reply, Error> {
        if retry.round > self.round {
            return Err(expired());
        }
        let refusal = self.open.refusal(&retry.capabilities, &self.seed.backend);
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        if retry.round == self.round
            && let Some(responses) = &retry.responses
        {
            self.open.keep(responses)?;
        }
        if !self.open.round_is_complete() {
            return Ok(Reply::ready(Outcome::InputRequired(self.ask())));
        }
        let mut callers = Callers {
            all: Vec::with_capacity(1),
            deadline: retry.deadline,
        };
        let reply = callers.join(retry);
        for event in self.meanwhile.take() {
            callers.tell(&event);
        }
        let (admission, backend) = (self.seed.admission.clone(), self.seed.backend.clone());
        let occupied = self.seed.occupied.clone();
        let log_level = retry.wants.log_level;
        self.phase = Phase::Entering {
            callers,
            entering: Box::pin(async move {
                let place = admission.admit(&backend).await?;
                if let Some(level) = log_level {
                    occupied.raise_log_level(level).await;
                }
                Ok(place)
            }),
        };
        Ok(reply)
    }

    /// There is a place: the backend gets the answers.
    fn enter(&mut self, place: OwnedSemaphorePermit) {
        let Phase::Entering { callers, .. } = std::mem::replace(&mut self.phase, Phase::Away)
        else {
            return;
        };
        self.open.deliver();
        let patience = self.seed.patience;
        let (deadline, extension) = match callers.deadline {
            Some(deadline) => (deadline, None),
            None => (Instant::now() + patience, Some(patience)),
        };
        self.phase = Phase::Running {
            callers,
            clock: Clock::new(deadline, extension),
            // Questions that came while the client was away are asked with those that the answers lead to.
            window: self.open.wants_answers().then(Window::open),
            _running: place,
        };
    }

    /// Asks whoever waits, and lets them go.
    fn next_round(&mut self) {
        if let Some(callers) = self.leave() {
            let required = self.ask();
            for caller in callers.all {
                // One of several may be able to do less than the others.
                let refusal = self.open.refusal(&caller.capabilities, &self.seed.backend);
                let asked = || Ok(Outcome::InputRequired(required.clone()));
                caller.end(refusal.map_or_else(asked, Err));
            }
        }
    }

    /// Gives the place among the calls in flight back.
    fn leave(&mut self) -> Option<Callers> {
        match std::mem::replace(&mut self.phase, Phase::Away) {
            Phase::Away => None,
            Phase::Entering { callers, .. } | Phase::Running { callers, .. } => Some(callers),
        }
    }

    /// What the client is asked now: a new round, unless it is what it was asked already.
    fn ask(&mut self) -> InputRequired {
        if self.open.show() {
            self.round += 1;
        }
        let expires = Instant::now() + self.shared.lifetime;
        self.expires.as_mut().reset(expires);
        InputRequired {
            requests: Some(self.open.requests()),
            state: Some(Continuation::Parked {
                park: self.place.id,
                round: self.round,
            }),
        }
    }

    /// Gives everybody the outcome, frees what the call occupied, and keeps the outcome for those who come late.
    async fn settle(mut self, outcome: Result<Outcome, Error>) {
        tracing::debug!(backend = %self.seed.backend, park = ?self.place.id, round = self.round, "a parked call has ended");
        let callers = self.leave();
        let delivered = callers.is_some();
        let Self {
            shared,
            mut place,
            seed,
            reply,
            retries,
            ending,
            open,
            expires,
            ..
        } = self;
        drop((reply, open, seed));
        place.finished();
        if let Some(callers) = callers {
            callers.end(&outcome);
        }
        let until = if delivered {
            Instant::now() + GRACE
        } else {
            expires.deadline()
        };
        let Some(kept) = shared.table.keeping().keep(size(&outcome)) else {
            return;
        };
        let [closing, _] = ending;
        tokio::select! {
            () = closing => {}
            () = kept.evicted().cancelled() => {}
            () = answer_late(retries, outcome, delivered, until) => {}
        }
        drop(place);
    }

    /// Tells the backend that nobody answers, and then that nobody waits.
    async fn expire(mut self) {
        tracing::debug!(backend = %self.seed.backend, park = ?self.place.id, round = self.round, "nobody came back to a parked call");
        self.place.hide();
        if let Some(callers) = self.leave() {
            callers.end(&Err(expired()));
        }
        self.open.give_up();
        let Self { mut reply, .. } = self;
        // A moment for the words to get there before the call is cancelled.
        let ending = async { while matches!(reply.next().await, Step::Event(_)) {} };
        let _ = tokio::time::timeout(LAST_WORDS, ending).await;
    }
}

impl Callers {
    /// One more waits for the same.
    fn join(&mut self, retry: &Resume) -> Reply {
        let (attached, reply) = Attached::new(retry.wants, retry.capabilities.clone());
        self.all.push(attached);
        reply
    }

    fn tell(&self, event: &Event) {
        for caller in &self.all {
            caller.tell(event);
        }
    }

    fn end(self, outcome: &Result<Outcome, Error>) {
        for caller in self.all {
            caller.end(outcome.clone());
        }
    }

    /// Why none of them can be asked this; `None` if one can.
    fn refusal(&self, backend: &BackendName, question: &Question) -> Option<Error> {
        let (method, params) = (&question.method, &question.params);
        let refusals = self.all.iter();
        let refusals =
            refusals.map(|caller| asking::refusal(&caller.capabilities, backend, method, params));
        refusals.reduce(Option::and).flatten()
    }

    fn poll_all_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.all
            .retain_mut(|caller| caller.poll_gone(context).is_pending());
        if self.all.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Gives the outcome to whoever comes until `until`, and for a while after the first one.
async fn answer_late(
    mut retries: mpsc::Receiver<Resume>,
    outcome: Result<Outcome, Error>,
    mut delivered: bool,
    until: Instant,
) {
    let until = tokio::time::sleep_until(until);
    let mut until = std::pin::pin!(until);
    loop {
        tokio::select! {
            biased;
            () = until.as_mut() => return,
            retry = retries.recv() => {
                let Some(retry) = retry else { return };
                let answer = outcome.clone().map(Reply::ready);
                let taken = retry.respond.send(answer).is_ok();
                if taken && !delivered {
                    delivered = true;
                    until.as_mut().reset(Instant::now() + GRACE);
                }
            }
        }
    }
}

/// What later retries hear of a call that was cancelled by its client's going away (MS-6).
fn abandoned() -> Error {
    let text = "the call was cancelled when its client went away; send the call again";
    Error::new(ErrorKind::Expired, text)
}

/// About how much memory an outcome takes.
fn size(outcome: &Result<Outcome, Error>) -> usize {
    let content = match outcome {
        Ok(Outcome::Complete(complete)) => complete.result.len(),
        Ok(Outcome::InputRequired(required)) => required.requests.as_ref().map_or(0, RawJson::len),
        Ok(Outcome::Task(created)) => created.task.len(),
        Err(error) => {
            let data = match error.kind() {
                ErrorKind::Answered {
                    error: JsonRpcError { data, .. },
                    ..
                } => data.as_ref().map_or(0, RawJson::len),
                _ => 0,
            };
            data + error.message().len()
        }
    };
    content + OVERHEAD
}

/// How long an outcome is kept for a retry that comes twice.
pub(super) const GRACE: Duration = Duration::from_secs(60);
/// How long a backend has for its own end when nobody answered it.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// Of a park besides the text of its outcome.
const OVERHEAD: usize = 1 << 10;
