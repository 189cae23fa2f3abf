//! Requests about tasks, as the clients of both kinds make them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use isthmus_exchange::{
    Acknowledged, CreatedTask, Event, ListenFilter, Notice, Outcome, Reply, Subject,
};
use isthmus_protocol::Method;
use serde_json::json;
use support::{script::raw, start, stateful};

/// A stateless request whose client can follow tasks.
fn following(id: &str, method: &str, params: &str) -> String {
    let inner = params.trim().strip_prefix('{').unwrap();
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{"extensions":{{"io.modelcontextprotocol/tasks":{{}}}}}}}},{inner}}}"#
    )
}

const TASK: &str = r#"{"taskId":"t1","status":"working","ttlMs":null,"pollIntervalMs":500}"#;

#[tokio::test]
async fn who_did_not_declare_the_extension_learns_that_it_is_needed() {
    let gateway = start().await;
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let client = gateway.client().stateless(method, "t1");
        let params = r#"{"taskId":"t1","inputResponses":{}}"#;
        let answer = client.post(&support::stateless("1", method, params)).await;
        assert_eq!(answer.status, 400, "{method}");
        let error = answer.json().await["error"].clone();
        assert_eq!(error["code"], -32021);
        let needed = &error["data"]["requiredCapabilities"]["extensions"];
        assert_eq!(needed["io.modelcontextprotocol/tasks"], json!({}));
    }
    // Even if it does not say which task.
    let client = gateway.client().stateless("tasks/get", "");
    let answer = client
        .post(&support::stateless("1", "tasks/get", "{}"))
        .await;
    assert_eq!(answer.code().await, -32021);
    let client = gateway.client().stateless("subscriptions/listen", "");
    let params = r#"{"notifications":{"taskIds":["t1"]}}"#;
    let listening = support::stateless("1", "subscriptions/listen", params);
    assert_eq!(client.post(&listening).await.code().await, -32021);
}

#[tokio::test]
async fn a_task_and_what_is_asked_about_it_have_the_shape_of_the_extension() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "t");
    let posted = client.posting(&following("1", "tools/call", r#"{"name":"t"}"#));
    let call = gateway.script.call().await;
    let task = raw(TASK);
    call.reply(Ok(Reply::ready(Outcome::Task(CreatedTask { task }))));
    let result = posted.await.unwrap().json().await["result"].clone();
    assert_eq!(result["resultType"], "task");
    assert_eq!(result["taskId"], "t1");
    assert_eq!(result["ttlMs"], json!(null));

    let client = gateway.client().stateless("tasks/get", "t1");
    let posted = client.posting(&following("2", "tasks/get", r#"{"taskId":"t1"}"#));
    let call = gateway.script.call().await;
    assert_eq!(call.request.subject, Subject::Task("t1".to_owned()));
    call.complete(TASK);
    let result = posted.await.unwrap().json().await["result"].clone();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["pollIntervalMs"], 500);
}

#[tokio::test]
async fn the_header_must_name_the_task_and_a_task_must_be_named() {
    let gateway = start().await;
    let client = gateway.client().stateless("tasks/get", "t2");
    let asking = following("1", "tasks/get", r#"{"taskId":"t1"}"#);
    let answer = client.post(&asking).await;
    assert_eq!((answer.status, answer.code().await), (400, -32020));
    let client = gateway.client().stateless("tasks/get", "");
    let asking = following("1", "tasks/get", r#"{"x":1}"#);
    assert_eq!(client.post(&asking).await.code().await, -32602);
}

#[tokio::test]
async fn methods_of_the_other_kind_are_unknown() {
    let gateway = start().await;
    for method in ["tasks/result", "tasks/list"] {
        let client = gateway.client().stateless(method, "");
        let asking = following("1", method, r#"{"taskId":"t1"}"#);
        let answer = client.post(&asking).await;
        assert_eq!((answer.status, answer.code().await), (404, -32601));
    }
    let session = gateway.session("2025-11-25").await;
    let asking = stateful("1", "tasks/update", r#"{"taskId":"t1"}"#);
    assert_eq!(session.post(&asking).await.code().await, -32601);
    let older = gateway.session("2025-06-18").await;
    let asking = stateful("1", "tasks/get", r#"{"taskId":"t1"}"#);
    assert_eq!(older.post(&asking).await.code().await, -32601);
}

#[tokio::test]
async fn a_listen_says_which_tasks_it_follows_and_tells_of_them() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("subscriptions/listen", "");
    let params = r#"{"notifications":{"taskIds":["t1","t2"]}}"#;
    let posted = client.posting(&following("7", "subscriptions/listen", params));
    let call = gateway.script.listen().await;
    let mut filter = call.request.listen.clone().unwrap();
    assert_eq!(filter.tasks.len(), 2);
    filter.tasks.remove("t2");
    let steps = call.begin();
    let acknowledged = Acknowledged {
        filter: ListenFilter {
            tasks: filter.tasks,
            ..ListenFilter::default()
        },
    };
    steps.event(Event::Acknowledged(acknowledged)).await;
    let notice = Notice::Task {
        id: "t1".to_owned(),
        params: raw(TASK),
    };
    steps.event(Event::Notice(notice)).await;
    let mut answer = posted.await.unwrap();
    let first = answer.message().await.unwrap();
    assert_eq!(first["params"]["notifications"], json!({"taskIds": ["t1"]}));
    let told = answer.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tasks");
    assert_eq!(told["params"]["taskId"], "t1");
    let tag = &told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_eq!(*tag, json!(7));
}

#[tokio::test]
async fn a_session_of_2025_asks_for_a_task_and_hears_of_it_in_its_own_words() {
    let mut gateway = start().await;
    let session = gateway.session("2025-11-25").await;
    let params = r#"{"name":"t","task":{"ttl":60000}}"#;
    let posted = session.posting(&stateful("1", "tools/call", params));
    let call = gateway.script.call().await;
    let asked = call.request.task.clone().unwrap();
    assert_eq!(asked.as_str(), r#"{"ttl":60000}"#);
    let task = raw(TASK);
    call.reply(Ok(Reply::ready(Outcome::Task(CreatedTask { task }))));
    let result = posted.await.unwrap().json().await["result"].clone();
    assert_eq!(
        result,
        json!({"task": {"taskId": "t1", "status": "working", "ttl": null, "pollInterval": 500}})
    );

    let posted = session.posting(&stateful("2", "tasks/get", r#"{"taskId":"t1"}"#));
    let call = gateway.script.call().await;
    assert_eq!(call.request.method, Method::TasksGet);
    call.complete(r#"{"taskId":"t1","status":"completed","ttlMs":5,"result":{"content":[]}}"#);
    let result = posted.await.unwrap().json().await["result"].clone();
    assert_eq!(
        result,
        json!({"taskId": "t1", "status": "completed", "ttl": 5})
    );
}

#[tokio::test]
async fn a_session_hears_of_its_tasks_by_status() {
    let mut gateway = start().await;
    let session = gateway.session("2025-11-25").await;
    let mut stream = session.get().await;
    let call = gateway.script.listen().await;
    let steps = call.begin();
    let acknowledged = Acknowledged::default();
    steps.event(Event::Acknowledged(acknowledged)).await;
    let notice = Notice::Task {
        id: "t1".to_owned(),
        params: raw(TASK),
    };
    steps.event(Event::Notice(notice)).await;
    let told = stream.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tasks/status");
    assert_eq!(
        told["params"],
        json!({"taskId": "t1", "status": "working", "ttl": null, "pollInterval": 500})
    );
}
