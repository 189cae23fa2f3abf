//! A stage whose replies are written by the test.

use isthmus_exchange::{
    Answer, BackendName, BoxStage, Complete, Error, Event, LogRecord, Outcome, Progress, Question,
    Reply, Request, Step,
};
use isthmus_protocol::{Method, RawJson};
use tokio::sync::{mpsc, oneshot};

/// The requests that reach the stage, in order. `server/discover` is answered by the stage itself.
pub(crate) struct Script {
    calls: mpsc::Receiver<Call>,
    listens: mpsc::Receiver<Call>,
}

/// One request that waits for its reply.
pub(crate) struct Call {
    pub(crate) request: Request,
    answer: oneshot::Sender<Result<Reply, Error>>,
}

/// A reply in progress. Dropping it ends the reply without an outcome.
pub(crate) struct Steps(mpsc::Sender<Step>);

pub(crate) const CAPABILITIES: &str =
    r#"{"tools":{"listChanged":true},"completions":{},"logging":{}}"#;

pub(crate) fn scripted() -> (BoxStage, Script) {
    let (call_sender, calls) = mpsc::channel(64);
    let (listen_sender, listens) = mpsc::channel(64);
    let stage = BoxStage::from_fn(move |request: Request| {
        let calls = call_sender.clone();
        let listens = listen_sender.clone();
        async move {
            if request.method == Method::ServerDiscover {
                let text = format!(r#"{{"capabilities":{CAPABILITIES},"instructions":"be kind"}}"#);
                return Ok(Reply::complete(RawJson::assembled(text)));
            }
            let queue = if request.listen.is_some() {
                listens
            } else {
                calls
            };
            let (answer, answered) = oneshot::channel();
            queue.send(Call { request, answer }).await.ok();
            answered
                .await
                .unwrap_or_else(|_| Err(Error::internal("the test dropped a call")))
        }
    });
    (stage, Script { calls, listens })
}

impl Script {
    /// The next request that is not a listen.
    pub(crate) async fn call(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }

    /// The next listen.
    pub(crate) async fn listen(&mut self) -> Call {
        self.listens.recv().await.unwrap()
    }

    pub(crate) fn is_listening(&mut self) -> bool {
        self.listens.try_recv().is_ok()
    }

    pub(crate) fn is_idle(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

impl Call {
    /// Answers at once.
    pub(crate) fn complete(self, result: &str) {
        self.reply(Ok(Reply::complete(raw(result))));
    }

    pub(crate) fn fail(self, error: Error) {
        self.reply(Err(error));
    }

    pub(crate) fn reply(self, reply: Result<Reply, Error>) {
        self.answer.send(reply).ok();
    }

    /// Begins a reply.
    pub(crate) fn begin(self) -> Steps {
        let (sender, steps) = mpsc::channel(64);
        let steps = futures_util::stream::unfold(steps, |mut steps| async move {
            let step = steps.recv().await?;
            Some((step, steps))
        });
        self.answer.send(Ok(Reply::running(steps))).ok();
        Steps(sender)
    }

    /// Completes when nobody waits for the reply any more, although it has not begun.
    pub(crate) async fn cancelled(mut self) {
        self.answer.closed().await;
    }
}

impl Steps {
    pub(crate) async fn event(&self, event: Event) {
        self.0.send(Step::Event(event)).await.ok();
    }

    pub(crate) async fn progress(&self, params: &str) {
        let params = raw(params);
        self.event(Event::Progress(Progress { params })).await;
    }

    pub(crate) async fn log(&self, level: &str) {
        let params = raw(&format!(r#"{{"level":"{level}","data":"hello"}}"#));
        let level = level.parse().unwrap();
        self.event(Event::Log(LogRecord { level, params })).await;
    }

    /// Asks the client. What the returned receiver fails with is that nobody could be asked.
    pub(crate) async fn ask(&self, method: Method, params: &str) -> oneshot::Receiver<Answer> {
        self.ask_as("files", method, params).await
    }

    /// The same, as a certain backend.
    pub(crate) async fn ask_as(
        &self,
        backend: &str,
        method: Method,
        params: &str,
    ) -> oneshot::Receiver<Answer> {
        let backend = BackendName::parse(backend).unwrap();
        let (question, answered) = Question::new(backend, method, raw(params));
        self.event(Event::Question(question)).await;
        answered
    }

    pub(crate) async fn finish(self, result: &str) {
        let complete = Complete {
            result: raw(result),
            cache: None,
        };
        self.done(Ok(Outcome::Complete(complete))).await;
    }

    pub(crate) async fn done(self, outcome: Result<Outcome, Error>) {
        self.0.send(Step::Done(outcome)).await.ok();
    }

    /// Completes when the reply was dropped: the work behind it is cancelled.
    pub(crate) async fn cancelled(self) {
        self.0.closed().await;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.is_closed()
    }
}

pub(crate) fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}
