//! Tasks by the ids that clients know them by.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use isthmus_backend::Audience;
use isthmus_exchange::{
    BoxStage, Caller, CreatedTask, Error, ErrorKind, Event, ListenFilter, Notice, Outcome,
    Question, Reply, Request, Step, Subject,
};
use isthmus_protocol::{Method, RawJson, Revision, object};
use isthmus_router::AnyBackend;
use serde_json::{Value, json};

use crate::scripted::{self, Scripted};
use crate::{
    TOOL, complete, everything, is_silent, listen, next_notice, request, router, session, settle,
    stateless_as,
};

const CORE: &str =
    r#"{"tools":{},"tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}}"#;
const EXTENSION: &str = r#"{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;

fn raw(value: &Value) -> RawJson {
    RawJson::from_serialize(value)
}

fn value(raw: &RawJson) -> Value {
    raw.read().unwrap()
}

/// A backend with a tool `work` that declares `capabilities`.
fn backend(name: &str, revision: Revision, capabilities: &str) -> Arc<Scripted> {
    let backend = Scripted::starting(name, &[]);
    let mut listing = scripted::listing(&[(TOOL, "work", "")]);
    listing.facts.revision = revision;
    listing.facts.capabilities = RawJson::parse(capabilities.to_owned()).unwrap();
    backend.lists_all(listing);
    backend.come_up();
    backend
}

fn with_extension(name: &str) -> Arc<Scripted> {
    backend(name, Revision::V2026_07_28, EXTENSION)
}

/// Makes a task `1` of every call, and answers requests about it with `answer`.
fn makes_tasks(
    backend: &Arc<Scripted>,
    answer: impl Fn(&Request) -> Result<Value, Error> + Send + Sync + 'static,
) {
    backend.answers(move |request| match request.method {
        Method::ToolsCall => {
            let task = raw(&json!({"taskId": "1", "status": "working", "ttlMs": null}));
            Ok(Reply::ready(Outcome::Task(CreatedTask { task })))
        }
        _ => answer(&request).map(|result| Reply::complete(raw(&result))),
    });
}

/// Calls a tool of which a task is made, and returns that.
async fn created(stage: &BoxStage, caller: &Arc<Caller>, tool: &str) -> Value {
    let params = json!({"name": tool}).to_string();
    let reply = stage.run(request(caller, Method::ToolsCall, &params)).await;
    match reply.unwrap().outcome().await.unwrap() {
        Outcome::Task(created) => value(&created.task),
        other => panic!("no task: {other:?}"),
    }
}

fn about(caller: &Arc<Caller>, method: Method, id: &str, more: &Value) -> Request {
    let mut params = json!({"taskId": id});
    params
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let mut request = request(caller, method, &params.to_string());
    request.subject = Subject::Task(id.to_owned());
    request
}

async fn ask(stage: &BoxStage, request: Request) -> Result<Value, Error> {
    let complete = complete(stage.run(request).await?).await?;
    Ok(value(&complete.result))
}

