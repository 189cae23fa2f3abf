//! Random comings and goings of calls, questions and answers, against what must hold whatever the order.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use isthmus_exchange::{BackendName, Event, Question, ScopeId};
use isthmus_protocol::{Id, Method, RawJson};
use proptest::prelude::{Strategy, any, proptest};
use proptest::{collection, prop_oneof};
use tokio::sync::oneshot;

use super::attribution::{Candidate, Takes};
use super::state::{Arrived, Stage, State};
use super::{Asked, Habit, MOST_HELD, Questions};
use crate::call_buffer::{Arrival, CallBuffer};
use crate::conversation::Asker;

/// What may happen next. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Move {
    /// A client calls: two that are live, one that is detached, one that cannot be asked.
    Call(u8),
    End(usize),
    Abandon(usize),
    /// The backend asks, and does not say during which call.
    Ask,
    /// It asks on the stream of a call.
    AskOn(usize),
    Withdraw(usize),
    /// The first pause of a question is over, or the last.
    Time(usize),
    HoldIsOver(usize),
    Answer(usize),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (0..5_u8).prop_map(Move::Call),
        3 => any::<usize>().prop_map(Move::End),
        1 => any::<usize>().prop_map(Move::Abandon),
        4 => proptest::strategy::Just(Move::Ask),
        1 => any::<usize>().prop_map(Move::AskOn),
        1 => any::<usize>().prop_map(Move::Withdraw),
        4 => any::<usize>().prop_map(Move::Time),
        1 => any::<usize>().prop_map(Move::HoldIsOver),
        3 => any::<usize>().prop_map(Move::Answer),
    ]
}

fn asker(client: u8) -> Option<Asker> {
    let (scope, live) = match client {
        0 => (1, true),
        1 => (2, true),
        2 | 3 => (3, false),
        _ => return None,
    };
    Some(Asker {
        scope: ScopeId(scope),
        live,
    })
}

fn strangers(one: &Called, other: &Called) -> bool {
    let live = |call: &Called| call.asker.filter(|asker| asker.live);
    match (live(one), live(other)) {
        (Some(one), Some(other)) => one.scope != other.scope,
        _ => true,
    }
}

/// A call as its caller sees it.
struct Called {
    key: u64,
    asker: Option<Asker>,
    turn: Option<oneshot::Receiver<()>>,
    sink: Arc<CallBuffer>,
    asked: Vec<Question>,
}

struct World {
    state: State,
    habit: Habit,
    questions: Arc<Questions>,
    calls: Vec<Called>,
    /// Everything the backend asked that was not refused at once.
    arrived: Vec<Arrived>,
    /// Those who have an answer and wait for their turn.
    going_on: Vec<(Id, oneshot::Receiver<()>)>,
    /// The calls that the backend knew when something happened.
    sent: Vec<u64>,
    ids: u64,
}

fn pick<T>(all: &[T], number: usize) -> Option<usize> {
    (!all.is_empty()).then(|| number % all.len())
}

