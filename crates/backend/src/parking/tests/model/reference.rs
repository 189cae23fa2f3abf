//! The model: what each side may observe, with none of the machinery.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use isthmus_exchange::ErrorKind;
use isthmus_protocol::Method;

use super::super::park::GRACE;
use super::super::window::PAUSE;
use super::{LIFETIME, PATIENCE};

/// What a backend asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Form,
    /// Only clients that are able answer this.
    Roots,
}

impl Kind {
    pub(super) fn method(self) -> Method {
        match self {
            Self::Form => Method::ElicitationCreate,
            Self::Roots => Method::RootsList,
        }
    }
}

/// What a client's request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    /// The round, and the questions by their number in the call.
    Asked(u32, Vec<usize>),
    Result(String),
    Refused(&'static str),
}

impl Seen {
    pub(super) fn refused(kind: &ErrorKind) -> Self {
        Self::Refused(match kind {
            ErrorKind::Expired => EXPIRED,
            ErrorKind::MissingCapability(_) => UNABLE,
            ErrorKind::InvalidParams => INVALID,
            ErrorKind::Overloaded { .. } => OVERLOADED,
            ErrorKind::TimedOut(_) => TIMED_OUT,
            other => panic!("{other:?} was never to be seen"),
        })
    }
}

/// What a backend's question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    Open,
    With(u64),
    GivenUp,
    Undeclared,
    Dropped,
    Withdrawn,
}

/// What a retry says.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) is_own: bool,
    pub(super) able: bool,
    pub(super) round: u32,
    pub(super) responses: Responses,
}

/// Numbers by which the backend could tell who answered, by question.
#[derive(Debug, Clone)]
pub(super) enum Responses {
    None,
    Sound(Vec<(usize, u64)>),
    Unsound(Vec<(usize, u64)>),
}

pub(super) struct Model {
    now: Duration,
    parks: usize,
    per_principal: usize,
    calls: Vec<Call>,
    clients: Vec<Client>,
}

struct Call {
    principal: usize,
    questions: Vec<(Kind, Answered)>,
    round: u32,
    /// Open ones, with the answer that is kept.
    open: BTreeMap<usize, Option<u64>>,
    shown: BTreeSet<usize>,
    expires: Duration,
    stage: Stage,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    /// Somebody waits for it; parked before, or not yet.
    Runs {
        parked: bool,
        until: Duration,
    },
    Away,
    Settled {
        seen: Seen,
        delivered: bool,
        until: Duration,
    },
    Gone,
}

struct Client {
    call: usize,
    able: bool,
    seen: Seen,
    gone: bool,
}

impl Model {
    pub(super) const fn new(parks: usize, per_principal: usize) -> Self {
        Self {
            now: Duration::ZERO,
            parks,
            per_principal,
            calls: Vec::new(),
            clients: Vec::new(),
        }
    }

    pub(super) fn call(&mut self, principal: usize, able: bool) {
        let until = self.now + PATIENCE;
        self.calls.push(Call {
            principal,
            questions: Vec::new(),
            round: 0,
            open: BTreeMap::new(),
            shown: BTreeSet::new(),
            expires: Duration::ZERO,
            stage: Stage::Runs {
                parked: false,
                until,
            },
        });
        self.clients.push(Client {
            call: self.calls.len() - 1,
            able,
            seen: Seen::Nothing,
            gone: false,
        });
    }

    pub(super) fn ask(&mut self, at: usize, kinds: &[Kind]) {
        let first = self.calls[at].questions.len();
        let new = kinds.iter().map(|kind| (*kind, Answered::Open));
        self.calls[at].questions.extend(new);
        let Stage::Runs { parked, .. } = self.calls[at].stage.clone() else {
            let all = first..first + kinds.len();
            if self.calls[at].stage == Stage::Away {
                self.calls[at].open.extend(all.map(|number| (number, None)));
            } else {
                all.for_each(|number| self.calls[at].questions[number].1 = Answered::Dropped);
            }
            return;
        };
        for (number, kind) in (first..).zip(kinds) {
            if *kind == Kind::Roots && !self.waiters(at).any(|client| client.able) {
                self.calls[at].questions[number].1 = Answered::Undeclared;
                for later in number + 1..first + kinds.len() {
                    self.calls[at].questions[later].1 = Answered::Dropped;
                }
                self.settle(at, &Seen::Refused(UNABLE), parked);
                return;
            }
            self.calls[at].open.insert(number, None);
        }
        // Clients are asked once the window is over, which is before the next step.
    }

    pub(super) fn withdraw(&mut self, at: usize, number: usize) {
        let call = &mut self.calls[at];
        call.questions[number].1 = Answered::Withdrawn;
        call.open.remove(&number);
        call.shown.remove(&number);
    }

    pub(super) fn finish(&mut self, at: usize) {
        let seen = Seen::Result(format!("result {at}"));
        let parked = !matches!(self.calls[at].stage, Stage::Runs { parked: false, .. });
        self.settle(at, &seen, parked);
    }

