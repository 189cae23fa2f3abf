//! A call whose backend made a task of it, driven to its end for a caller that cannot follow tasks.
//!
//! What is asked meanwhile goes to the caller as the questions of any other call do. A caller that leaves cancels the task.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::unfold;
use isthmus_exchange::{
    Answer, Complete, CreatedTask, Error, ErrorKind, Event, Outcome, Progress, Question, Reply,
    Step, Wants,
};
use isthmus_protocol::object::{ObjectEdit, assemble, member, members, string_member};
use isthmus_protocol::result::SplitResult;
use isthmus_protocol::tasks::{self, Snapshot, Status};
use isthmus_protocol::{JsonRpcError, Method, RawJson, code};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::background::Background;
use super::line::Line;
use super::result_or_reason;

/// The rest of a call: if it becomes a task, whatever comes of that.
pub(super) fn drive(line: Line, call: Reply, wants: Wants, background: &Background) -> Reply {
    let drive = Drive {
        line,
        wants,
        background: background.clone(),
        stage: Stage::Calling(call),
        task: None,
        progress: 0.0,
    };
    Reply::running(unfold(Some(drive), |drive| async {
        let mut drive = drive?;
        let step = drive.next().await;
        let goes_on = matches!(step, Step::Event(_));
        if !goes_on && let Some(task) = &mut drive.task {
            task.finished |= drive.stage.is_finished();
        }
        Some((step, goes_on.then_some(drive)))
    }))
}

struct Drive {
    line: Line,
    wants: Wants,
    background: Background,
    stage: Stage,
    task: Option<Unfinished>,
    /// The last progress that the caller heard of: it must not go back.
    progress: f64,
}

enum Stage {
    /// The call itself has not been answered yet.
    Calling(Reply),
    /// The task is looked at from time to time.
    Watching(Watching),
    /// The result of a task of 2025-11-25 is on its way, perhaps with questions before it.
    Fetching(Reply, Snapshot),
    /// The task has come to an end.
    Finished,
}

impl Stage {
    const fn is_finished(&self) -> bool {
        matches!(self, Self::Finished)
    }
}

/// A task that is not known to have ended. Dropped unfinished, it is cancelled.
struct Unfinished {
    line: Line,
    background: Background,
    id: String,
    finished: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let (line, id) = (self.line.clone(), std::mem::take(&mut self.id));
        self.background.run(async move {
            if let Ok(Err(error)) = timeout(CANCELLING, line.cancel(&id)).await {
                tracing::debug!(backend = %line.backend(), %error, "a task could not be cancelled");
            }
        });
    }
}

/// What is known of a task between two looks at it.
struct Watching {
    next_look: Instant,
    failures: u32,
    seen: Option<Snapshot>,
    /// Keys of all questions there ever were (MC-10).
    known: HashSet<String>,
    to_ask: VecDeque<Question>,
    open: Vec<Open>,
}

/// A question that the caller has not answered yet.
struct Open {
    key: String,
    method: Method,
    answer: oneshot::Receiver<Answer>,
}

/// What a look at the task leads to.
enum Seen {
    Nothing,
    Step(Step),
}

impl Drive {
    async fn next(&mut self) -> Step {
        loop {
            let seen = match &mut self.stage {
                Stage::Calling(reply) => match reply.next().await {
                    Step::Event(event) => Seen::Step(self.event(event)),
                    Step::Done(Ok(Outcome::Task(created))) => self.begin(&created),
                    done => Seen::Step(done),
                },
                Stage::Fetching(reply, _) => match reply.next().await {
                    Step::Event(event) => Seen::Step(self.event(event)),
                    Step::Done(outcome) => Seen::Step(self.fetched(outcome)),
                },
                Stage::Watching(watching) => {
                    if let Some(question) = watching.to_ask.pop_front() {
                        Seen::Step(Step::Event(Event::Question(question)))
                    } else {
                        tokio::select! {
                            biased;
                            (key, method, answer) = next_answer(&mut watching.open) => {
                                self.answered(key, &method, answer).await
                            }
                            () = sleep_until(watching.next_look) => self.look().await,
                        }
                    }
                }
                Stage::Finished => {
                    Seen::Step(Step::Done(Err(Error::internal("read on after its end"))))
                }
            };
            if let Seen::Step(step) = seen {
                return step;
            }
        }
    }

    fn event(&mut self, event: Event) -> Step {
        if let Event::Progress(Progress { params }) = &event {
            let told = member(params, "progress").and_then(|told| told.read::<f64>().ok());
            self.progress = told.unwrap_or(self.progress).max(self.progress);
        }
        Step::Event(event)
    }

