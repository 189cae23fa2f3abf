//! Random comings and goings, against a small model of what each side may observe.
//!
//! Each case is one seed: calls, questions, answers in whole and in part, retries that are early, late, twice, foreign or
//! nonsense, clients and backends that go, time that passes, gateways that start anew. After each step everything that any
//! client and the backend can see has to be what the model says. `ISTHMUS_SEED=7 cargo test -p isthmus-backend model`
//! replays a case.

mod reference;

use std::panic::{AssertUnwindSafe, catch_unwind};

use isthmus_config::Environment;

use self::reference::{Answered, Attempt, Kind, Model, Responses, Seen};
use super::*;

const CASES: u64 = 1_000;
const STEPS: usize = 80;
/// After each step, so that windows and last words are over.
const STEP: Duration = Duration::from_millis(300);

#[test]
fn nobody_ever_sees_anything_but_what_the_model_allows() {
    let seed = Environment::of_process()
        .get("ISTHMUS_SEED")
        .map(str::to_owned);
    let seeds = match seed {
        Some(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        None => 0..CASES,
    };
    for seed in seeds {
        let case = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async { Case::new(seed).run().await });
        };
        assert!(
            catch_unwind(AssertUnwindSafe(case)).is_ok(),
            "replay this case with ISTHMUS_SEED={seed}"
        );
    }
}

/// A case, and what really happens in it.
struct Case {
    random: Random,
    fixture: Fixture,
    model: Model,
    calls: Vec<RealCall>,
    clients: Vec<RealClient>,
    log: Vec<String>,
}

struct RealCall {
    /// `None` once the backend has ended the call.
    peer: Option<Peer>,
    questions: Vec<RealQuestion>,
    park: Option<ParkId>,
}

enum RealQuestion {
    Waiting(oneshot::Receiver<Answer>),
    Ended(Answered),
}

enum RealClient {
    Waiting {
        call: usize,
        task: tokio::task::JoinHandle<Result<Outcome, Error>>,
    },
    Ended(Seen),
    Gone,
}

impl Case {
    fn new(seed: u64) -> Self {
        let bounds = Bounds {
            parks: 3,
            parks_per_principal: 2,
            ..Bounds::default()
        };
        Self {
            random: Random(seed),
            fixture: Fixture::bounded(bounds, 512),
            model: Model::new(3, 2),
            calls: Vec::new(),
            clients: Vec::new(),
            log: Vec::new(),
        }
    }

    async fn run(mut self) {
        for _ in 0..STEPS {
            self.step().await;
            self.pass(STEP).await;
            self.compare().await;
        }
        for client in &mut self.clients {
            *client = RealClient::Gone;
        }
        self.calls.clear();
        self.pass(LIFETIME + park::GRACE + PATIENCE).await;
        self.fixture.assert_nothing_is_left();
    }

    async fn pass(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
        self.model.pass(time);
    }

    async fn step(&mut self) {
        let live = self.model.calls_at_the_backend();
        match self.random.below(16) {
            0..2 => self.call().await,
            2..5 => {
                if let Some(call) = self.random.pick(&live) {
                    self.ask(call).await;
                }
            }
            5 => {
                if let Some(call) = self.random.pick(&live) {
                    self.withdraw(call);
                }
            }
            6 => {
                if let Some(call) = self.random.pick(&live) {
                    self.finish(call).await;
                }
            }
            7..13 => self.retry().await,
            13 => self.leave(),
            14 => {
                let times = [1_007, 20_003, 31_009, 61_013, 450_017, 900_019];
                let time = Duration::from_millis(times[self.random.below(times.len())]);
                self.log.push(format!("{time:?} pass"));
                self.pass(time).await;
            }
            _ if self.random.below(4) == 0 => self.restart().await,
            _ => {}
        }
    }

    async fn call(&mut self) {
        let (principal, able) = (self.random.below(2), self.random.below(4) > 0);
        let (peer, reply) = self.fixture.call(&who(principal, able)).await;
        let call = self.calls.len();
        self.log
            .push(format!("call {call} by {principal}, able: {able}"));
        self.calls.push(RealCall {
            peer: Some(peer),
            questions: Vec::new(),
            park: None,
        });
        self.wait_for(call, tokio::spawn(reply.outcome()));
        self.model.call(principal, able);
    }