    pub(super) fn retry(&mut self, at: usize, client: usize, attempt: &Attempt) {
        assert_eq!(client, self.clients.len());
        self.clients.push(Client {
            call: at,
            able: attempt.able,
            seen: Seen::Nothing,
            gone: false,
        });
        if !attempt.is_own {
            self.clients[client].seen = Seen::Refused(EXPIRED);
            return;
        }
        let now = self.now;
        match &mut self.calls[at].stage {
            Stage::Gone => self.clients[client].seen = Seen::Refused(EXPIRED),
            Stage::Settled {
                seen,
                delivered,
                until,
            } => {
                self.clients[client].seen = seen.clone();
                if !std::mem::replace(delivered, true) {
                    *until = now + GRACE;
                }
            }
            Stage::Runs { .. } => {}
            Stage::Away => {
                if let Some(seen) = self.come_back(at, attempt) {
                    self.clients[client].seen = seen;
                } else {
                    self.go_on(at);
                }
            }
        }
    }

    /// What a client that comes back is told at once; `None` if its call goes on.
    fn come_back(&mut self, at: usize, attempt: &Attempt) -> Option<Seen> {
        let now = self.now;
        let call = &mut self.calls[at];
        if !attempt.able
            && call
                .missing()
                .any(|number| call.questions[number].0 == Kind::Roots)
        {
            return Some(Seen::Refused(UNABLE));
        }
        if attempt.round == call.round {
            let counts = |(number, _): &&(usize, u64)| call.shown.contains(number);
            match &attempt.responses {
                Responses::None => {}
                Responses::Unsound(answers) if answers.iter().any(|answer| counts(&answer)) => {
                    return Some(Seen::Refused(INVALID));
                }
                Responses::Unsound(_) => {}
                Responses::Sound(answers) => {
                    let answers: Vec<_> = answers.iter().filter(counts).collect();
                    for (number, answer) in answers {
                        call.open.insert(*number, Some(*answer));
                    }
                }
            }
        }
        let missing: BTreeSet<usize> = call.missing().collect();
        if call.shown.is_disjoint(&missing) {
            return None;
        }
        if missing != call.shown {
            call.round += 1;
            call.shown = missing;
        }
        call.expires = now + LIFETIME;
        Some(Seen::Asked(
            call.round,
            call.shown.iter().copied().collect(),
        ))
    }

    /// The backend gets its answers, and what is still open is asked in the next round.
    fn go_on(&mut self, at: usize) {
        let until = self.now + PATIENCE;
        let call = &mut self.calls[at];
        for (number, answer) in std::mem::take(&mut call.open) {
            match answer {
                Some(answer) => {
                    call.shown.remove(&number);
                    call.questions[number].1 = Answered::With(answer);
                }
                None => {
                    call.open.insert(number, None);
                }
            }
        }
        call.stage = Stage::Runs {
            parked: true,
            until,
        };
    }

    fn next_round(&mut self, at: usize) {
        let call = &mut self.calls[at];
        let missing: BTreeSet<usize> = call.missing().collect();
        if missing != call.shown {
            call.round += 1;
            call.shown = missing;
        }
        call.expires = self.now + PAUSE + LIFETIME;
        call.stage = Stage::Away;
        let asked = Seen::Asked(call.round, call.shown.iter().copied().collect());
        let roots = call.shown.iter();
        let roots = roots
            .into_iter()
            .any(|number| call.questions[*number].0 == Kind::Roots);
        for client in self.clients.iter_mut().filter(|client| client.waits_in(at)) {
            client.seen = if roots && !client.able {
                Seen::Refused(UNABLE)
            } else {
                asked.clone()
            };
        }
    }

    pub(super) fn leave(&mut self, client: usize) {
        self.clients[client].gone = true;
        let at = self.clients[client].call;
        if let Stage::Runs { parked, .. } = self.calls[at].stage
            && self.waiters(at).next().is_none()
        {
            self.settle(at, &Seen::Refused(EXPIRED), parked);
        }
    }

    pub(super) fn restart(&mut self) {
        for at in 0..self.calls.len() {
            self.give_up(at);
        }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, time: Duration) {
        for at in 0..self.calls.len() {
            self.close_window(at);
        }
        self.now += time;
        let now = self.now;
        for at in 0..self.calls.len() {
            match self.calls[at].stage.clone() {
                Stage::Runs { parked, until } if until <= now => {
                    self.now = until;
                    self.settle(at, &Seen::Refused(TIMED_OUT), parked);
                    self.now = now;
                    self.forget_settled(at);
                }
                Stage::Away if self.calls[at].expires <= now => self.give_up(at),
                _ => self.forget_settled(at),
            }
        }
    }

