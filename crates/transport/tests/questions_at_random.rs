//! Questions, answers, withdrawals and broken connections in any order, against a model of what each side may see.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use isthmus_protocol::Method;
use proptest::prelude::*;
use serde_json::Value;
use support::client::{Answer, Client};
use support::script::Steps;
use support::{ALL, Gateway, answer, start, stateful};
use tokio::sync::oneshot;

#[derive(Debug, Clone)]
enum Move {
    Ask,
    Answer(usize),
    /// A response to something that is over.
    AnswerAgain(usize),
    /// Another session answers.
    AnswerAsStranger(usize),
    Withdraw(usize),
    Break,
    /// Comes back for what it has not seen.
    Resume,
    /// Comes back for everything.
    ResumeAll,
}

/// What the test knows of a question, by its place in the order of asking.
#[derive(Debug, Default)]
struct Asked {
    /// Where the backend hears the answer, while it waits for one.
    waiting: Option<oneshot::Receiver<isthmus_exchange::Answer>>,
    /// As soon as the client has seen it.
    id: Option<Value>,
    answered: bool,
    withdrawn: bool,
    /// The client was told that it need not answer.
    cancelled: bool,
}

impl Asked {
    const fn is_over(&self) -> bool {
        self.answered || self.withdrawn
    }
}

struct Play {
    client: Client,
    stranger: Client,
    steps: Option<Steps>,
    stream: Option<Answer>,
    first: String,
    last: String,
    asked: Vec<Asked>,
    told: u64,
}

impl Play {
    async fn begin(gateway: &mut Gateway) -> Self {
        let client = gateway.session_with("2025-11-25", ALL).await;
        let stranger = gateway.session_with("2025-11-25", ALL).await;
        let params = r#"{"name":"x","_meta":{"progressToken":"t"}}"#;
        let eager = client.with("accept", "text/event-stream, application/json");
        let asking = eager.posting(&stateful("1", "tools/call", params));
        let steps = gateway.script.call().await.begin();
        let mut stream = asking.await.unwrap();
        let first = stream.event().await.unwrap().id.unwrap();
        Self {
            client,
            stranger,
            steps: Some(steps),
            stream: Some(stream),
            last: first.clone(),
            first,
            asked: Vec::new(),
            told: 0,
        }
    }