    /// The backend asks up to three things at once; sometimes somebody leaves at that very moment.
    async fn ask(&mut self, call: usize) {
        let kinds: Vec<Kind> = (0..=self.random.below(3))
            .map(|_| {
                if self.random.below(3) > 0 {
                    Kind::Form
                } else {
                    Kind::Roots
                }
            })
            .collect();
        self.log.push(format!("backend asks {kinds:?} in {call}"));
        for kind in &kinds {
            let peer = self.calls[call].peer.as_ref().unwrap();
            let (question, answer) = Question::new(
                backend(),
                kind.method(),
                RawJson::from_serialize(&json!({"mode": "form"})),
            );
            let event = Step::Event(Event::Question(question));
            // The call ends at the first thing that its client cannot be asked.
            let _ = peer.steps.send(event).await;
            self.calls[call]
                .questions
                .push(RealQuestion::Waiting(answer));
            settle_at_once().await;
        }
        self.model.ask(call, &kinds);
        if self.random.below(6) == 0 {
            let waiting = self.model.waiting_in(call);
            for client in waiting {
                self.log
                    .push(format!("client {client} leaves at that moment"));
                self.clients[client] = RealClient::Gone;
                self.model.leave(client);
            }
        }
    }

    fn withdraw(&mut self, call: usize) {
        let open = self.model.open_questions(call);
        if let Some(question) = self.random.pick(&open) {
            self.log
                .push(format!("backend withdraws {question} in {call}"));
            self.calls[call].questions[question] = RealQuestion::Ended(Answered::Withdrawn);
            self.model.withdraw(call, question);
        }
    }

    async fn finish(&mut self, call: usize) {
        self.log.push(format!("backend finishes {call}"));
        let peer = self.calls[call].peer.take().unwrap();
        peer.finish(&format!("result {call}")).await;
        self.model.finish(call);
    }

    async fn retry(&mut self) {
        let known: Vec<usize> = (0..self.calls.len())
            .filter(|call| self.calls[*call].park.is_some())
            .collect();
        let Some(call) = self.random.pick(&known) else {
            return;
        };
        let twice = self.random.below(4) == 0;
        let impatient = self.random.below(10) == 0;
        for _ in 0..=usize::from(twice) {
            let attempt = self.attempt(call);
            self.log.push(format!(
                "retry of {call}: {attempt:?}, impatient: {impatient}"
            ));
            let request = self.request(call, &attempt);
            let parking = self.fixture.parking.clone();
            if impatient {
                // Sent, and gone before anybody looked at it.
                let mut resuming = std::pin::pin!(parking.resume(request));
                let _ = futures_util::poll!(resuming.as_mut());
                continue;
            }
            let task = tokio::spawn(async move { parking.resume(request).await?.outcome().await });
            self.wait_for(call, task);
            self.model.retry(call, self.clients.len() - 1, &attempt);
            if twice {
                settle_at_once().await;
            }
        }
    }

    fn attempt(&mut self, call: usize) -> Attempt {
        let rounds = self.model.rounds(call);
        let stale = rounds > 1 && self.random.below(4) == 0;
        let round = if stale {
            1 + self.random.below(rounds as usize - 1) as u32
        } else {
            rounds
        };
        let mut answers = Vec::new();
        let all = self.random.below(2) == 0;
        for question in 0..self.calls[call].questions.len() {
            if all || self.random.below(2) == 0 {
                let number = self.random.below(1_000_000) as u64;
                answers.push((question, number));
            }
        }
        Attempt {
            is_own: self.random.below(8) > 0,
            able: self.random.below(6) > 0,
            round,
            responses: match self.random.below(8) {
                0 => Responses::None,
                1 => Responses::Unsound(answers),
                _ => Responses::Sound(answers),
            },
        }
    }

    fn request(&self, call: usize, attempt: &Attempt) -> Request {
        let owner = self.model.principal(call);
        let principal = if attempt.is_own { owner } else { 1 - owner };
        let asked = Asked {
            state: Continuation::Parked {
                park: self.calls[call].park.unwrap(),
                round: attempt.round,
            },
            requests: Vec::new(),
        };
        let responses = match &attempt.responses {
            Responses::None => Value::Null,
            Responses::Sound(answers) => self.answers(call, answers, false),
            Responses::Unsound(answers) => self.answers(call, answers, true),
        };
        retry(&who(principal, attempt.able), &asked, &responses)
    }

    fn answers(&self, call: usize, answers: &[(usize, u64)], unsound: bool) -> Value {
        let mut responses = json!({"nonsense": 7, "q0": {}});
        for (question, number) in answers {
            let answer = match (unsound, self.model.kind(call, *question)) {
                (true, _) => json!({"action": number}),
                (false, Kind::Form) => json!({"action": "accept", "content": {"n": number}}),
                (false, Kind::Roots) => json!({"roots": [{"n": number}]}),
            };
            responses[format!("q{}", question + 1)] = answer;
        }
        responses
    }

    fn leave(&mut self) {
        let waiting = self.model.waiting();
        if let Some(client) = self.random.pick(&waiting) {
            self.log.push(format!("client {client} leaves"));
            self.clients[client] = RealClient::Gone;
            self.model.leave(client);
        }
    }

