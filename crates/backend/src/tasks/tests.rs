//! A backend played by the test: each request waits for its answer.

#![expect(
    clippy::needless_pass_by_value,
    reason = "`json!` where it is used reads best"
)]

use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{
    Attachment, BoxFuture, Caller, ClientCapabilities, CreatedTask, Event, PeerFacts, Principal,
    Question, Scope, ScopeId,
};
use isthmus_protocol::{JsonRpcError, Revision, code, object};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::conversation::{PeerNotice, Watch};

/// A conversation whose backend is the test.
#[derive(Debug)]
pub(super) struct Played {
    facts: PeerFacts,
    requests: mpsc::Sender<Asked>,
    closed: CancellationToken,
}

/// One request that the test has to answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) outgoing: Outgoing,
    answer: oneshot::Sender<Result<Reply, Error>>,
}

/// The test's end of a conversation.
pub(super) struct Stage {
    pub(super) conversation: Arc<dyn Conversation>,
    pub(super) tasks: Arc<Tasks>,
    requests: mpsc::Receiver<Asked>,
}

impl Conversation for Played {
    fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let asked = Asked { outgoing, answer };
            self.requests.send(asked).await.expect("the test listens");
            answered.await.expect("the test answers")
        })
    }

    fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        broadcast::channel(1).1
    }

    fn watch(self: Arc<Self>, wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>> {
        Box::pin(std::future::ready(Ok(wanted)))
    }

    fn hears(&self) -> bool {
        true
    }

    fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.closed.cancel();
        Box::pin(std::future::ready(()))
    }
}

impl Stage {
    pub(super) fn new(revision: Revision) -> Self {
        let (requests, received) = mpsc::channel(16);
        let facts = PeerFacts {
            revision,
            capabilities: raw(&json!({"tasks": {"requests": {"tools": {"call": {}}}}})),
            server_info: None,
            instructions: None,
        };
        let closed = CancellationToken::new();
        let conversation = Arc::new(Played {
            facts,
            requests,
            closed,
        });
        Self {
            conversation,
            tasks: Arc::new(Tasks::new(backend(), Handle::current())),
            requests: received,
        }
    }

    /// Begins a request; its reply comes once the test has let it begin.
    pub(super) fn send(
        &self,
        follow: Follow,
        caller: &Caller,
        outgoing: Outgoing,
    ) -> impl Future<Output = Result<Reply, Error>> + Send + 'static {
        let (tasks, conversation) = (self.tasks.clone(), self.conversation.clone());
        let caller = caller.clone();
        let hold: Hold = Arc::new(());
        async move {
            let sent = tasks.send(&conversation, hold, &caller, follow, outgoing);
            let sent = sent.await?;
            Ok(match sent.driving {
                Some(driving) => driving.drive(sent.reply),
                None => sent.reply,
            })
        }
    }

    /// The next request, which must be of `method`.
    pub(super) async fn asked(&mut self, method: &Method) -> Asked {
        let asked = tokio::time::timeout(Duration::from_secs(600), self.requests.recv()).await;
        let asked = asked
            .unwrap_or_else(|_| panic!("no {method} came"))
            .expect("somebody asks");
        assert_eq!(asked.outgoing.method, *method);
        asked
    }

    /// Answers the next request, which must be of `method`, with a result.
    pub(super) async fn answer(&mut self, method: &Method, result: Value) -> Value {
        self.asked(method).await.result(result)
    }
}

impl Asked {
    pub(super) fn params(&self) -> Value {
        self.outgoing.params.read().unwrap()
    }

    /// Answers with a result, and says what was asked.
    pub(super) fn result(self, result: Value) -> Value {
        let params = self.params();
        self.reply(Ok(Reply::complete(raw(&result))));
        params
    }

    pub(super) fn task(self, task: Value) {
        let task = raw(&task);
        self.reply(Ok(Reply::ready(Outcome::Task(CreatedTask { task }))));
    }

    pub(super) fn error(self, error: JsonRpcError) {
        self.reply(Err(Error::answered(backend(), error)));
    }

