//! The calls in flight, whose turn it is, and what is open. No clock and no I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use isthmus_exchange::{Answer, Event, Question};
use isthmus_protocol::{Id, JsonRpcError, Method};
use tokio::sync::{oneshot, watch};

use super::attribution::{Candidate, Hints, Takes, may_run, owner};
use super::{
    Asked, Habit, MOST_BYTES, MOST_HELD, MOST_OPEN, MOST_PER_CALL, MOST_REMEMBERED, Questions,
    belongs_to_nobody, nobody_to_ask, not_declared, shape, too_many,
};
use crate::call_buffer::CallBuffer;

/// Where a call takes what belongs to it.
pub(crate) type Sink = Arc<CallBuffer>;

/// Where a question stands. Its sender is dropped when the question is open no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is not known yet to whom it belongs.
    Held,
    /// A client is being asked.
    Asked,
    /// No client can be asked.
    Refused(JsonRpcError),
    /// The call was given up by its caller.
    Abandoned,
}

/// A question that was taken, for whoever sees it through.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) id: Id,
    pub(super) method: Method,
    pub(super) answered: oneshot::Receiver<Answer>,
    pub(super) stage: watch::Receiver<Stage>,
}

/// What a conversation knows of its calls and questions.
#[derive(Debug)]
pub(super) struct State {
    /// Whether calls take turns.
    habit: Habit,
    last_key: u64,
    /// Those that run, in the order in which they began.
    calls: Vec<Running>,
    /// Those that want to run. Who has an answer to go on with stands before who has not begun.
    queue: VecDeque<Waiting>,
    open: Vec<OpenQuestion>,
    /// Calls and questions have waited for each other.
    stuck: bool,
    past: VecDeque<Id>,
}

#[derive(Debug)]
struct Running {
    call: Candidate,
    sink: Option<Sink>,
}

#[derive(Debug)]
struct Waiting {
    what: Wish,
    go: oneshot::Sender<()>,
}

#[derive(Debug)]
enum Wish {
    Begin(Candidate),
    GoOn { key: u64 },
}

#[derive(Debug)]
struct OpenQuestion {
    id: Id,
    method: Method,
    size: usize,
    /// The call it belongs to, once that is known.
    call: Option<u64>,
    held: Option<(Question, Hints)>,
    stage: watch::Sender<Stage>,
}

impl State {
    /// No call, no question.
    pub(super) const fn new(habit: Habit) -> Self {
        Self {
            habit,
            last_key: 0,
            calls: Vec::new(),
            queue: VecDeque::new(),
            open: Vec::new(),
            stuck: false,
            past: VecDeque::new(),
        }
    }

    /// Lets a call begin, or has it wait for the returned turn.
    pub(super) fn enter(
        &mut self,
        call: impl FnOnce(u64) -> Candidate,
    ) -> (u64, Option<oneshot::Receiver<()>>) {
        self.last_key += 1;
        let key = self.last_key;
        let call = call(key);
        let at_once = !self.habit.is_known()
            || call.takes != Takes::Any
            || (self.queue.is_empty() && may_run(self.candidates(), call.asker));
        if at_once {
            self.calls.push(Running { call, sink: None });
            return (key, None);
        }
        let (go, turn) = oneshot::channel();
        let what = Wish::Begin(call);
        self.queue.push_back(Waiting { what, go });
        (key, Some(turn))
    }

    /// The call was sent.
    pub(super) fn sent(&mut self, key: u64, request: u64, sink: Sink) {
        if let Some(running) = self.running(key) {
            running.call.request = Some(request);
            running.sink = Some(sink);
            self.ask_whoever_can_be_told();
        }
    }

    /// The call has ended, or never began.
    pub(super) fn leave(&mut self, key: u64) {
        self.calls.retain(|running| running.call.key != key);
        self.queue.retain(|waiting| waiting.what.key() != key);
        self.close_all(|question| question.call == Some(key));
        self.let_in();
        self.ask_whoever_can_be_told();
        if self.stuck {
            self.unstick();
        }
    }

    /// Takes a question of the call `key`. `Ok(None)` if it was asked before.
    pub(super) fn take_on_call(
        &mut self,
        key: u64,
        asked: Asked,
        questions: &Questions,
    ) -> Result<Option<(Question, Arrived)>, JsonRpcError> {
        if self.knows(&asked) {
            return Ok(None);
        }
        if !self.can_be_asked(key) {
            return Err(nobody_to_ask(&asked.method));
        }
        self.check_room(&asked, Some(key))?;
        let (question, arrived) = self.open(asked, Some(key), questions);
        Ok(Some((question, arrived)))
    }

