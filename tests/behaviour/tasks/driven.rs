//! Callers that know nothing of tasks in front of tools that insist on them.

use serde_json::{Value, json};

use super::workshop::Workshop;
use super::{accepted, answers_in};
use crate::support::{Detached, Gateway, Live};

async fn both() -> [(Workshop, Gateway); 2] {
    let mut fixtures = Vec::new();
    for workshop in [Workshop::of_core().await, Workshop::of_extension().await] {
        let gateway = Gateway::start(&workshop.fleet());
        fixtures.push((workshop, gateway));
    }
    fixtures.try_into().ok().unwrap()
}

fn answer(question: &Value) -> Value {
    let message = question["params"]["message"].as_str().unwrap();
    let key = message.trim_start_matches("Your ").trim_end_matches('?');
    accepted(key, "x")
}

#[tokio::test]
async fn the_task_is_driven_to_its_end_inside_the_call_and_its_questions_reach_the_client() {
    for (workshop, gateway) in both().await {
        for revision in ["2025-06-18", "2025-11-25"] {
            let mut client = Live::http(&gateway, revision, json!({"elicitation": {}})).await;
            let params = json!({"name": "b__ask", "arguments": {}});
            let (questions, response) = client.converse("tools/call", params, answer).await;
            assert_eq!(questions.len(), 2, "{response}");
            for question in &questions {
                assert!(!question.to_string().contains("related-task"), "{question}");
            }
            let result = &response["result"];
            assert_eq!(answers_in(result)["colour"], accepted("colour", "x"));
            assert!(!result.to_string().contains("related-task"), "{result}");
        }
        drop(workshop);
    }
}

#[tokio::test]
async fn the_same_over_pipes() {
    for workshop in [Workshop::of_core().await, Workshop::of_extension().await] {
        let workshop = workshop.behind_a_pipe().await;
        let declared = json!({"elicitation": {}});
        let mut client = Live::pipe(&workshop.fleet(), "2025-11-25", declared).await;
        let params = json!({"name": "b__ask", "arguments": {}});
        let (questions, response) = client.converse("tools/call", params, answer).await;
        assert_eq!(questions.len(), 2, "{response}");
        let answers = answers_in(&response["result"]);
        assert_eq!(answers["name"], accepted("name", "x"));
    }
}

#[tokio::test]
async fn a_failure_is_one_of_the_call() {
    for (workshop, gateway) in both().await {
        let mut client = Live::http(&gateway, "2025-11-25", json!({})).await;
        let wrong = client.ask("tools/call", json!({"name": "b__wrong"})).await;
        assert_eq!(wrong["result"]["isError"], true, "{wrong}");
        assert_eq!(wrong["result"]["content"][0]["text"], "wrong");
        let failed = client.ask("tools/call", json!({"name": "b__fail"})).await;
        assert!(failed.to_string().contains("broken"), "{failed}");
        drop(workshop);
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_cancels_its_task() {
    for (workshop, gateway) in both().await {
        let mut client = Live::http(&gateway, "2025-11-25", json!({})).await;
        let id = client.begin("tools/call", json!({"name": "b__long"})).await;
        workshop.backend.counted("tasks/get", 2).await;
        let params = json!({"requestId": id});
        client
            .say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
            .await;
        workshop.backend.saw("tasks/cancel").await;
        assert!(workshop.is_cancelled("native-1"));
        assert!(workshop.looks("native-1") >= 2);
    }
}

#[tokio::test]
async fn whoever_cannot_be_asked_in_place_is_asked_by_results() {
    let workshop = Workshop::of_core().await;
    let gateway = Gateway::start(&workshop.fleet());
    let client = Detached::http(&gateway).declaring(json!({"elicitation": {}}));
    let params = json!({"name": "b__ask", "arguments": {}});
    let (rounds, response) = client.converse("tools/call", &params).await;
    assert_eq!(rounds.len(), 2, "{response}");
    assert!(response["result"]["content"].is_array(), "{response}");
    assert_eq!(response["result"]["resultType"], "complete");
}

#[tokio::test]
async fn a_backend_that_dies_ends_the_calls_whose_tasks_it_had() {
    for workshop in [Workshop::of_core().await, Workshop::of_extension().await] {
        let workshop = workshop.behind_a_pipe().await;
        let gateway = Gateway::start(&workshop.fleet());
        let mut client = Live::http(&gateway, "2025-11-25", json!({})).await;
        let id = client.begin("tools/call", json!({"name": "b__long"})).await;
        workshop.backend.counted("tasks/get", 1).await;
        workshop.crash();
        let response = client.response(&id).await;
        assert_eq!(response["result"]["isError"], true, "{response}");
    }
}