    /// Lets the request fail as if the backend could not be reached.
    pub(super) fn away(self) {
        let kind = ErrorKind::BackendUnavailable(backend());
        self.reply(Err(Error::new(kind, "not there")));
    }

    /// Answers with a reply that the test goes on writing.
    pub(super) fn open(self) -> mpsc::Sender<Step> {
        let (steps, mut told) = mpsc::channel(8);
        let stream = futures_util::stream::poll_fn(move |context| told.poll_recv(context));
        self.reply(Ok(Reply::running(stream)));
        steps
    }

    fn reply(self, reply: Result<Reply, Error>) {
        self.answer.send(reply).expect("somebody waits");
    }
}

pub(super) fn backend() -> BackendName {
    BackendName::parse("b").unwrap()
}

pub(super) fn raw(value: &Value) -> RawJson {
    RawJson::from_serialize(value)
}

pub(super) fn caller(revision: Revision, capabilities: Value) -> Caller {
    let principal = Principal::anonymous();
    Caller {
        scope: Arc::new(Scope::principal(ScopeId(1), principal.id().clone())),
        principal,
        revision,
        capabilities: Arc::new(ClientCapabilities::parse(raw(&capabilities)).unwrap()),
        client_info: None,
        attachment: Attachment::Detached,
        address: None,
    }
}

pub(super) fn with_extension() -> Caller {
    caller(
        Revision::V2026_07_28,
        json!({"elicitation": {}, "extensions": {EXTENSION: {}}}),
    )
}

/// A call of a tool with this `taskSupport`.
pub(super) fn call(support: &str) -> Outgoing {
    let mut outgoing = Outgoing::plain(Method::ToolsCall, raw(&json!({"name": "t"})));
    outgoing.tool = Some(raw(
        &json!({"name": "t", "execution": {"taskSupport": support}}),
    ));
    outgoing
}

pub(super) fn about(method: Method, id: &str) -> Outgoing {
    Outgoing::plain(method, raw(&json!({"taskId": id})))
}

pub(super) fn core_task(status: &str) -> Value {
    json!({"taskId": "1", "status": status, "ttl": null, "pollInterval": 100})
}

pub(super) const INSIDE: Follow = Follow::Inside {
    could_declare: false,
};

pub(super) fn result_of(outcome: Result<Outcome, Error>) -> Value {
    match outcome {
        Ok(Outcome::Complete(complete)) => complete.result.read().unwrap(),
        other => panic!("not complete: {other:?}"),
    }
}

fn spawned<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio_util::task::AbortOnDropHandle<T> {
    tokio_util::task::AbortOnDropHandle::new(Handle::current().spawn(work))
}