fn is_over(turn: &mut oneshot::Receiver<()>) -> bool {
    !matches!(turn.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

impl World {
    fn new() -> Self {
        let backend = BackendName::parse("b").unwrap();
        let habit = Habit::default();
        let declared = RawJson::assembled(r#"{"roots":{}}"#);
        Self {
            state: State::new(habit.clone()),
            questions: Questions::new(backend, &declared, habit.clone()),
            habit,
            calls: Vec::new(),
            arrived: Vec::new(),
            going_on: Vec::new(),
            sent: Vec::new(),
            ids: 0,
        }
    }

    fn play(&mut self, next: &Move) {
        let sent = self.calls.iter().filter(|call| call.turn.is_none());
        self.sent = sent.map(|call| call.key).collect();
        match *next {
            Move::Call(client) => self.call(asker(client)),
            Move::End(number) => {
                if let Some(at) = pick(&self.calls, number) {
                    let call = self.calls.swap_remove(at);
                    self.state.leave(call.key);
                }
            }
            Move::Abandon(number) => {
                if let Some(at) = pick(&self.calls, number) {
                    let call = self.calls.swap_remove(at);
                    self.state.end_questions_of(call.key, &Stage::Abandoned);
                    self.state.leave(call.key);
                }
            }
            Move::Ask => {
                let asked = self.asked();
                if let Ok(Some(arrived)) = self.state.take_unbound(asked, &self.questions) {
                    self.arrived.push(arrived);
                }
            }
            Move::AskOn(number) => {
                let running = |call: &&mut Called| call.turn.is_none();
                let asked = self.asked();
                let mut running: Vec<_> = self.calls.iter_mut().filter(running).collect();
                if let Some(at) = pick(&running, number) {
                    let call = &mut running[at];
                    let taken = self.state.take_on_call(call.key, asked, &self.questions);
                    if let Ok(Some((question, arrived))) = taken {
                        call.asked.push(question);
                        self.arrived.push(arrived);
                    }
                }
            }
            Move::Withdraw(number) => {
                if let Some(at) = pick(&self.arrived, number) {
                    self.state.close(&self.arrived[at].id);
                }
            }
            Move::Time(number) => {
                if let Some(at) = pick(&self.arrived, number) {
                    let arrived = &self.arrived[at];
                    if *arrived.stage.borrow() == Stage::Held {
                        self.state.unstick();
                    } else {
                        self.state.pause(&arrived.id);
                    }
                }
            }
            Move::HoldIsOver(number) => {
                if let Some(at) = pick(&self.arrived, number)
                    && self.state.give_up(&self.arrived[at].id)
                {
                    self.state.answered(&self.arrived[at].id);
                }
            }
            Move::Answer(number) => {
                if let Some(at) = pick(&self.arrived, number) {
                    let id = self.arrived[at].id.clone();
                    match self.state.take_turn_again(&id) {
                        Some(turn) => self.going_on.push((id, turn)),
                        None => self.deliver(&id),
                    }
                }
            }
        }
        self.settle();
    }

    fn asked(&mut self) -> Asked {
        self.ids += 1;
        Asked::new(Id::number(self.ids), Method::RootsList, None)
    }

    fn call(&mut self, asker: Option<Asker>) {
        let (key, turn) = self.state.enter(|key| Candidate {
            key,
            request: None,
            asker,
            waits: false,
            takes: Takes::Any,
        });
        self.calls.push(Called {
            key,
            asker,
            turn,
            sink: Arc::default(),
            asked: Vec::new(),
        });
        let call = self.calls.last().unwrap();
        if call.turn.is_none() {
            self.state.sent(key, 100 + key, call.sink.clone());
        }
    }

    fn deliver(&mut self, id: &Id) {
        self.state.answered(id);
    }

    /// Lets everybody who may go on do so, and takes in what calls are asked.
    fn settle(&mut self) {
        for call in &mut self.calls {
            if call.turn.as_mut().is_some_and(is_over) {
                call.turn = None;
                self.state.sent(call.key, 100 + call.key, call.sink.clone());
            }
        }
        let mut over = Vec::new();
        self.going_on.retain_mut(|(id, turn)| {
            let done = is_over(turn);
            over.extend(done.then(|| id.clone()));
            !done
        });
        for id in over {
            self.deliver(&id);
        }
        self.arrived
            .retain(|arrived| arrived.stage.has_changed().is_ok());
        for at in 0..self.calls.len() {
            let context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Arrival::Event(Event::Question(question))) =
                self.calls[at].sink.poll_take(&context)
            {
                self.was_asked(at);
                self.calls[at].asked.push(question);
            }
        }
        self.check();
    }

    /// A question reached a call although it did not say so: there was nobody else it could be meant for.
    fn was_asked(&self, at: usize) {
        let asked = &self.calls[at];
        assert!(asked.asker.is_some(), "nobody can be asked there");
        let others = self.calls.iter().filter(|call| call.key != asked.key);
        let busy = |call: &&Called| self.sent.contains(&call.key) && !self.state.waits(call.key);
        for other in others.filter(busy) {
            let alone = !strangers(asked, other);
            assert!(alone, "{} was asked beside {}", asked.key, other.key);
        }
    }

    fn check(&self) {
        let busy = |call: &&Called| call.turn.is_none() && !self.state.waits(call.key);
        if !self.calls.iter().any(|call| busy(&call)) {
            let waiting = self.calls.iter().filter(|call| call.turn.is_some()).count();
            assert_eq!(waiting, 0, "nobody is busy, and calls wait all the same");
            assert!(self.going_on.is_empty(), "nobody is busy, and answers wait");
        }
        let held = self
            .arrived
            .iter()
            .filter(|it| *it.stage.borrow() == Stage::Held);
        assert!(held.count() <= MOST_HELD);
    }
}

proptest! {
    #[test]
    fn nobody_is_asked_for_another_nobody_waits_for_nobody_and_nothing_is_left(
        moves in collection::vec(moves(), 1..120)
    ) {
        let mut world = World::new();
        for next in &moves {
            world.play(next);
        }
        while !world.calls.is_empty() {
            world.play(&Move::End(0));
        }
        while let Some(arrived) = world.arrived.first() {
            let id = arrived.id.clone();
            world.state.give_up(&id);
            world.deliver(&id);
            world.settle();
        }
        assert!(world.state.is_empty());
    }

    #[test]
    fn once_calls_take_turns_strangers_do_not_run_side_by_side(
        moves in collection::vec(moves(), 1..120)
    ) {
        let mut world = World::new();
        world.habit.note();
        for next in &moves {
            // A backend that withdraws its question goes on by itself, whoever's turn it is.
            if matches!(next, Move::Withdraw(_)) {
                continue;
            }
            world.play(next);
            let busy = |call: &&Called| call.turn.is_none() && !world.state.waits(call.key);
            let busy: Vec<_> = world.calls.iter().filter(busy).collect();
            for (at, one) in busy.iter().enumerate() {
                for other in &busy[at + 1..] {
                    assert!(!strangers(one, other), "{} beside {}", one.key, other.key);
                }
            }
        }
    }
}
