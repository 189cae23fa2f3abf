//! Tools that a server has only for clients that can be asked something, as the public server-everything does.

use serde_json::{Value, json};

use crate::support::backend::Running;
use crate::support::inquiry::{answer_to, finished, form};
use crate::support::live::{Live, everything};
use crate::support::offering::{keys, text, tools};
use crate::support::scene::{Scene, Way};
use crate::support::{Detached, Gateway, Reaction};

/// Lists `ask` only in sessions in which somebody can be asked, and knows it in no other.
fn careful(method: &str, params: &Value) -> Option<Reaction> {
    match method {
        "tools/list" => Some(Reaction::run(async |running: Running| {
            let asks = running.declared()["elicitation"].is_object();
            let names: &[_] = if asks { &["ask", "plain"] } else { &["plain"] };
            json!({"tools": tools(names)})
        })),
        "tools/call" if params["name"] == "ask" => Some(Reaction::run(async |running: Running| {
            if !running.declared()["elicitation"].is_object() {
                return json!({"error": {"code": -32602, "message": "no tool `ask`"}});
            }
            running.ask("elicitation/create", form("name").params).await;
            finished("tools/call", &json!("asked"))
        })),
        "tools/call" => Some(Reaction::Result(finished(method, &json!("plain")))),
        _ => None,
    }
}

#[tokio::test]
async fn they_are_listed_once_a_client_that_can_be_asked_looks_and_cost_no_second_process() {
    let scene = Scene::scripted(Way::Pipe, "2025-11-25", careful).await;
    let gateway = Gateway::start(&scene.fleet());
    let nobody = Detached::http(&gateway).declaring(json!({}));
    assert_eq!(
        keys(&nobody.ask("tools/list", json!({})).await),
        ["b__plain"]
    );
    let mut client = Live::http(&gateway, "2025-11-25", everything("2025-11-25")).await;
    client.listen().await;
    while !keys(&client.ask("tools/list", json!({})).await).contains(&"b__ask".to_owned()) {
        client.notified("notifications/tools/list_changed").await;
    }
    let ask = json!({"name": "b__ask"});
    let (questions, response) = client.converse("tools/call", ask.clone(), answer_to).await;
    assert_eq!(questions.len(), 1, "{response}");
    assert_eq!(text(&response), "\"asked\"", "{response}");
    let pids = crate::support::child::pids(scene.folder(), "b");
    let alive = pids
        .iter()
        .filter(|pid| crate::support::child::is_alive(**pid));
    assert_eq!(alive.count(), 1, "{pids:?}");
    // One of 2026-07-28 finds it as well.
    let (rounds, response) = Detached::http(&gateway).converse("tools/call", &ask).await;
    assert_eq!((rounds.len(), text(&response)), (1, "\"asked\""));
    // Who cannot be asked has a process of its own, in which the tool is not.
    let refused = nobody.ask("tools/call", ask).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}