#[tokio::test(start_paused = true)]
async fn a_tool_of_2025_is_called_as_a_task_for_whoever_has_the_extension() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    let caller = with_extension();
    let reply = spawned(stage.send(Follow::Extension, &caller, call("optional")));
    let params = stage
        .answer(&Method::ToolsCall, json!({"task": core_task("working")}))
        .await;
    assert!(params["task"]["ttl"].is_number());
    let Ok(Outcome::Task(created)) = reply.await.unwrap().unwrap().outcome().await else {
        panic!("no task")
    };
    assert_eq!(
        created.task.read::<Value>().unwrap(),
        json!({"taskId": "1", "status": "working", "ttlMs": null, "pollIntervalMs": 100})
    );
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_takes_no_tasks_is_called_plainly() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    for (follow, support) in [
        (Follow::Extension, "forbidden"),
        (INSIDE, "optional"),
        (INSIDE, "forbidden"),
    ] {
        let reply = spawned(stage.send(follow, &with_extension(), call(support)));
        let params = stage
            .answer(&Method::ToolsCall, json!({"content": []}))
            .await;
        assert!(params.get("task").is_none());
        let outcome = reply.await.unwrap().unwrap().outcome().await;
        assert_eq!(result_of(outcome), json!({"content": []}));
    }
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_task_of_2025_is_inlined_and_a_failure_with_a_result_is_completed() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    let caller = with_extension();
    let get = |stage: &Stage| {
        let sent = stage.send(Follow::Extension, &caller, about(Method::TasksGet, "1"));
        spawned(async move { sent.await?.outcome().await })
    };
    let got = get(&stage);
    stage.answer(&Method::TasksGet, core_task("working")).await;
    assert_eq!(result_of(got.await.unwrap())["status"], "working");

    let got = get(&stage);
    stage.answer(&Method::TasksGet, core_task("failed")).await;
    let related = json!({"io.modelcontextprotocol/related-task": {"taskId": "1"}});
    let result = json!({"content": [], "isError": true, "_meta": related});
    stage.answer(&Method::TasksResult, result).await;
    let task = result_of(got.await.unwrap());
    assert_eq!(task["status"], "completed");
    assert_eq!(
        task["result"],
        json!({"content": [], "isError": true, "resultType": "complete"})
    );

    let got = get(&stage);
    stage.answer(&Method::TasksGet, core_task("failed")).await;
    let failure = JsonRpcError::new(-32603, "broken");
    stage.asked(&Method::TasksResult).await.error(failure);
    let task = result_of(got.await.unwrap());
    assert_eq!(task["status"], "failed");
    assert_eq!(task["error"]["message"], "broken");

    // The reason may stand nowhere but in the status.
    let got = get(&stage);
    let mut failed = core_task("failed");
    failed["statusMessage"] = json!("out of paper");
    stage.answer(&Method::TasksGet, failed).await;
    let nothing = json!({"_meta": {}});
    stage.answer(&Method::TasksResult, nothing).await;
    let task = result_of(got.await.unwrap());
    assert_eq!(task["status"], "failed");
    assert_eq!(task["error"]["message"], "out of paper");
}

#[tokio::test(start_paused = true)]
async fn a_task_wants_input_for_as_long_as_something_is_asked_whatever_its_status() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    let caller = with_extension();
    let sent = |stage: &Stage, outgoing| {
        let sent = stage.send(Follow::Extension, &caller, outgoing);
        spawned(async move { sent.await?.outcome().await })
    };
    let got = sent(&stage, about(Method::TasksGet, "1"));
    stage
        .answer(&Method::TasksGet, core_task("input_required"))
        .await;
    let stream = stage.asked(&Method::TasksResult).await.open();
    let mut answers = Vec::new();
    for text in ["first?", "second?"] {
        let params = raw(&json!({"mode": "form", "message": text}));
        let (question, answer) = Question::new(backend(), Method::ElicitationCreate, params);
        stream
            .send(Step::Event(Event::Question(question)))
            .await
            .unwrap();
        answers.push(answer);
    }
    let asked = result_of(got.await.unwrap())["inputRequests"].clone();
    let (first, _) = asked.as_object().unwrap().iter().next().unwrap();

    let mut update = about(Method::TasksUpdate, "1");
    let responses = json!({first.clone(): {"action": "cancel"}});
    update.params = raw(&json!({"taskId": "1", "inputResponses": responses}));
    sent(&stage, update).await.unwrap().unwrap();

    let got = sent(&stage, about(Method::TasksGet, "1"));
    stage.answer(&Method::TasksGet, core_task("working")).await;
    let task = result_of(got.await.unwrap());
    assert_eq!(task["status"], "input_required");
    let left = task["inputRequests"].as_object().unwrap();
    assert_eq!(left.len(), 1);
    assert!(!left.contains_key(first));
}