    fn begin(&mut self, created: &CreatedTask) -> Seen {
        let Some(id) = tasks::task_id(&created.task) else {
            let error = self.line.misbehaved("made a task and does not say which");
            return Seen::Step(Step::Done(Err(error)));
        };
        self.task = Some(Unfinished {
            line: self.line.clone(),
            background: self.background.clone(),
            id,
            finished: false,
        });
        let seen = Snapshot::of(&created.task);
        let ended = seen.as_ref().is_some_and(|seen| seen.status.is_terminal());
        let wait = if ended {
            Duration::ZERO
        } else {
            pause(seen.as_ref())
        };
        self.stage = Stage::Watching(Watching {
            next_look: Instant::now() + wait,
            failures: 0,
            seen,
            known: HashSet::new(),
            to_ask: VecDeque::new(),
            open: Vec::new(),
        });
        Seen::Nothing
    }

    async fn look(&mut self) -> Seen {
        let Some(id) = self.task.as_ref().map(|task| task.id.clone()) else {
            return Seen::Step(Step::Done(Err(Error::internal("no task to look at"))));
        };
        let looked = self.line.look(&id).await;
        let Stage::Watching(watching) = &mut self.stage else {
            return Seen::Nothing;
        };
        let task = match looked {
            Ok(task) => task,
            Err(error) if is_passing(&error) && watching.failures < FAILURES => {
                watching.failures += 1;
                watching.next_look = Instant::now() + pause(watching.seen.as_ref());
                return Seen::Nothing;
            }
            Err(error) => return self.end(Err(error)),
        };
        watching.failures = 0;
        let Some(snapshot) = Snapshot::of(&task) else {
            let error = self.line.misbehaved("does not say how its task stands");
            return Seen::Step(Step::Done(Err(error)));
        };
        watching.next_look = Instant::now() + pause(Some(&snapshot));
        let changed = watching.seen.as_ref() != Some(&snapshot);
        watching.seen = Some(snapshot.clone());
        match snapshot.status {
            Status::Cancelled => {
                let text = format!("`{}` cancelled the task", self.line.backend());
                let error = JsonRpcError::new(code::INTERNAL_ERROR, text);
                self.end(Err(Error::answered(self.line.backend().clone(), error)))
            }
            Status::InputRequired | Status::Completed | Status::Failed if self.line.is_core() => {
                match self.line.fetch(&id, self.wants).await {
                    Ok(reply) => {
                        self.stage = Stage::Fetching(reply, snapshot);
                        Seen::Nothing
                    }
                    Err(error) => Seen::Step(self.fetched(Err(error))),
                }
            }
            Status::Completed => match member(&task, "result").filter(RawJson::is_object) {
                Some(result) => self.end(Ok(complete(without_hop(result)))),
                None => self.end(Err(self
                    .line
                    .misbehaved("completed a task without a result"))),
            },
            Status::Failed => {
                let error = member(&task, "error").and_then(|error| error.read().ok());
                let error = error
                    .unwrap_or_else(|| JsonRpcError::new(code::INTERNAL_ERROR, "the task failed"));
                self.end(Err(Error::answered(self.line.backend().clone(), error)))
            }
            Status::InputRequired => {
                self.questions(&task);
                Seen::Nothing
            }
            Status::Working => {
                self.questions(&task);
                if changed {
                    Seen::Step(self.sign_of_life(&snapshot))
                } else {
                    Seen::Nothing
                }
            }
        }
    }

    /// Asks what is new, and withdraws what is no longer asked.
    fn questions(&mut self, task: &RawJson) {
        let asked = member(task, "inputRequests").and_then(|asked| members(&asked).ok());
        let asked = asked.unwrap_or_default();
        let backend = self.line.backend().clone();
        let Stage::Watching(watching) = &mut self.stage else {
            return;
        };
        watching
            .open
            .retain(|open| asked.iter().any(|(key, _)| *key == open.key));
        for (key, request) in asked {
            let room = watching.known.len() < QUESTIONS;
            if !room || !watching.known.insert(key.clone()) {
                continue;
            }
            let Some(method) = string_member(&request, "method") else {
                continue;
            };
            let method = Method::parse(&method);
            let params = member(&request, "params").unwrap_or_else(RawJson::empty_object);
            let (question, answer) = Question::new(backend.clone(), method.clone(), params);
            watching.to_ask.push_back(question);
            watching.open.push(Open {
                key,
                method,
                answer,
            });
        }
    }

