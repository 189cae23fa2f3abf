//! The questions of a parked call that the backend still waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Poll};

use isthmus_exchange::{BackendName, ClientCapabilities, Error, Question};
use isthmus_protocol::{RawJson, object};

use super::budget::{Budget, Charge};
use crate::asking;

/// The questions that are open, under keys that no other question of the call ever has.
#[derive(Debug)]
pub(super) struct OpenQuestions {
    budget: Budget,
    by_number: BTreeMap<u32, Open>,
    /// How many there were so far.
    asked: u32,
    /// Which the client was shown in the current round, as far as they are still open.
    shown: BTreeSet<u32>,
}

#[derive(Debug)]
struct Open {
    question: Question,
    /// The client's, kept until the whole round is answered.
    answer: Option<RawJson>,
    charge: Charge,
}

impl OpenQuestions {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            by_number: BTreeMap::new(),
            asked: 0,
            shown: BTreeSet::new(),
        }
    }

    /// Adds a question. `false`: there is no room for it, and the backend hears that nobody answers.
    pub(super) fn add(&mut self, question: Question) -> bool {
        let mut charge = self.budget.nothing();
        let room = self.by_number.len() < asking::MOST_AT_ONCE
            && self.asked < asking::MOST_IN_ALL
            && charge.add(question.params.len());
        if room {
            self.asked += 1;
            let open = Open {
                question,
                answer: None,
                charge,
            };
            self.by_number.insert(self.asked, open);
        }
        room
    }

    /// Forgets what the backend no longer wants to know; ready if there was something.
    pub(super) fn poll_withdrawn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let before = self.by_number.len();
        self.by_number
            .retain(|_, open| open.question.poll_withdrawn(context).is_pending());
        let Self {
            by_number, shown, ..
        } = self;
        shown.retain(|number| by_number.contains_key(number));
        if by_number.len() < before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Whether there is anything that nobody has answered.
    pub(super) fn wants_answers(&self) -> bool {
        self.unanswered().next().is_some()
    }

    /// Why a client cannot be asked for what is missing.
    pub(super) fn refusal(&self, can: &ClientCapabilities, backend: &BackendName) -> Option<Error> {
        let mut unanswered = self.unanswered();
        unanswered.find_map(|(_, Open { question, .. })| {
            asking::refusal(can, backend, &question.method, &question.params)
        })
    }

    /// Keeps the answers to what was shown; others mean nothing (MS-20).
    ///
    /// # Errors
    ///
    /// Invalid parameters if one of them is no answer: then none is kept. `Overloaded` if there is no room for them.
    pub(super) fn keep(&mut self, responses: &RawJson) -> Result<(), Error> {
        let responses = object::members(responses)
            .map_err(|_| Error::invalid_params("`inputResponses` is no object"))?;
        let mut answers = BTreeMap::new();
        for (key, answer) in responses {
            let number = number(&key).filter(|number| self.shown.contains(number));
            let open = number.and_then(|number| Some((number, self.by_number.get(&number)?)));
            let Some((number, open)) = open else {
                continue;
            };
            asking::check_answer(&open.question.method, &answer).map_err(|problem| {
                Error::invalid_params(format!("the answer `{key}` of `inputResponses` {problem}"))
            })?;
            answers.insert(number, answer);
        }
        for (number, answer) in answers {
            if let Some(open) = self.by_number.get_mut(&number) {
                if !open.charge.add(answer.len()) {
                    return Err(super::table::overloaded("too many answers are waiting"));
                }
                open.answer = Some(answer);
            }
        }
        Ok(())
    }

    /// Whether all that was shown is answered.
    pub(super) fn round_is_complete(&self) -> bool {
        self.unanswered()
            .all(|(number, _)| !self.shown.contains(number))
    }

    /// Makes what is missing what the client is shown; `true` if that is something else than before.
    pub(super) fn show(&mut self) -> bool {
        let missing: BTreeSet<u32> = self.unanswered().map(|(number, _)| *number).collect();
        let differs = missing != self.shown;
        self.shown = missing;
        differs
    }

    /// What the client is shown, as `inputRequests`.
    pub(super) fn requests(&self) -> RawJson {
        let shown = self.unanswered();
        let shown = shown.filter(|(number, _)| self.shown.contains(number));
        let requests: Vec<_> = shown
            .map(|(number, Open { question, .. })| {
                let method = RawJson::string(question.method.as_str());
                let params = question.params.clone();
                let request = object::assemble([("method", method), ("params", params)]);
                (key(*number), request)
            })
            .collect();
        let requests = requests.iter();
        object::assemble(requests.map(|(key, request)| (key.as_str(), request.clone())))
    }

    /// Gives the backend the answers that are kept.
    pub(super) fn deliver(&mut self) {
        let all = std::mem::take(&mut self.by_number);
        for (number, open) in all {
            match open.answer {
                Some(answer) => {
                    self.shown.remove(&number);
                    open.question.answer(Ok(answer));
                }
                None => {
                    self.by_number.insert(number, open);
                }
            }
        }
    }

    /// Tells the backend that no answers will come.
    pub(super) fn give_up(&mut self) {
        self.shown.clear();
        for (_, Open { question, .. }) in std::mem::take(&mut self.by_number) {
            let nothing = asking::never_answered(&question.method);
            question.answer(nothing);
        }
    }

    fn unanswered(&self) -> impl Iterator<Item = (&u32, &Open)> {
        self.by_number
            .iter()
            .filter(|(_, open)| open.answer.is_none())
    }
}

/// Under which a client is shown a question.
fn key(number: u32) -> String {
    format!("q{number}")
}

fn number(key: &str) -> Option<u32> {
    let number = key.strip_prefix('q')?.parse().ok()?;
    // Other spellings of the number are other keys.
    (self::key(number) == key).then_some(number)
}
