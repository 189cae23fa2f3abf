//! Plays the client towards a stateless backend that wants input, for a caller that can be asked in place (digest §3.2).
//!
//! Each `input_required` is a round: its entries become questions on the caller's own reply, all at once; their answers go
//! to the same backend in a retry with a new id and the byte-exact state (MC-6). Rounds are counted, those without
//! questions are paced. Dropping the reply ends the round that is going on, and takes its questions back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use isthmus_exchange::{
    Answer, BackendName, ClientCapabilities, Continuation, Error, ErrorKind, Event, InputRequired,
    Outcome, Question, Reply, Retry, Step,
};
use isthmus_protocol::{Method, RawJson, object};
use tokio::sync::oneshot;

use crate::asking::{self, Entry};
use crate::conversation::{Conversation, Outgoing};

/// What it takes to go through the rounds of one call.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// Who asks.
    pub(crate) backend: BackendName,
    /// All rounds are of one conversation.
    pub(crate) conversation: Arc<dyn Conversation>,
    /// The call, without anything of a retry.
    pub(crate) outgoing: Outgoing,
    /// What the caller declared.
    pub(crate) capabilities: Arc<ClientCapabilities>,
    /// How many rounds there may be.
    pub(crate) limit: u32,
}

impl Rounds {
    /// The reply to the whole call, of which `first` is the answer to the first request. It has no `InputRequired`.
    pub(crate) fn drive(self, first: Reply) -> Reply {
        let driver = Driver {
            rounds: self,
            stage: Stage::Leg(first),
            count: 0,
            quiet: 0,
            progress: f64::NEG_INFINITY,
        };
        Reply::running(stream::unfold(driver, Driver::step))
    }

    /// Waits for all answers. The first that cannot be had and cannot be done without ends the call.
    async fn gather(&self, round: Round) -> Result<Retry, Error> {
        let mut waiting: FuturesUnordered<_> = round
            .waiting
            .into_iter()
            .map(|Waiting { entry, answered }| async move { (entry, answered.await) })
            .collect();
        let mut responses = Vec::with_capacity(waiting.len());
        while let Some((entry, answer)) = waiting.next().await {
            let answer = match answer {
                Ok(Ok(result)) => match asking::check_answer(&entry.method, &result) {
                    Ok(()) => Ok(result),
                    Err(problem) => Err(format!("its answer {problem}")),
                },
                Ok(Err(error)) => Err(error.message),
                Err(_) => Err("it did not answer".to_owned()),
            };
            let answer = answer.or_else(|reason| self.instead(&entry.method, &reason))?;
            responses.push((entry.key, answer));
        }
        // In the order of the keys: a retry that is looked at should look the same each time.
        responses.sort_by(|(one, _), (other, _)| one.cmp(other));
        let responses = responses.iter();
        let responses = responses.map(|(key, answer)| (key.as_str(), answer.clone()));
        let responses = object::assemble(responses);
        Ok(Retry {
            state: round.state,
            responses: (responses != RawJson::empty_object()).then_some(responses),
        })
    }

    /// What stands in for an answer that is not to be had (digest §3.2).
    fn instead(&self, method: &Method, reason: &str) -> Result<RawJson, Error> {
        asking::cancelled(method).ok_or_else(|| {
            let backend = &self.backend;
            let reason: String = reason.chars().take(LONGEST_REASON).collect();
            let text =
                format!("`{backend}` asked the client by `{method}` and got no answer: {reason}");
            Error::new(ErrorKind::CannotAsk(backend.clone()), text)
        })
    }

    async fn retry(&self, retry: &Retry, quiet: u32) -> Result<Reply, Error> {
        if quiet > 0 {
            tokio::time::sleep(pause(quiet)).await;
        }
        let outgoing = self.outgoing.clone().with_retry(retry);
        self.conversation.clone().request(outgoing).await
    }

    fn misbehaved(&self, text: impl std::fmt::Display) -> Error {
        let kind = ErrorKind::BackendMisbehaved(self.backend.clone());
        Error::new(kind, format!("`{}`: {text}", self.backend))
    }
}

