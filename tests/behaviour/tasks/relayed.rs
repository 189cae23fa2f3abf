//! Between peers of 2026-07-28 with the extension.

use serde_json::{Value, json};

use super::workshop::{EXTENSION, Workshop};
use super::{accepted, answers_in, task_of, until, with_extension};
use crate::support::backend::Seen;
use crate::support::{Detached, Gateway, Stateful};

async fn fixture() -> (Workshop, Gateway, Detached) {
    let workshop = Workshop::of_extension().await;
    let gateway = Gateway::start(&workshop.fleet());
    let client = with_extension(&gateway);
    (workshop, gateway, client)
}

#[tokio::test]
async fn a_task_is_made_followed_and_finished_under_one_id_that_is_ours() {
    let (workshop, _gateway, client) = fixture().await;
    let id = task_of(&client, "b__work").await;
    assert!(!id.contains("native"), "{id}");
    let task = until(&client, &id, "completed").await;
    assert_eq!(task["result"]["content"][0]["text"], "done");
    assert_eq!(task["ttlMs"], 60_000);
    let seen = workshop.backend.saw("tasks/get").await;
    assert_eq!(seen.message["params"]["taskId"], "native-1");
    assert_eq!(seen.headers["mcp-name"], "native-1");
    assert_eq!(seen.headers["mcp-method"], "tasks/get");
}

#[tokio::test]
async fn questions_of_a_task_are_found_in_it_and_may_be_answered_one_by_one() {
    let (_workshop, _gateway, client) = fixture().await;
    let id = task_of(&client, "b__ask").await;
    let task = until(&client, &id, "input_required").await;
    assert_eq!(task["inputRequests"].as_object().unwrap().len(), 2);
    let params = &task["inputRequests"]["name"]["params"];
    assert_eq!(params["_meta"]["dev.isthmus/backend"], "b");
    for key in ["name", "colour"] {
        let responses = json!({key: accepted(key, "x"), "unknown": {"ignored": true}});
        let update = json!({"taskId": id, "inputResponses": responses});
        let done = client.result("tasks/update", update).await;
        assert_eq!(done["resultType"], "complete");
        assert!(done.get("taskId").is_none(), "{done}");
        if key == "name" {
            let task = until(&client, &id, "input_required").await;
            let open = task["inputRequests"].as_object().unwrap();
            assert_eq!(open.keys().collect::<Vec<_>>(), ["colour"]);
        }
    }
    let task = until(&client, &id, "completed").await;
    let answers = answers_in(&task["result"]);
    assert_eq!(answers["colour"], accepted("colour", "x"));
}

#[tokio::test]
async fn a_task_is_cancelled_by_its_id_and_not_by_leaving() {
    let (workshop, _gateway, client) = fixture().await;
    let id = task_of(&client, "b__long").await;
    until(&client, &id, "working").await;
    assert!(!workshop.is_cancelled("native-1"));
    let done = client.result("tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(done["resultType"], "complete");
    until(&client, &id, "cancelled").await;
    assert_eq!(workshop.backend.count("notifications/cancelled"), 0);
}

#[tokio::test]
async fn a_failure_and_a_result_that_says_so_stay_what_they_are() {
    let (_workshop, _gateway, client) = fixture().await;
    let failed = task_of(&client, "b__fail").await;
    let failed = until(&client, &failed, "failed").await;
    assert_eq!(failed["error"]["message"], "broken");
    let wrong = task_of(&client, "b__wrong").await;
    let wrong = until(&client, &wrong, "completed").await;
    assert_eq!(wrong["result"]["isError"], true);
}

#[tokio::test]
async fn the_extension_is_offered_to_whom_it_is_of_use() {
    let (workshop, gateway, client) = fixture().await;
    let offered = client.result("server/discover", json!({})).await;
    let capabilities = &offered["capabilities"];
    assert_eq!(capabilities["extensions"][EXTENSION], json!({}));
    assert!(capabilities.get("tasks").is_none());
    let session = Stateful::open(&gateway.url(), "2025-11-25").await;
    let capabilities = &session.initialized["result"]["capabilities"];
    assert!(
        !capabilities.to_string().contains("tasks"),
        "{capabilities}"
    );
    drop(workshop);
}

#[tokio::test]
async fn without_the_extension_there_are_no_tasks() {
    let (workshop, gateway, client) = fixture().await;
    let id = task_of(&client, "b__long").await;
    let unaware = Detached::http(&gateway).declaring(json!({}));
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let params = json!({"taskId": id, "inputResponses": {}});
        let error = unaware.ask(method, params).await["error"].clone();
        assert_eq!(error["code"], -32021, "{method}: {error}");
        let needed = &error["data"]["requiredCapabilities"]["extensions"];
        assert_eq!(needed[EXTENSION], json!({}));
    }
    let done = unaware
        .result("tools/call", json!({"name": "b__work"}))
        .await;
    assert_eq!(done["content"][0]["text"], "done");
    // It could have declared it: what the backend says is handed on.
    let error = unaware.ask("tools/call", json!({"name": "b__ask"})).await;
    assert_eq!(error["error"]["code"], -32021, "{error}");
    assert!(!workshop.is_cancelled("native-1"));
}