#[tokio::test(start_paused = true)]
async fn a_task_goes_out_under_an_id_of_ours_and_is_found_by_it_at_its_own_backend() {
    let (one, two) = (with_extension("one"), with_extension("two"));
    for backend in [&one, &two] {
        makes_tasks(backend, |_| {
            Ok(
                json!({"taskId": "1", "status": "completed", "result": {"content": [
                    {"type": "resource_link", "uri": "x:1"}
                ]}}),
            )
        });
    }
    let (router, stage) = router([&one, &two]);
    router.wait_ready().await;
    let anna = stateless_as("anna");
    let task = created(&stage, &anna, "two__work").await;
    let id = task["taskId"].as_str().unwrap();
    assert_ne!(id, "1");
    assert_eq!(task["status"], "working");
    two.heard();
    let got = ask(&stage, about(&anna, Method::TasksGet, id, &json!({}))).await;
    assert_eq!(got.unwrap()["taskId"], id);
    assert_eq!(two.heard(), [r#"tasks/get {"taskId":"1"}"#]);
    assert!(one.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_is_nobody_elses_and_an_unknown_one_is_said_to_be_so() {
    let one = with_extension("one");
    makes_tasks(&one, |_| Ok(json!({})));
    let (router, stage) = router([&one]);
    router.wait_ready().await;
    let task = created(&stage, &stateless_as("anna"), "one__work").await;
    let id = task["taskId"].as_str().unwrap().to_owned();
    for (caller, id) in [("bert", id.as_str()), ("anna", "1"), ("anna", "")] {
        for method in [Method::TasksGet, Method::TasksUpdate, Method::TasksCancel] {
            let asked = about(&stateless_as(caller), method, id, &json!({}));
            let error = ask(&stage, asked).await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidParams);
        }
    }
    assert_eq!(one.heard().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_no_backend_has_tasks_there_are_no_such_methods() {
    let plain = Scripted::ready("plain", &[(TOOL, "work", "")]);
    let (router, stage) = router([&plain]);
    router.wait_ready().await;
    for method in [Method::TasksGet, Method::TasksUpdate, Method::TasksCancel] {
        let asked = about(&stateless_as("anna"), method, "1", &json!({}));
        let error = ask(&stage, asked).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::MethodNotFound);
    }
    for method in [Method::TasksGet, Method::TasksResult, Method::TasksList] {
        let error = ask(&stage, about(&session(1), method, "1", &json!({}))).await;
        assert_eq!(*error.unwrap_err().kind(), ErrorKind::MethodNotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn questions_of_a_task_say_who_asks() {
    let (one, two) = (with_extension("one"), with_extension("two"));
    makes_tasks(&one, |_| {
        let form =
            json!({"method": "elicitation/create", "params": {"mode": "form", "message": "Name?"}});
        Ok(json!({"taskId": "1", "status": "input_required", "inputRequests": {"k": form}}))
    });
    let (router, stage) = router([&one, &two]);
    router.wait_ready().await;
    let anna = stateless_as("anna");
    let task = created(&stage, &anna, "one__work").await;
    let id = task["taskId"].as_str().unwrap();
    let got = ask(&stage, about(&anna, Method::TasksGet, id, &json!({})))
        .await
        .unwrap();
    let params = &got["inputRequests"]["k"]["params"];
    assert_eq!(params["message"], "one: Name?");
    assert_eq!(params["_meta"]["dev.isthmus/backend"], "one");
    one.heard();
    let answers = json!({"inputResponses": {"k": {"action": "decline"}}});
    ask(&stage, about(&anna, Method::TasksUpdate, id, &answers))
        .await
        .unwrap();
    assert_eq!(
        one.heard(),
        [r#"tasks/update {"taskId":"1","inputResponses":{"k":{"action":"decline"}}}"#]
    );
}

fn following(ids: &[&str]) -> ListenFilter {
    ListenFilter {
        tasks: ids
            .iter()
            .map(|id| (*id).to_owned())
            .collect::<BTreeSet<_>>(),
        ..ListenFilter::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_listen_follows_tasks_of_its_caller_until_they_end_and_acknowledges_no_others() {
    let one = with_extension("one");
    let states = Arc::new(Mutex::new(vec!["completed", "working", "working"]));
    let asked = states.clone();
    makes_tasks(&one, move |_| {
        let mut states = asked.lock().unwrap();
        let status = match states.len() {
            1 => states[0],
            _ => states.pop().unwrap(),
        };
        Ok(json!({"taskId": "1", "status": status, "pollIntervalMs": 400}))
    });
    let (router, stage) = router([&one]);
    router.wait_ready().await;
    let anna = stateless_as("anna");
    let task = created(&stage, &anna, "one__work").await;
    let id = task["taskId"].as_str().unwrap();
    let foreign = created(&stage, &stateless_as("bert"), "one__work").await;
    let foreign = foreign["taskId"].as_str().unwrap();
    let (acknowledged, mut reply) = listen(&stage, &anna, following(&[id, foreign, "x"])).await;
    assert_eq!(acknowledged.tasks, following(&[id]).tasks);
    for status in ["working", "completed"] {
        let Notice::Task { id: told, params } = next_notice(&mut reply).await else {
            panic!("nothing of a task")
        };
        assert_eq!(told, id);
        assert_eq!(value(&params)["taskId"], id);
        assert_eq!(value(&params)["status"], status);
    }
    one.heard();
    assert!(is_silent(&mut reply).await);
    assert!(one.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_is_not_looked_at_any_more_once_nobody_listens() {
    let one = with_extension("one");
    makes_tasks(&one, |_| {
        Ok(json!({"taskId": "1", "status": "working", "pollIntervalMs": 400}))
    });
    let (router, stage) = router([&one]);
    router.wait_ready().await;
    let anna = stateless_as("anna");
    let task = created(&stage, &anna, "one__work").await;
    let id = task["taskId"].as_str().unwrap();
    let (_, mut reply) = listen(&stage, &anna, following(&[id])).await;
    next_notice(&mut reply).await;
    drop(reply);
    settle().await;
    one.heard();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(one.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_lists_its_tasks_under_the_ids_it_knows_and_hears_of_them() {
    let one = backend("one", Revision::V2025_11_25, CORE);
    makes_tasks(&one, |_| {
        Ok(json!({"tasks": [{"taskId": "1"}, {"taskId": "2"}], "nextCursor": "c"}))
    });
    let (router, stage) = router([&one]);
    router.wait_ready().await;
    let anna = session(1);
    let task = created(&stage, &anna, "one__work").await;
    let id = task["taskId"].as_str().unwrap();
    let (_, mut reply) = listen(&stage, &anna, everything()).await;
    let list = ask(&stage, request(&anna, Method::TasksList, "{}"))
        .await
        .unwrap();
    assert_eq!(list["tasks"][0]["taskId"], id);
    assert_eq!(list["nextCursor"], "c");
    let other = list["tasks"][1]["taskId"].as_str().unwrap();
    assert!(other != id && other != "2");
    for (native, known) in [("2", Some(other)), ("3", None)] {
        let params = raw(&json!({"taskId": native, "status": "working", "ttlMs": null}));
        let notice = Notice::Task {
            id: native.to_owned(),
            params,
        };
        one.says(Audience::Everyone, notice);
        settle().await;
        match known {
            None => assert!(is_silent(&mut reply).await),
            Some(known) => {
                let Notice::Task { id, params } = next_notice(&mut reply).await else {
                    panic!("nothing of a task")
                };
                assert_eq!(id, known);
                assert_eq!(value(&params)["taskId"], known);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_the_result_of_a_task_says_so_under_the_clients_id() {
    let one = backend("one", Revision::V2025_11_25, CORE);
    one.answers(|request| {
        if request.method == Method::ToolsCall {
            let task = raw(&json!({"taskId": "1"}));
            return Ok(Reply::ready(Outcome::Task(CreatedTask { task })));
        }
        let backend = isthmus_exchange::BackendName::parse("one").unwrap();
        let (question, _answer) =
            Question::new(backend, Method::RootsList, RawJson::empty_object());
        let complete = isthmus_exchange::Complete {
            result: raw(&json!({"content": []})),
            cache: None,
        };
        let steps = [
            Step::Event(Event::Question(question)),
            Step::Done(Ok(Outcome::Complete(complete))),
        ];
        Ok(Reply::running(futures_util::stream::iter(steps)))
    });
    let (router, stage) = router([&one]);
    router.wait_ready().await;
    let anna = session(1);
    let task = created(&stage, &anna, "one__work").await;
    let id = task["taskId"].as_str().unwrap();
    let asked = about(&anna, Method::TasksResult, id, &json!({}));
    let mut reply = stage.run(asked).await.unwrap();
    let related = |params: &RawJson| {
        let related = object::member_at(params, &["_meta", "io.modelcontextprotocol/related-task"]);
        value(&related.unwrap())
    };
    let Step::Event(Event::Question(question)) = reply.next().await else {
        panic!("no question")
    };
    assert_eq!(related(&question.params), json!({"taskId": id}));
    let Step::Done(Ok(Outcome::Complete(complete))) = reply.next().await else {
        panic!("no result")
    };
    assert_eq!(related(&complete.result), json!({"taskId": id}));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_asked_for_only_where_that_is_offered() {
    let one = backend("one", Revision::V2025_11_25, CORE);
    let two = backend("two", Revision::V2025_11_25, CORE);
    let seen = Arc::new(Mutex::new(Vec::new()));
    for backend in [&one, &two] {
        let seen = seen.clone();
        backend.answers(move |request| {
            seen.lock().unwrap().push(request.task.is_some());
            Ok(Reply::complete(RawJson::empty_object()))
        });
    }
    for both in [false, true] {
        let (router, stage) = if both {
            router([&one, &two])
        } else {
            router([&one])
        };
        router.wait_ready().await;
        let mut asked = request(&session(1), Method::ToolsCall, r#"{"name":"one__work"}"#);
        asked.task = Some(RawJson::empty_object());
        ask(&stage, asked).await.unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_task_of_which_its_backend_says_something_is_looked_at_early() {
    let one = with_extension("one");
    let status = Arc::new(Mutex::new("working"));
    let now = status.clone();
    makes_tasks(&one, move |_| {
        let status = *now.lock().unwrap();
        Ok(json!({"taskId": "1", "status": status, "pollIntervalMs": 60_000}))
    });
    let (router, stage) = router([&one]);
    router.wait_ready().await;
    let anna = stateless_as("anna");
    let task = created(&stage, &anna, "one__work").await;
    let id = task["taskId"].as_str().unwrap();
    let (_, mut reply) = listen(&stage, &anna, following(&[id])).await;
    next_notice(&mut reply).await;
    *status.lock().unwrap() = "cancelled";
    settle().await;
    let begun = tokio::time::Instant::now();
    let notice = Notice::Task {
        id: "1".to_owned(),
        params: raw(&json!({"taskId": "1", "status": "cancelled"})),
    };
    one.says(Audience::Everyone, notice);
    let Notice::Task { params, .. } = next_notice(&mut reply).await else {
        panic!("nothing of a task")
    };
    assert_eq!(value(&params)["status"], "cancelled");
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_a_tool_is_is_found_out_before_it_is_called() {
    let mut settings = Scripted::starting("one", &[]).settings().clone();
    settings.prefix = String::new();
    let one = Scripted::with_settings(settings, &[]);
    let mut listing = scripted::listing(&[(TOOL, "work", "")]);
    listing.facts.capabilities = RawJson::parse(CORE.to_owned()).unwrap();
    one.lists_all(listing);
    *one.slow.lock().unwrap() = std::time::Duration::from_secs(2);
    one.answers(|request| {
        let item = request.target.and_then(|target| target.item);
        Ok(Reply::complete(raw(&json!({"known": item.is_some()}))))
    });
    let (_router, stage) = router([&one]);
    one.come_up();
    let called = request(&session(1), Method::ToolsCall, r#"{"name":"work"}"#);
    assert_eq!(ask(&stage, called).await.unwrap(), json!({"known": true}));
}