    async fn restart(&mut self) {
        self.log.push("restart".to_owned());
        // Connections end with the gateway; those of calls that are parked already wait for its word.
        for client in self.model.unparked() {
            self.clients[client] = RealClient::Gone;
            self.model.leave(client);
        }
        settle_at_once().await;
        self.fixture.parking.close().await;
        self.fixture.assert_nothing_is_left();
        let fresh = Self::new(0);
        self.fixture = fresh.fixture;
        self.model.restart();
    }

    fn wait_for(&mut self, call: usize, task: tokio::task::JoinHandle<Result<Outcome, Error>>) {
        self.clients.push(RealClient::Waiting { call, task });
    }

    /// What is seen is what the model says.
    async fn compare(&mut self) {
        for client in 0..self.clients.len() {
            self.look_at_client(client).await;
            let expected = self.model.seen(client);
            let real = match &self.clients[client] {
                RealClient::Waiting { .. } => Some(&Seen::Nothing),
                RealClient::Ended(seen) => Some(seen),
                RealClient::Gone => None,
            };
            assert!(
                real.is_none_or(|real| real == expected),
                "client {client} sees {real:?} and not {expected:?}\n{:#?}",
                self.log
            );
        }
        for call in 0..self.calls.len() {
            for question in 0..self.calls[call].questions.len() {
                self.look_at_question(call, question);
                let expected = self.model.answered(call, question);
                let real = match &self.calls[call].questions[question] {
                    RealQuestion::Waiting(_) => &Answered::Open,
                    RealQuestion::Ended(answered) => answered,
                };
                assert_eq!(
                    real, expected,
                    "question {question} of call {call}\n{:#?}",
                    self.log
                );
            }
            let goes_on = self.calls[call].peer.as_ref();
            let goes_on = goes_on.is_some_and(|peer| !peer.steps.is_closed());
            let expected = self.model.is_at_the_backend(call);
            assert_eq!(goes_on, expected, "call {call} goes on\n{:#?}", self.log);
        }
        assert_eq!(
            self.fixture.parking.0.table.count().1,
            self.model.unfinished(),
            "{:#?}",
            self.log
        );
    }

    async fn look_at_client(&mut self, client: usize) {
        let RealClient::Waiting { call, task } = &mut self.clients[client] else {
            return;
        };
        if !task.is_finished() {
            return;
        }
        let call = *call;
        let outcome = task.await.unwrap();
        let seen = match outcome {
            Ok(Outcome::InputRequired(_)) => {
                let asked = asked(outcome);
                let Continuation::Parked { park, round } = asked.state else {
                    panic!("not parked")
                };
                let known = self.calls[call].park.get_or_insert(park);
                assert_eq!(*known, park);
                let requests = asked.requests.iter();
                let requests = requests.map(|(key, method)| {
                    let number: usize = key[1..].parse().unwrap();
                    assert_eq!(method, self.model.kind(call, number - 1).method().as_str());
                    number - 1
                });
                Seen::Asked(round, requests.collect())
            }
            Ok(_) => Seen::Result(text(outcome)),
            Err(error) => Seen::refused(error.kind()),
        };
        self.clients[client] = RealClient::Ended(seen);
    }

    fn look_at_question(&mut self, call: usize, question: usize) {
        let RealQuestion::Waiting(answer) = &mut self.calls[call].questions[question] else {
            return;
        };
        let answered = match answer.try_recv() {
            Ok(Ok(answer)) if answer.as_str().contains("cancel") => Answered::GivenUp,
            Ok(Ok(answer)) => {
                let mut digits = answer.as_str().split(|at: char| !at.is_ascii_digit());
                let number = digits.rfind(|digits| !digits.is_empty());
                Answered::With(number.unwrap().parse().unwrap())
            }
            Ok(Err(error)) if error.code == -32601 => Answered::Undeclared,
            Ok(Err(_)) => Answered::GivenUp,
            Err(oneshot::error::TryRecvError::Closed) => Answered::Dropped,
            Err(oneshot::error::TryRecvError::Empty) => return,
        };
        self.calls[call].questions[question] = RealQuestion::Ended(answered);
    }
}

impl Drop for RealClient {
    fn drop(&mut self) {
        if let Self::Waiting { task, .. } = self {
            task.abort();
        }
    }
}

/// Lets what is ready run, without time passing.
async fn settle_at_once() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn who(principal: usize, able: bool) -> Caller {
    let can = if able {
        EVERYTHING
    } else {
        r#"{"elicitation":{}}"#
    };
    client_that_can(["anna", "bert"][principal], can)
}

/// SplitMix64: the same numbers for the same seed on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn pick(&mut self, from: &[usize]) -> Option<usize> {
        (!from.is_empty()).then(|| from[self.below(from.len())])
    }
}