#[tokio::test]
async fn an_id_that_is_none_of_ours_leads_nowhere() {
    let (workshop, _gateway, client) = fixture().await;
    let id = task_of(&client, "b__long").await;
    let (before, after) = id.split_at(id.len() / 2);
    let other = if after.starts_with('A') { 'B' } else { 'A' };
    let tampered = format!("{before}{other}{}", &after[1..]);
    for wrong in ["native-1", "", &tampered] {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let params = json!({"taskId": wrong, "inputResponses": {}});
            let error = client.ask(method, params).await;
            assert_eq!(error["error"]["code"], -32602, "{method} {wrong}: {error}");
        }
    }
    assert_eq!(workshop.backend.count("tasks/get"), 0);
}

#[tokio::test]
async fn a_listen_hears_of_its_tasks() {
    let (_workshop, _gateway, client) = fixture().await;
    let id = task_of(&client, "b__work").await;
    let wanted = json!({"notifications": {"taskIds": [id, "unknown"]}});
    let mut stream = client.post("subscriptions/listen", wanted, json!({})).await;
    let acknowledged = stream.event().await.unwrap();
    let honoured = &acknowledged["params"]["notifications"];
    assert_eq!(*honoured, json!({"taskIds": [id]}), "{acknowledged}");
    let mut last = Value::Null;
    while last["status"] != "completed" {
        let told = stream.notified("notifications/tasks").await;
        last = told["params"].clone();
        assert_eq!(last["taskId"], id);
        let tag = &last["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!(*tag, json!(7));
    }
    assert_eq!(last["result"]["content"][0]["text"], "done");
}

#[tokio::test]
async fn tasks_survive_the_gateway() {
    let (workshop, gateway, client) = fixture().await;
    let id = task_of(&client, "b__work").await;
    let gateway = gateway.killed_and_started_again(&workshop.fleet());
    let client = with_extension(&gateway);
    until(&client, &id, "completed").await;
}

#[tokio::test]
async fn a_backend_is_asked_to_say_when_followed_tasks_come_further_and_not_for_ever() {
    for piped in [false, true] {
        let mut workshop = Workshop::of_extension().await;
        if piped {
            workshop = workshop.behind_a_pipe().await;
        }
        let gateway = Gateway::start(&workshop.fleet());
        let client = with_extension(&gateway);
        let id = task_of(&client, "b__long").await;
        let wanted = json!({"notifications": {"taskIds": [id]}});
        let mut stream = client.post("subscriptions/listen", wanted, json!({})).await;
        stream.notified("notifications/tasks").await;
        let listen = |seen: &Seen| {
            let wanted = &seen.message["params"]["notifications"]["taskIds"];
            seen.message["method"] == "subscriptions/listen" && *wanted == json!(["native-1"])
        };
        let seen = workshop.backend.saw_where(listen).await;
        let meta = &seen.message["params"]["_meta"];
        let declared = &meta["io.modelcontextprotocol/clientCapabilities"]["extensions"];
        assert_eq!(declared[EXTENSION], json!({}));
        drop(stream);
        if piped {
            let ended = |seen: &Seen| {
                seen.message["method"] == "notifications/cancelled"
                    && seen.message["params"]["requestId"] == listen_id(&seen_listen(&workshop))
            };
            workshop.backend.saw_where(ended).await;
        } else {
            workshop.backend.streams_closed(1).await;
        }
    }
}

/// The listen to tasks that the backend saw.
fn seen_listen(workshop: &Workshop) -> Seen {
    let mut seen = workshop.backend.seen().into_iter();
    let of_tasks = |seen: &Seen| seen.message["params"]["notifications"]["taskIds"].is_array();
    seen.rfind(of_tasks).unwrap()
}

fn listen_id(seen: &Seen) -> Value {
    seen.message["id"].clone()
}
