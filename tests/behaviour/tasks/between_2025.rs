//! Between peers of 2025-11-25.

use serde_json::{Value, json};

use super::workshop::Workshop;
use super::{accepted, answers_in};
use crate::support::{Gateway, Live, Stateful};

const RELATED: &str = "io.modelcontextprotocol/related-task";

async fn fixture() -> (Workshop, Gateway) {
    let workshop = Workshop::of_core().await;
    let gateway = Gateway::start(&workshop.fleet());
    (workshop, gateway)
}

async fn live(gateway: &Gateway) -> Live {
    Live::http(gateway, "2025-11-25", json!({"elicitation": {}})).await
}

async fn task_of(client: &mut Live, tool: &str) -> String {
    let params = json!({"name": tool, "arguments": {}, "task": {"ttl": 5000}});
    let created = client.ask("tools/call", params).await;
    let task = &created["result"]["task"];
    assert_eq!(task["ttl"], 5000, "{created}");
    assert!(task.get("ttlMs").is_none(), "{created}");
    task["taskId"].as_str().unwrap().to_owned()
}

async fn until(client: &mut Live, id: &str, status: &str) -> Value {
    for _ in 0..100 {
        let got = client.ask("tasks/get", json!({"taskId": id})).await;
        assert_eq!(got["result"]["taskId"], id, "{got}");
        if got["result"]["status"] == status {
            return got["result"].clone();
        }
    }
    panic!("the task does not become {status}");
}

#[tokio::test]
async fn a_task_is_asked_for_followed_and_fetched() {
    let (workshop, gateway) = fixture().await;
    let mut client = live(&gateway).await;
    let id = task_of(&mut client, "b__work").await;
    assert!(!id.contains("native"));
    let task = until(&mut client, &id, "completed").await;
    assert_eq!(task["pollInterval"], 50);
    assert!(task.get("result").is_none(), "{task}");
    let fetched = client.ask("tasks/result", json!({"taskId": id})).await;
    let result = &fetched["result"];
    assert_eq!(result["content"][0]["text"], "done", "{fetched}");
    assert_eq!(result["_meta"][RELATED], json!({"taskId": id}));
    let seen = workshop.backend.saw("tasks/result").await;
    assert_eq!(seen.message["params"]["taskId"], "native-1");
}

#[tokio::test]
async fn what_a_task_asks_comes_with_its_result_and_names_it() {
    let (_workshop, gateway) = fixture().await;
    let mut client = live(&gateway).await;
    let id = task_of(&mut client, "b__ask").await;
    until(&mut client, &id, "input_required").await;
    let call = client.begin("tasks/result", json!({"taskId": id})).await;
    for key in ["name", "colour"] {
        let question = client.question(&call).await;
        let params = &question["params"];
        assert_eq!(params["message"], format!("Your {key}?"));
        assert_eq!(params["_meta"][RELATED], json!({"taskId": id}));
        client.answer(&question, &accepted(key, "x")).await;
    }
    let fetched = client.response(&call).await;
    let answers = answers_in(&fetched["result"]);
    assert_eq!(answers["name"], accepted("name", "x"));
}

#[tokio::test]
async fn tasks_are_listed_under_the_ids_they_are_known_by_and_cancelled() {
    let (workshop, gateway) = fixture().await;
    let mut client = live(&gateway).await;
    let id = task_of(&mut client, "b__long").await;
    let list = client.ask("tasks/list", json!({})).await;
    assert_eq!(list["result"]["tasks"][0]["taskId"], id, "{list}");
    assert!(list["result"]["tasks"][0].get("ttlMs").is_none());
    let cancelled = client.ask("tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
    assert_eq!(cancelled["result"]["taskId"], id);
    assert!(workshop.is_cancelled("native-1"));
    let again = client.ask("tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(again["error"]["code"], -32602, "{again}");
    let unknown = client.ask("tasks/get", json!({"taskId": "native-1"})).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
}

#[tokio::test]
async fn it_is_offered_where_a_route_shows_that_backend_alone() {
    let (workshop, gateway) = fixture().await;
    let other = Workshop::of_core().await;
    let fleet = format!("{}{}", workshop.fleet(), other.backend.entry("c"));
    let both = Gateway::start(&fleet);
    for (gateway, offered) in [(&gateway, true), (&both, false)] {
        // Told only once: wait until the backends are heard of.
        Stateful::open(&gateway.url(), "2025-11-25")
            .await
            .ask("tools/list", json!({}))
            .await;
        for (revision, offered) in [("2025-11-25", offered), ("2025-06-18", false)] {
            let session = Stateful::open(&gateway.url(), revision).await;
            let capabilities = &session.initialized["result"]["capabilities"];
            let calls = &capabilities["tasks"]["requests"]["tools"]["call"];
            assert_eq!(calls.is_object(), offered, "{capabilities}");
            let tools = session.ask("tools/list", json!({})).await;
            let promised = tools.to_string().contains("taskSupport");
            assert_eq!(promised, offered, "{tools}");
        }
    }
    // Where it is not offered, asking for a task means nothing.
    let session = Stateful::open(&both.url(), "2025-11-25").await;
    let params = json!({"name": "b__work", "task": {"ttl": 1}});
    let called = session.ask("tools/call", params).await;
    assert_eq!(called["result"]["content"][0]["text"], "done", "{called}");
    let list = session.ask("tasks/list", json!({})).await;
    assert_eq!(list["error"]["code"], -32601, "{list}");
}

#[tokio::test]
async fn a_session_hears_how_its_tasks_get_on() {
    let (workshop, gateway) = fixture().await;
    let mut client = live(&gateway).await;
    client.listen().await;
    let id = task_of(&mut client, "b__long").await;
    let seen = workshop.backend.saw("tools/call").await;
    for native in ["native-7", "native-1"] {
        let task = json!({"taskId": native, "status": "working", "ttl": null, "pollInterval": 5});
        let method = "notifications/tasks/status";
        workshop
            .backend
            .announce_in(&seen.session, method, task)
            .await;
    }
    let told = client.notified("notifications/tasks/status").await;
    assert_eq!(
        told["params"],
        json!({"taskId": id, "status": "working", "ttl": null, "pollInterval": 5})
    );
}