    async fn make(&mut self, step: Move) {
        match step {
            Move::Ask => {
                let params = format!(r#"{{"place":{}}}"#, self.asked.len());
                let waiting = Some(self.steps().ask(Method::RootsList, &params).await);
                self.asked.push(Asked {
                    waiting,
                    ..Asked::default()
                });
            }
            Move::Answer(which) => {
                let Some(place) = self.pick(which, |asked| asked.id.is_some() && !asked.is_over())
                else {
                    return;
                };
                let result = format!(r#"{{"roots":[],"place":{place}}}"#);
                self.post(&self.client, place, &result).await;
                self.asked[place].answered = true;
                let waiting = self.asked[place].waiting.take().unwrap();
                assert_eq!(waiting.await.unwrap().unwrap().as_str(), result);
            }
            Move::AnswerAgain(which) => {
                if let Some(place) = self.pick(which, |asked| asked.id.is_some() && asked.is_over())
                {
                    self.post(&self.client, place, r#"{"too":"late"}"#).await;
                }
            }
            Move::AnswerAsStranger(which) => {
                if let Some(place) = self.pick(which, |asked| asked.id.is_some()) {
                    self.post(&self.stranger, place, r#"{"not":"asked"}"#).await;
                }
            }
            Move::Withdraw(which) => {
                if let Some(place) = self.pick(which, |asked| !asked.is_over()) {
                    self.asked[place].withdrawn = true;
                    self.asked[place].waiting = None;
                }
            }
            Move::Break => self.stream = None,
            Move::Resume => self.resume(self.last.clone()).await,
            Move::ResumeAll => self.resume(self.first.clone()).await,
        }
        self.catch_up().await;
    }

    fn steps(&self) -> &Steps {
        self.steps.as_ref().unwrap()
    }

    fn pick(&self, which: usize, fits: impl Fn(&Asked) -> bool) -> Option<usize> {
        let fitting = self.asked.iter().enumerate();
        let places: Vec<usize> = fitting.filter(|(_, a)| fits(a)).map(|(at, _)| at).collect();
        (!places.is_empty()).then(|| places[which % places.len()])
    }

    async fn post(&self, as_whom: &Client, place: usize, result: &str) {
        let question = serde_json::json!({"id": self.asked[place].id});
        assert_eq!(as_whom.post(&answer(&question, result)).await.status, 202);
    }

    async fn resume(&mut self, from: String) {
        self.stream = Some(self.client.with("last-event-id", &from).get().await);
    }

    /// Reads what there is: a progress message marks the end of it.
    async fn catch_up(&mut self) {
        if self.stream.is_none() {
            return;
        }
        self.told += 1;
        let marker = format!(r#"{{"progress":{}}}"#, self.told);
        self.steps().progress(&marker).await;
        loop {
            let message = self.read().await.unwrap();
            if message["params"]["progress"] == self.told {
                return;
            }
        }
    }

    /// Reads one message and checks that it may come; `None` at the end.
    async fn read(&mut self) -> Option<Value> {
        let event = self.stream.as_mut().unwrap().event().await?;
        self.last = event.id.unwrap();
        if event.data.is_empty() {
            return Some(Value::Null);
        }
        let message: Value = serde_json::from_slice(&event.data).unwrap();
        match message["method"].as_str() {
            Some("roots/list") => {
                let place = message["params"]["place"].as_u64().unwrap();
                let asked = &mut self.asked[usize::try_from(place).unwrap()];
                assert!(!asked.answered, "asked again after the answer");
                assert!(!asked.cancelled, "asked again after it was taken back");
                let known = asked.id.replace(message["id"].clone());
                assert!(known.is_none_or(|known| known == message["id"]));
            }
            Some("notifications/cancelled") => {
                let id = &message["params"]["requestId"];
                let asked = &mut self.asked.iter_mut();
                if let Some(asked) = asked.find(|asked| asked.id.as_ref() == Some(id)) {
                    assert!(!asked.answered, "taken back after the answer");
                    asked.cancelled = true;
                }
            }
            _ => {}
        }
        Some(message)
    }

    /// Ends the call, reads to the end, and checks that nothing is left open on either side.
    async fn end(mut self) {
        if self.stream.is_none() {
            self.resume(self.last.clone()).await;
        }
        let result = r#"{"content":[]}"#;
        self.steps.take().unwrap().finish(result).await;
        let mut response = Value::Null;
        while let Some(message) = self.read().await {
            response = message;
        }
        assert_eq!(response["id"], 1);
        for asked in self.asked {
            let seen = asked.id.is_some();
            assert_eq!(asked.cancelled, seen && !asked.answered, "{asked:?}");
            if let Some(waiting) = asked.waiting {
                assert!(waiting.await.is_err());
            }
        }
    }
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => Just(Move::Ask),
        4 => any::<usize>().prop_map(Move::Answer),
        1 => any::<usize>().prop_map(Move::AnswerAgain),
        1 => any::<usize>().prop_map(Move::AnswerAsStranger),
        2 => any::<usize>().prop_map(Move::Withdraw),
        2 => Just(Move::Break),
        2 => Just(Move::Resume),
        1 => Just(Move::ResumeAll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_each_question_is_answered_once_or_taken_back(
        moves in prop::collection::vec(moves(), 0..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut gateway = start().await;
            let mut play = Play::begin(&mut gateway).await;
            for step in moves {
                play.make(step).await;
            }
            play.end().await;
        });
    }
}