    /// Whoever waits for a call with open questions is asked them.
    fn close_window(&mut self, at: usize) {
        let call = &self.calls[at];
        let Stage::Runs { parked, .. } = call.stage else {
            return;
        };
        if call.missing().next().is_none() {
            return;
        }
        if !parked && self.is_full(call.principal) {
            self.settle(at, &Seen::Refused(OVERLOADED), false);
        } else {
            self.next_round(at);
        }
    }

    fn forget_settled(&mut self, at: usize) {
        if matches!(self.calls[at].stage, Stage::Settled { until, .. } if until <= self.now) {
            self.calls[at].stage = Stage::Gone;
        }
    }

    /// The call ends; `kept` if there may be retries.
    fn settle(&mut self, at: usize, seen: &Seen, kept: bool) {
        let call = &mut self.calls[at];
        let delivered = call.stage != Stage::Away;
        for number in std::mem::take(&mut call.open).into_keys() {
            call.questions[number].1 = Answered::Dropped;
        }
        call.shown.clear();
        call.stage = if kept {
            Stage::Settled {
                seen: seen.clone(),
                delivered,
                until: if delivered {
                    self.now + GRACE
                } else {
                    call.expires
                },
            }
        } else {
            Stage::Gone
        };
        for client in self.clients.iter_mut().filter(|client| client.waits_in(at)) {
            client.seen = seen.clone();
        }
    }

    /// Nobody came, or nobody can come any more.
    fn give_up(&mut self, at: usize) {
        let call = &mut self.calls[at];
        for number in std::mem::take(&mut call.open).into_keys() {
            call.questions[number].1 = Answered::GivenUp;
        }
        call.shown.clear();
        call.stage = Stage::Gone;
        for client in self.clients.iter_mut().filter(|client| client.waits_in(at)) {
            client.seen = Seen::Refused(EXPIRED);
        }
    }

    fn is_full(&self, principal: usize) -> bool {
        let parked = self.calls.iter().filter(|call| call.is_unfinished_park());
        let (all, own) = parked.fold((0, 0), |(all, own), call| {
            (all + 1, own + usize::from(call.principal == principal))
        });
        all >= self.parks || own >= self.per_principal
    }

    fn waiters(&self, at: usize) -> impl Iterator<Item = &Client> {
        let waits = move |client: &&Client| client.waits_in(at);
        self.clients.iter().filter(waits)
    }

    pub(super) fn waiting_in(&self, at: usize) -> Vec<usize> {
        let waits = |client: &usize| self.clients[*client].waits_in(at);
        (0..self.clients.len()).filter(waits).collect()
    }

    pub(super) fn waiting(&self) -> Vec<usize> {
        let all = 0..self.calls.len();
        all.flat_map(|at| self.waiting_in(at)).collect()
    }

    /// Clients that wait for calls that are no parks.
    pub(super) fn unparked(&self) -> Vec<usize> {
        let mut waiting = self.waiting();
        waiting.retain(|client| {
            let stage = &self.calls[self.clients[*client].call].stage;
            matches!(stage, Stage::Runs { parked: false, .. })
        });
        waiting
    }

    pub(super) fn calls_at_the_backend(&self) -> Vec<usize> {
        let all = 0..self.calls.len();
        all.filter(|at| self.is_at_the_backend(*at)).collect()
    }

    pub(super) fn is_at_the_backend(&self, at: usize) -> bool {
        matches!(self.calls[at].stage, Stage::Runs { .. } | Stage::Away)
    }

    pub(super) fn unfinished(&self) -> usize {
        self.calls
            .iter()
            .filter(|call| call.is_unfinished_park())
            .count()
    }

    pub(super) fn open_questions(&self, at: usize) -> Vec<usize> {
        self.calls[at].open.keys().copied().collect()
    }

    pub(super) fn rounds(&self, at: usize) -> u32 {
        self.calls[at].round
    }

    pub(super) fn principal(&self, at: usize) -> usize {
        self.calls[at].principal
    }

    pub(super) fn kind(&self, at: usize, number: usize) -> Kind {
        self.calls[at].questions[number].0
    }

    pub(super) fn answered(&self, at: usize, number: usize) -> &Answered {
        &self.calls[at].questions[number].1
    }

    pub(super) fn seen(&self, client: usize) -> &Seen {
        &self.clients[client].seen
    }
}

impl Call {
    fn missing(&self) -> impl Iterator<Item = usize> {
        let unanswered = self.open.iter().filter(|(_, answer)| answer.is_none());
        unanswered.map(|(number, _)| *number)
    }

    const fn is_unfinished_park(&self) -> bool {
        matches!(self.stage, Stage::Runs { parked: true, .. } | Stage::Away)
    }
}

impl Client {
    fn waits_in(&self, at: usize) -> bool {
        self.call == at && !self.gone && self.seen == Seen::Nothing
    }
}

const EXPIRED: &str = "expired";
const UNABLE: &str = "unable";
const INVALID: &str = "invalid";
const OVERLOADED: &str = "overloaded";
const TIMED_OUT: &str = "timed out";
