//! A client with the extension in front of a backend of 2025-11-25.

use serde_json::{Value, json};

use super::workshop::{EXTENSION, Workshop};
use super::{accepted, answers_in, task_of, until, with_extension};
use crate::support::{Detached, Gateway};

async fn fixture() -> (Workshop, Gateway, Detached) {
    let workshop = Workshop::of_core().await;
    let gateway = Gateway::start(&workshop.fleet());
    let client = with_extension(&gateway);
    (workshop, gateway, client)
}

#[tokio::test]
async fn tools_that_take_tasks_become_some_and_others_do_not() {
    let (workshop, _gateway, client) = fixture().await;
    let offered = client.result("server/discover", json!({})).await;
    let extensions = &offered["capabilities"]["extensions"];
    assert_eq!(extensions[EXTENSION], json!({}), "{offered}");
    let listed = client.result("tools/list", json!({})).await;
    assert!(!listed.to_string().contains("taskSupport"), "{listed}");
    let params = json!({"name": "b__work", "arguments": {}});
    let created = client.result("tools/call", params).await;
    assert_eq!(created["resultType"], "task", "{created}");
    assert_eq!(created["ttlMs"], 3_600_000);
    assert_eq!(created["pollIntervalMs"], 50);
    assert!(created.get("task").is_none() && created.get("ttl").is_none());
    let plain = client
        .result("tools/call", json!({"name": "b__plain"}))
        .await;
    assert_eq!(plain["resultType"], "complete");
    let id = created["taskId"].as_str().unwrap();
    let task = until(&client, id, "completed").await;
    assert_eq!(
        task["result"],
        json!({"content": [{"type": "text", "text": "done"}], "resultType": "complete"})
    );
    drop(workshop);
}

#[tokio::test]
async fn what_failed_there_is_completed_here_if_there_is_a_result() {
    let (_workshop, _gateway, client) = fixture().await;
    let wrong = task_of(&client, "b__wrong").await;
    let wrong = until(&client, &wrong, "completed").await;
    assert_eq!(wrong["result"]["isError"], true);
    let failed = task_of(&client, "b__fail").await;
    let failed = until(&client, &failed, "failed").await;
    assert_eq!(
        failed["error"],
        json!({"code": -32603, "message": "broken"})
    );
}

#[tokio::test]
async fn questions_are_caught_and_answered_by_updates_under_keys_that_are_used_once() {
    let (_workshop, _gateway, client) = fixture().await;
    is_asked_and_answers(&client).await;
}

#[tokio::test]
async fn the_same_where_both_are_at_the_end_of_a_pipe() {
    let workshop = Workshop::of_core().await.behind_a_pipe().await;
    let client = Detached::pipe(&workshop.fleet()).declaring(json!({
        "elicitation": {"form": {}}, "extensions": {EXTENSION: {}},
    }));
    is_asked_and_answers(&client).await;
}

async fn is_asked_and_answers(client: &Detached) {
    let id = task_of(client, "b__ask").await;
    let mut keys = Vec::new();
    for key in ["name", "colour"] {
        let task = until(client, &id, "input_required").await;
        let open = task["inputRequests"].as_object().unwrap();
        assert_eq!(open.len(), 1, "{task}");
        let (used, asked) = open.iter().next().unwrap();
        assert_eq!(asked["params"]["message"], format!("Your {key}?"));
        assert!(!asked.to_string().contains("related-task"), "{asked}");
        let update = json!({"taskId": id, "inputResponses": {used: accepted(key, "x")}});
        client.result("tasks/update", update).await;
        keys.push(used.clone());
    }
    assert_ne!(keys[0], keys[1]);
    let task = until(client, &id, "completed").await;
    let answers = answers_in(&task["result"]);
    assert_eq!(answers["name"], accepted("name", "x"));
    assert_eq!(answers["colour"], accepted("colour", "x"));
}

#[tokio::test]
async fn cancelling_is_taken_as_often_as_it_is_wished() {
    let (workshop, _gateway, client) = fixture().await;
    let id = task_of(&client, "b__long").await;
    for _ in 0..2 {
        let done = client.result("tasks/cancel", json!({"taskId": id})).await;
        assert_eq!(done["resultType"], "complete");
        assert!(done.get("taskId").is_none(), "{done}");
    }
    until(&client, &id, "cancelled").await;
    assert!(workshop.is_cancelled("native-1"));
}

#[tokio::test]
async fn a_listen_hears_of_tasks_whose_backend_says_nothing() {
    let (_workshop, _gateway, client) = fixture().await;
    let id = task_of(&client, "b__work").await;
    let wanted = json!({"notifications": {"taskIds": [id]}});
    let mut stream = client.post("subscriptions/listen", wanted, json!({})).await;
    let acknowledged = stream.event().await.unwrap();
    let honoured = &acknowledged["params"]["notifications"];
    assert_eq!(*honoured, json!({"taskIds": [id]}));
    let mut last = Value::Null;
    while last["status"] != "completed" {
        last = stream.notified("notifications/tasks").await["params"].clone();
        assert_eq!(last["taskId"], id);
        assert!(last.get("ttl").is_none(), "{last}");
    }
    assert_eq!(last["result"]["content"][0]["text"], "done");
}

#[tokio::test]
async fn a_task_is_found_again_although_each_call_has_a_session_of_its_own() {
    let workshop = Workshop::of_core().await;
    let fleet = format!("{}    sessions: per-call\n", workshop.fleet());
    let gateway = Gateway::start(&fleet);
    let client = with_extension(&gateway);
    let id = task_of(&client, "b__ask").await;
    let task = until(&client, &id, "input_required").await;
    assert!(task["inputRequests"].is_object());
    let made = workshop.backend.saw("tools/call").await.session;
    let looked = workshop.backend.saw("tasks/result").await.session;
    assert_eq!(made, looked);
}

#[tokio::test]
async fn nothing_waits_at_the_backend_for_a_task_that_is_over() {
    let (workshop, _gateway, client) = fixture().await;
    let left = task_of(&client, "b__ask").await;
    until(&client, &left, "input_required").await;
    workshop.backend.runs(1).await;
    client.result("tasks/cancel", json!({"taskId": left})).await;
    workshop.backend.runs(0).await;
    let done = task_of(&client, "b__ask").await;
    for key in ["name", "colour"] {
        let task = until(&client, &done, "input_required").await;
        let open = task["inputRequests"].as_object().unwrap();
        let used = open.keys().next().unwrap();
        let update = json!({"taskId": done, "inputResponses": {used: accepted(key, "x")}});
        client.result("tasks/update", update).await;
    }
    until(&client, &done, "completed").await;
    workshop.backend.runs(0).await;
}

#[tokio::test]
async fn a_question_that_was_open_when_the_gateway_ended_is_asked_again() {
    let (workshop, gateway, client) = fixture().await;
    let id = task_of(&client, "b__ask").await;
    let before = until(&client, &id, "input_required").await;
    let gateway = gateway.killed_and_started_again(&workshop.fleet());
    let client = with_extension(&gateway);
    let after = until(&client, &id, "input_required").await;
    let key = |task: &Value| {
        let open = task["inputRequests"].as_object().unwrap();
        open.keys().next().unwrap().clone()
    };
    assert_ne!(key(&before), key(&after));
    let update = json!({"taskId": id, "inputResponses": {key(&after): accepted("name", "x")}});
    client.result("tasks/update", update).await;
}