struct Driver {
    rounds: Rounds,
    stage: Stage,
    /// Rounds so far.
    count: u32,
    /// How far the call had come: each round counts anew, and its caller must not see that (MS-22).
    progress: f64,
    /// Rounds in a row for which there was nothing to wait but the backend, or a page that the user is at.
    quiet: u32,
}

enum Stage {
    /// A request is with the backend.
    Leg(Reply),
    /// Questions are handed to the caller, last one first.
    Handing {
        questions: Vec<Question>,
        round: Round,
    },
    /// They are with the caller.
    Waiting(Round),
    /// The retry goes out.
    Retrying(Retry),
    Over,
}

/// The questions of one `input_required`.
#[derive(Default)]
struct Round {
    waiting: Vec<Waiting>,
    state: Option<Continuation>,
}

struct Waiting {
    entry: Entry,
    answered: oneshot::Receiver<Answer>,
}

impl Driver {
    async fn step(mut self) -> Option<(Step, Self)> {
        loop {
            let next = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Leg(mut reply) => match reply.next().await {
                    Step::Event(event) => {
                        self.stage = Stage::Leg(reply);
                        if self.goes_back(&event) {
                            continue;
                        }
                        return Some((Step::Event(event), self));
                    }
                    Step::Done(Ok(Outcome::InputRequired(required))) => self.begin(required),
                    done @ Step::Done(_) => return Some((done, self)),
                },
                Stage::Handing {
                    mut questions,
                    round,
                } => match questions.pop() {
                    Some(question) => {
                        self.stage = Stage::Handing { questions, round };
                        return Some((Step::Event(Event::Question(question)), self));
                    }
                    None => Ok(Stage::Waiting(round)),
                },
                Stage::Waiting(round) => self.rounds.gather(round).await.map(Stage::Retrying),
                Stage::Retrying(retry) => {
                    self.rounds.retry(&retry, self.quiet).await.map(Stage::Leg)
                }
                Stage::Over => return None,
            };
            match next {
                Ok(stage) => self.stage = stage,
                Err(error) => return Some((Step::Done(Err(error)), self)),
            }
        }
    }

    /// Whether it is progress that the caller has seen already.
    fn goes_back(&mut self, event: &Event) -> bool {
        let Event::Progress(progress) = event else {
            return false;
        };
        let value = object::member(&progress.params, "progress");
        let value = value.and_then(|value| value.read().ok());
        let goes_back = value.is_some_and(|value: f64| value <= self.progress);
        self.progress = value.unwrap_or(self.progress).max(self.progress);
        goes_back
    }

    /// Makes questions of what is required.
    fn begin(&mut self, required: InputRequired) -> Result<Stage, Error> {
        let rounds = &self.rounds;
        self.count += 1;
        if self.count > rounds.limit {
            let text = format!("it still wants input after {} rounds", rounds.limit);
            return Err(rounds.misbehaved(text));
        }
        let entries = match &required.requests {
            Some(requests) => asking::entries(requests).map_err(|text| rounds.misbehaved(text))?,
            None => Vec::new(),
        };
        let can = &rounds.capabilities;
        let refused =
            |entry: &Entry| asking::refusal(can, &rounds.backend, &entry.method, &entry.params);
        if let Some(refusal) = entries.iter().find_map(refused) {
            return Err(refusal);
        }
        let slow = |entry: &Entry| asking::leads_to_url(&entry.method, &entry.params);
        self.quiet = if entries.iter().all(slow) {
            self.quiet + 1
        } else {
            0
        };
        let mut round = Round {
            waiting: Vec::with_capacity(entries.len()),
            state: required.state,
        };
        let mut questions = Vec::with_capacity(entries.len());
        for entry in entries {
            let (method, params) = (entry.method.clone(), entry.params.clone());
            let (question, answered) = Question::new(rounds.backend.clone(), method, params);
            questions.push(question);
            round.waiting.push(Waiting { entry, answered });
        }
        questions.reverse();
        Ok(Stage::Handing { questions, round })
    }
}

/// How long the `round`th of several quiet rounds waits.
fn pause(round: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << round.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE)
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_REASON: usize = 200;