    /// Takes a question that does not show to which call it belongs. `Ok(None)` if it was asked before.
    pub(super) fn take_unbound(
        &mut self,
        asked: Asked,
        questions: &Questions,
    ) -> Result<Option<Arrived>, JsonRpcError> {
        if self.knows(&asked) {
            return Ok(None);
        }
        let hints = Hints::of(&asked.params);
        // Before the first call it says nothing about how the backend asks during one.
        if !hints.name_a_task() && self.runs_anything() {
            self.habit.note();
        }
        let key = owner(self.candidates(), &hints);
        if key.is_none() && !questions.can_declare(&asked) {
            return Err(not_declared(&asked.method));
        }
        self.check_room(&asked, key)?;
        let Some(key) = key else {
            let (question, arrived) = self.open(asked, None, questions);
            if let Some(open) = self.open.last_mut() {
                open.held = Some((question, hints));
            }
            return Ok(Some(arrived));
        };
        if !self.can_be_asked(key) {
            return Err(nobody_to_ask(&asked.method));
        }
        let (question, arrived) = self.open(asked, Some(key), questions);
        self.hand_over(key, question);
        Ok(Some(arrived))
    }

    /// Gives up a question for which no owner was found. False if it was.
    pub(super) fn give_up(&mut self, id: &Id) -> bool {
        let open = self.open.iter_mut().find(|open| open.id == *id);
        let held = open.and_then(|open| open.held.take());
        held.is_some()
    }

    /// Some time has passed in which nothing became clear. If every call that may be meant can be waiting for an answer
    /// itself, none will end and leave it to the others: then the oldest question is refused, until the last is told.
    pub(super) fn unstick(&mut self) {
        let running = self.candidates();
        let running = running.filter(|call| call.request.is_some() && call.takes == Takes::Any);
        let busy = running.filter(|call| !call.waits).count();
        loop {
            let mut held = self.open.iter_mut().filter(|open| open.held.is_some());
            let Some(oldest) = held.next().filter(|_| busy > 1) else {
                break;
            };
            if 1 + held.count() < busy {
                return;
            }
            self.stuck = true;
            oldest.held = None;
            let error = belongs_to_nobody(&oldest.method);
            oldest.stage.send_replace(Stage::Refused(error));
        }
        self.stuck &= self.open.iter().any(|open| open.held.is_some());
    }

    /// The call of this question leaves the backend to others until there is an answer.
    pub(super) fn pause(&mut self, id: &Id) {
        let open = self.open.iter().find(|open| open.id == *id);
        if let Some(key) = open.and_then(|open| open.call) {
            self.pause_call(key);
        }
    }

    /// The same for the call `key`, if it still waits for an answer.
    pub(super) fn pause_call(&mut self, key: u64) {
        if !self.open.iter().any(|open| open.call == Some(key)) {
            return;
        }
        if let Some(running) = self.running(key) {
            running.call.waits = true;
        }
        self.let_in();
        self.ask_whoever_can_be_told();
    }

    /// There is an answer: its call may go on at once, or has to wait for the returned turn.
    pub(super) fn take_turn_again(&mut self, id: &Id) -> Option<oneshot::Receiver<()>> {
        let open = self.open.iter().find(|open| open.id == *id);
        let key = open.and_then(|open| open.call)?;
        let call = self.running(key)?.call.clone();
        if !call.waits {
            return None;
        }
        let before = self.queue.partition_point(|it| it.what.goes_on());
        if !self.habit.is_known() || (before == 0 && may_run(self.candidates(), call.asker)) {
            self.running(key)?.call.waits = false;
            return None;
        }
        let (go, turn) = oneshot::channel();
        let what = Wish::GoOn { key };
        self.queue.insert(before, Waiting { what, go });
        Some(turn)
    }

    /// The backend has its response. The call, if it asks more than that.
    pub(super) fn answered(&mut self, id: &Id) -> Option<u64> {
        let open = self.open.iter().find(|open| open.id == *id);
        let call = open.and_then(|open| open.call);
        self.close(id);
        call.filter(|key| self.open.iter().any(|open| open.call == Some(*key)))
    }

    /// Forgets an open question but for its id. False if there is none.
    pub(super) fn close(&mut self, id: &Id) -> bool {
        self.close_all(|open| open.id == *id)
    }

    /// Tells those who see through the questions of a call that it has ended so.
    pub(super) fn end_questions_of(&mut self, key: u64, stage: &Stage) {
        for open in self.open.iter_mut().filter(|open| open.call == Some(key)) {
            open.call = None;
            open.stage.send_replace(stage.clone());
        }
    }

    fn close_all(&mut self, mut which: impl FnMut(&OpenQuestion) -> bool) -> bool {
        let mut calls = Vec::new();
        let past = &mut self.past;
        let before = self.open.len();
        self.open.retain_mut(|open| {
            let closes = which(open);
            if closes {
                calls.extend(open.call);
                past.push_back(open.id.clone());
            }
            !closes
        });
        while self.past.len() > MOST_REMEMBERED {
            self.past.pop_front();
        }
        for key in calls {
            // With nothing left to wait for it goes on, whoever's turn it is.
            if !self.open.iter().any(|open| open.call == Some(key))
                && let Some(running) = self.running(key)
            {
                running.call.waits = false;
            }
        }
        self.open.len() < before
    }