    async fn answered(&mut self, key: String, method: &Method, answer: Option<Answer>) -> Seen {
        let result = match (answer, method) {
            (Some(Ok(result)), _) => result,
            (_, Method::ElicitationCreate) => assemble([("action", RawJson::string("cancel"))]),
            // There is no way to tell the backend that a question failed: the task cannot go on (digest §3.2).
            (Some(Err(error)), _) => {
                let text = format!("the client did not answer `{method}`: {}", error.message);
                let kind = ErrorKind::CannotAsk(self.line.backend().clone());
                return Seen::Step(Step::Done(Err(Error::new(kind, text).caused_by(error))));
            }
            (None, _) => {
                let text = format!("the client could not be asked `{method}`");
                let kind = ErrorKind::CannotAsk(self.line.backend().clone());
                return Seen::Step(Step::Done(Err(Error::new(kind, text))));
            }
        };
        let Some(id) = self.task.as_ref().map(|task| task.id.clone()) else {
            return Seen::Nothing;
        };
        let responses = assemble([(key.as_str(), result)]);
        let told = self.line.update(&id, responses).await;
        if let Stage::Watching(watching) = &mut self.stage {
            // What the answer led to is worth an early look.
            watching.next_look = watching.next_look.min(Instant::now() + SHORTEST_PAUSE);
        }
        match told {
            Ok(()) => Seen::Nothing,
            Err(error) => Seen::Step(Step::Done(Err(error))),
        }
    }

    fn fetched(&mut self, outcome: Result<Outcome, Error>) -> Step {
        let outcome = match outcome {
            Ok(Outcome::Complete(mut fetched)) => {
                let result = tasks::without_related_task(&fetched.result);
                let result = match &self.stage {
                    Stage::Fetching(_, seen) => result_or_reason(seen, result),
                    _ => Ok(result),
                };
                let answered = |error| Error::answered(self.line.backend().clone(), error);
                result.map_err(answered).map(|result| {
                    fetched.result = result;
                    Outcome::Complete(fetched)
                })
            }
            Ok(_) => Err(self
                .line
                .misbehaved("answered `tasks/result` with no result")),
            Err(error) => Err(error),
        };
        // Whether it was the task that failed, or the way to its result, nobody can tell.
        if outcome.is_ok() || matches!(&outcome, Err(error) if is_answer(error)) {
            self.stage = Stage::Finished;
        }
        Step::Done(outcome)
    }

    fn end(&mut self, outcome: Result<Outcome, Error>) -> Seen {
        self.stage = Stage::Finished;
        Seen::Step(Step::Done(outcome))
    }

    /// A caller who waits learns that the task goes on, and so does whoever measures its patience.
    fn sign_of_life(&mut self, snapshot: &Snapshot) -> Step {
        self.progress += 1.0;
        let params = assemble([("progress", RawJson::from_serialize(&self.progress))]);
        let params = match &snapshot.message {
            Some(message) => ObjectEdit::new(&params)
                .set("message", RawJson::string(message))
                .finish(),
            None => params,
        };
        Step::Event(Event::Progress(Progress { params }))
    }
}

/// The next question that is answered, or that nobody could be asked; never if none is open.
async fn next_answer(open: &mut Vec<Open>) -> (String, Method, Option<Answer>) {
    let (at, answer) = std::future::poll_fn(|context| {
        for (at, question) in open.iter_mut().enumerate() {
            if let Poll::Ready(answer) = Pin::new(&mut question.answer).poll(context) {
                return Poll::Ready((at, answer.ok()));
            }
        }
        Poll::Pending
    })
    .await;
    let answered = open.swap_remove(at);
    (answered.key, answered.method, answer)
}

/// A result inside a task may say of itself what results of requests say.
fn without_hop(result: RawJson) -> RawJson {
    SplitResult::parse(&result).map_or(result, |split| split.result)
}

const fn complete(result: RawJson) -> Outcome {
    Outcome::Complete(Complete {
        result,
        cache: None,
    })
}

fn pause(seen: Option<&Snapshot>) -> Duration {
    let wished = seen.and_then(|seen| seen.poll_interval);
    wished
        .unwrap_or(USUAL_PAUSE)
        .clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// Whether the backend itself said so.
fn is_answer(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Answered { .. })
}

/// Whether it may go better the next time.
fn is_passing(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BackendUnavailable(_) | ErrorKind::TimedOut(_)
    )
}

/// How long to wait between two looks if the backend does not say.
const USUAL_PAUSE: Duration = Duration::from_secs(1);
/// No backend is asked more often, whatever it says.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// Nor less often: a caller waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often in a row a look may fail.
const FAILURES: u32 = 5;
/// How many questions one task may ask.
const QUESTIONS: usize = 100;
/// How long a backend may take to hear that a task is cancelled.
const CANCELLING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