#[tokio::test(start_paused = true)]
async fn questions_of_a_task_of_2025_are_found_in_it_and_answered_by_an_update() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    let caller = with_extension();
    let sent = |stage: &Stage, outgoing| {
        let sent = stage.send(Follow::Extension, &caller, outgoing);
        spawned(async move { sent.await?.outcome().await })
    };
    let got = sent(&stage, about(Method::TasksGet, "1"));
    stage
        .answer(&Method::TasksGet, core_task("input_required"))
        .await;
    let stream = stage.asked(&Method::TasksResult).await.open();
    let params = json!({"mode": "form", "message": "name?"});
    let (question, answer) = Question::new(backend(), Method::ElicitationCreate, raw(&params));
    stream
        .send(Step::Event(Event::Question(question)))
        .await
        .unwrap();
    let task = result_of(got.await.unwrap());
    assert_eq!(task["status"], "input_required");
    let questions = task["inputRequests"].as_object().unwrap().clone();
    let (key, asked) = questions.iter().next().unwrap();
    assert_eq!(asked["params"], params);

    // A second look finds the same question under the same key, and asks the backend nothing new.
    let got = sent(&stage, about(Method::TasksGet, "1"));
    stage
        .answer(&Method::TasksGet, core_task("input_required"))
        .await;
    assert_eq!(
        result_of(got.await.unwrap())["inputRequests"],
        Value::Object(questions.clone())
    );

    let mut update = about(Method::TasksUpdate, "1");
    let accepted = json!({"action": "accept", "content": {"name": "Anna"}});
    let responses = json!({key.clone(): accepted, "other": {}});
    update.params = raw(&json!({"taskId": "1", "inputResponses": responses}));
    assert_eq!(result_of(sent(&stage, update).await.unwrap()), json!({}));
    assert_eq!(answer.await.unwrap().unwrap(), raw(&accepted));

    // The next question has another key.
    let (question, answer) = Question::new(backend(), Method::ElicitationCreate, raw(&params));
    stream
        .send(Step::Event(Event::Question(question)))
        .await
        .unwrap();
    let got = sent(&stage, about(Method::TasksGet, "1"));
    stage
        .answer(&Method::TasksGet, core_task("input_required"))
        .await;
    let again = result_of(got.await.unwrap())["inputRequests"].clone();
    assert!(!again.as_object().unwrap().contains_key(key));
    drop(stage);
    drop(answer);
}

#[tokio::test(start_paused = true)]
async fn a_question_of_a_kind_that_was_not_declared_is_refused() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    let caller = with_extension();
    let sent = stage.send(Follow::Extension, &caller, about(Method::TasksGet, "1"));
    let got = spawned(async move { sent.await?.outcome().await });
    stage
        .answer(&Method::TasksGet, core_task("input_required"))
        .await;
    let stream = stage.asked(&Method::TasksResult).await.open();
    let (question, answer) = Question::new(backend(), Method::RootsList, RawJson::empty_object());
    stream
        .send(Step::Event(Event::Question(question)))
        .await
        .unwrap();
    assert_eq!(answer.await.unwrap().unwrap_err().code, -32601);
    assert_eq!(result_of(got.await.unwrap())["status"], "working");
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_task_that_has_ended_is_taken_and_an_unknown_one_is_not() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    let caller = with_extension();
    let refusal = || JsonRpcError::new(code::INVALID_PARAMS, "terminal or unknown");
    for known in [true, false] {
        let sent = stage.send(Follow::Extension, &caller, about(Method::TasksCancel, "1"));
        let cancelled = spawned(async move { sent.await?.outcome().await });
        stage.asked(&Method::TasksCancel).await.error(refusal());
        let looked = stage.asked(&Method::TasksGet).await;
        if known {
            looked.result(core_task("completed"));
            assert_eq!(result_of(cancelled.await.unwrap()), json!({}));
        } else {
            looked.error(refusal());
            assert!(cancelled.await.unwrap().is_err());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_looked_after_in_the_conversation_it_was_made_in() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    let mut other = Stage::new(Revision::V2025_11_25);
    let caller = with_extension();
    let reply = spawned(stage.send(Follow::Extension, &caller, call("required")));
    stage
        .answer(&Method::ToolsCall, json!({"task": core_task("working")}))
        .await;
    reply.await.unwrap().unwrap().outcome().await.unwrap();
    other.tasks = stage.tasks.clone();
    let sent = other.send(Follow::Extension, &caller, about(Method::TasksGet, "1"));
    let got = spawned(async move { sent.await?.outcome().await });
    stage.answer(&Method::TasksGet, core_task("working")).await;
    got.await.unwrap().unwrap();
    // Nor is it anybody else's.
    let stranger = Caller {
        principal: Principal::authenticated("test", "", "eve", ""),
        ..with_extension()
    };
    let sent = other.send(Follow::Extension, &stranger, about(Method::TasksGet, "1"));
    let got = spawned(async move { sent.await?.outcome().await });
    other.answer(&Method::TasksGet, core_task("working")).await;
    got.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn between_peers_of_2025_requests_pass_and_speak_our_words_inside() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    let caller = caller(Revision::V2025_11_25, json!({}));
    let asked = raw(&json!({"ttl": 7}));
    let reply = spawned(stage.send(Follow::Core(asked), &caller, call("optional")));
    let params = stage
        .answer(&Method::ToolsCall, json!({"task": core_task("working")}))
        .await;
    assert_eq!(params["task"], json!({"ttl": 7}));
    let created = reply.await.unwrap().unwrap().outcome().await;
    assert!(matches!(created, Ok(Outcome::Task(_))));
    let reply = spawned(stage.send(INSIDE, &caller, about(Method::TasksGet, "1")));
    stage
        .answer(&Method::TasksGet, core_task("completed"))
        .await;
    let task = result_of(reply.await.unwrap().unwrap().outcome().await);
    assert_eq!(task["pollIntervalMs"], 100);
    assert!(task.get("result").is_none());
}

#[tokio::test(start_paused = true)]
async fn the_extension_is_declared_to_a_backend_for_whoever_declared_it_and_for_nobody_else() {
    let mut stage = Stage::new(Revision::V2026_07_28);
    let reply = spawned(stage.send(Follow::Extension, &with_extension(), call("optional")));
    let asked = stage.asked(&Method::ToolsCall).await;
    let declared = asked.outgoing.capabilities.clone();
    assert!(object::member_at(&declared, &["extensions", EXTENSION]).is_some());
    asked.task(json!({"taskId": "1", "status": "working", "ttlMs": null}));
    let outcome = reply.await.unwrap().unwrap().outcome().await;
    assert!(matches!(outcome, Ok(Outcome::Task(_))));

    let unaware = caller(Revision::V2026_07_28, json!({}));
    let follow = Follow::Inside {
        could_declare: true,
    };
    let reply = spawned(stage.send(follow, &unaware, call("optional")));
    let asked = stage.asked(&Method::ToolsCall).await;
    assert_eq!(asked.outgoing.capabilities.as_str(), "{}");
    asked.task(json!({"taskId": "1"}));
    let error = reply.await.unwrap().unwrap().outcome().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BackendMisbehaved(_)));
}