    fn knows(&self, asked: &Asked) -> bool {
        self.open.iter().any(|open| open.id == asked.id)
            || (asked.repeated && self.past.contains(&asked.id))
    }

    /// Whether one more question of the call `key`, or of nobody yet, may be open.
    fn check_room(&self, asked: &Asked, key: Option<u64>) -> Result<(), JsonRpcError> {
        let bytes: usize = self.open.iter().map(|open| open.size).sum();
        let alike = self.open.iter().filter(|open| match key {
            Some(_) => open.call == key,
            None => open.held.is_some(),
        });
        let alike_at_most = key.map_or(MOST_HELD, |_| MOST_PER_CALL);
        let full = self.open.len() >= MOST_OPEN
            || alike.count() >= alike_at_most
            || (bytes > 0 && bytes.saturating_add(asked.params.len()) > MOST_BYTES);
        match key {
            _ if !full => Ok(()),
            Some(_) => Err(too_many(&asked.method)),
            None => Err(belongs_to_nobody(&asked.method)),
        }
    }

    fn open(
        &mut self,
        asked: Asked,
        call: Option<u64>,
        questions: &Questions,
    ) -> (Question, Arrived) {
        let (question, answered) =
            shape::question(&questions.backend, asked.method.clone(), &asked.params);
        let first = call.map_or(Stage::Held, |_| Stage::Asked);
        let (sender, stage) = watch::channel(first);
        self.open.push(OpenQuestion {
            id: asked.id.clone(),
            method: asked.method.clone(),
            size: asked.params.len(),
            call,
            held: None,
            stage: sender,
        });
        let arrived = Arrived {
            id: asked.id,
            method: asked.method,
            answered,
            stage,
        };
        (question, arrived)
    }

    /// Looks again at what is held: a call that began, ended or waits may have made clear to whom it belongs.
    fn ask_whoever_can_be_told(&mut self) {
        if !self.open.iter().any(|open| open.held.is_some()) {
            return;
        }
        for index in 0..self.open.len() {
            let Some((_, hints)) = &self.open[index].held else {
                continue;
            };
            let Some(key) = owner(self.candidates(), hints) else {
                continue;
            };
            let can_be_asked = self.can_be_asked(key);
            let open = &mut self.open[index];
            let Some((question, _)) = open.held.take() else {
                continue;
            };
            if can_be_asked {
                open.call = Some(key);
                open.stage.send_replace(Stage::Asked);
                self.hand_over(key, question);
            } else {
                let error = nobody_to_ask(&open.method);
                open.stage.send_replace(Stage::Refused(error));
            }
        }
    }

    fn hand_over(&mut self, key: u64, question: Question) {
        if let Some(sink) = self.running(key).and_then(|running| running.sink.clone()) {
            sink.push(Event::Question(question));
        }
    }

    /// Lets in those whose turn it is.
    fn let_in(&mut self) {
        while let Some(next) = self.queue.front() {
            let may_run = match &next.what {
                Wish::Begin(call) => may_run(self.candidates(), call.asker),
                Wish::GoOn { key } => {
                    let asker = self.candidates().find(|call| call.key == *key);
                    asker.is_none_or(|call| may_run(self.candidates(), call.asker))
                }
            };
            if !may_run {
                return;
            }
            let Some(Waiting { what, go }) = self.queue.pop_front() else {
                return;
            };
            match what {
                Wish::Begin(call) => self.calls.push(Running { call, sink: None }),
                Wish::GoOn { key } => {
                    if let Some(running) = self.running(key) {
                        running.call.waits = false;
                    }
                }
            }
            // Whoever waited may have gone; then the call leaves, too.
            let _ = go.send(());
        }
    }

    fn running(&mut self, key: u64) -> Option<&mut Running> {
        self.calls.iter_mut().find(|it| it.call.key == key)
    }

    fn runs_anything(&self) -> bool {
        let mut running = self.candidates().filter(|call| call.takes == Takes::Any);
        running.any(|call| call.request.is_some())
    }

    fn can_be_asked(&self, key: u64) -> bool {
        let call = self.candidates().find(|call| call.key == key);
        call.is_some_and(|call| call.asker.is_some())
    }

    fn candidates(&self) -> impl Iterator<Item = &Candidate> + Clone {
        self.calls.iter().map(|running| &running.call)
    }
}

impl Wish {
    const fn key(&self) -> u64 {
        match self {
            Self::Begin(call) => call.key,
            Self::GoOn { key } => *key,
        }
    }

    const fn goes_on(&self) -> bool {
        matches!(self, Self::GoOn { .. })
    }
}

#[cfg(test)]
impl State {
    /// Whether the call `key` has left the backend to others.
    pub(super) fn waits(&self, key: u64) -> bool {
        let call = self.candidates().find(|call| call.key == key);
        call.is_some_and(|call| call.waits)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.queue.is_empty() && self.open.is_empty()
    }
}
