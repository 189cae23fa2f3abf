//! Tasks: relayed between peers of one kind, translated or driven between others.

mod across;
mod between_2025;
mod driven;
mod relayed;
pub mod workshop;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Detached, Gateway};

/// A client that has the extension, and can show forms.
fn with_extension(gateway: &Gateway) -> Detached {
    Detached::http(gateway).declaring(json!({
        "elicitation": {"form": {}}, "extensions": {workshop::EXTENSION: {}},
    }))
}

/// Calls a tool of which a task is made; the task's id.
async fn task_of(client: &Detached, tool: &str) -> String {
    let task = client
        .result("tools/call", json!({"name": tool, "arguments": {}}))
        .await;
    assert_eq!(task["resultType"], "task", "{task}");
    task["taskId"].as_str().unwrap().to_owned()
}

/// Looks at a task until it is `status`, or has ended.
async fn until(client: &Detached, id: &str, status: &str) -> Value {
    for _ in 0..400 {
        let task = client.result("tasks/get", json!({"taskId": id})).await;
        assert_eq!(task["taskId"], id, "{task}");
        assert_eq!(task["resultType"], "complete", "{task}");
        let now = task["status"].as_str().unwrap();
        if now == status || ["completed", "failed", "cancelled"].contains(&now) {
            assert_eq!(now, status, "{task}");
            return task;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the task does not become {status}");
}

/// The answers that a task was given, by key, as its result tells them.
fn answers_in(result: &Value) -> Value {
    let text = result["content"][0]["text"].as_str();
    serde_json::from_str(text.unwrap_or_else(|| panic!("{result}"))).unwrap()
}

fn accepted(key: &str, value: &str) -> Value {
    json!({"action": "accept", "content": {key: value}})
}