fn insistence() -> JsonRpcError {
    let missing = json!({"requiredCapabilities": {"extensions": {EXTENSION: {}}}});
    JsonRpcError::new(code::MISSING_REQUIRED_CLIENT_CAPABILITY, "tasks!").with_data(&missing)
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_insists_on_the_extension_is_believed_by_who_could_have_declared_it() {
    let mut stage = Stage::new(Revision::V2026_07_28);
    let unaware = caller(Revision::V2026_07_28, json!({}));
    let follow = Follow::Inside {
        could_declare: true,
    };
    let reply = spawned(stage.send(follow, &unaware, call("required")));
    stage.asked(&Method::ToolsCall).await.error(insistence());
    let error = reply.await.unwrap().unwrap_err();
    assert!(is_insistence(&error));
}

#[tokio::test(start_paused = true)]
async fn for_a_caller_of_2025_it_is_called_again_and_the_task_is_driven() {
    let mut stage = Stage::new(Revision::V2026_07_28);
    let caller = caller(Revision::V2025_06_18, json!({}));
    for first in [true, false] {
        let sent = stage.send(INSIDE, &caller, call("required"));
        let got = spawned(async move { sent.await?.outcome().await });
        if first {
            stage.asked(&Method::ToolsCall).await.error(insistence());
        }
        let asked = stage.asked(&Method::ToolsCall).await;
        assert!(asked.outgoing.capabilities.as_str().contains(EXTENSION));
        asked.task(json!({"taskId": "1", "status": "working", "ttlMs": null}));
        let done = json!({"taskId": "1", "status": "completed", "result": {"content": [1]}});
        stage.answer(&Method::TasksGet, done).await;
        assert_eq!(result_of(got.await.unwrap()), json!({"content": [1]}));
    }
}
