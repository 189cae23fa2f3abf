//! Between two stateless peers: what a backend asks by a result passes through, in the backend's own shape.

use serde_json::{Value, json};

use crate::support::inquiry::{
    all_told, answers_to, form, lists, requests, roots, sampling_with_tools, told, url,
};
use crate::support::rounds::result_of;
use crate::support::scene::{STATELESS, Scene};
use crate::support::{Detached, Gateway, Reaction};

#[tokio::test]
async fn every_question_and_answer_passes_through_over_http_and_pipes() {
    let rounds = vec![
        vec![form("one"), url("two")],
        vec![sampling_with_tools("three"), roots("four")],
    ];
    for (way, revision) in STATELESS {
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        for client in [Detached::http(&gateway), Detached::pipe(&scene.fleet())] {
            for (method, params) in requests() {
                let (asked, response) = client.converse(method, &params).await;
                let shown = format!("{method}, {}, {}", client.shown(), scene.shown);
                assert_eq!(told(&response), all_told(&rounds), "{shown}: {response}");
                assert_eq!(asked.len(), 2, "{shown}");
                for (asked, round) in asked.iter().zip(&rounds) {
                    assert!(!asked.to_string().contains("native"), "{shown}: {asked}");
                    for question in round {
                        // Keys are the backend's own, and so are methods.
                        let request = &asked["inputRequests"][question.key];
                        assert_eq!(request["method"], question.method, "{shown}: {asked}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_backend_decides_itself_about_answers_that_are_missing_or_too_many() {
    let scene = Scene::asking(STATELESS[0].0, "2026-07-28", vec![vec![form("one")]]).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let params = json!({"name": "b__ask"});
    let asked = client.result("tools/call", params.clone()).await;
    for answers in [
        json!({}),
        json!({"one": {"action": "cancel"}, "x": {"y": [1]}}),
    ] {
        let response = client
            .retry("tools/call", &params, &asked, answers.clone())
            .await;
        assert_eq!(told(&response), json!([answers]), "{response}");
    }
}

#[tokio::test]
async fn what_the_client_really_lacks_is_told_as_the_backend_told_it() {
    let script = |method: &str, params: &Value| {
        if method != "tools/call" {
            return lists("2026-07-28", method);
        }
        let declared = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
        if declared["elicitation"].is_object() {
            return Some(Reaction::Result(json!({"content": []})));
        }
        let data = json!({"requiredCapabilities": {"elicitation": {"form": {}}}});
        Some(Reaction::Error(
            json!({"code": -32021, "message": "elicitation is needed", "data": data}),
        ))
    };
    let scene = Scene::scripted(STATELESS[0].0, "2026-07-28", script).await;
    let gateway = Gateway::start(&scene.fleet());
    let able = Detached::http(&gateway);
    let params = json!({"name": "b__ask"});
    result_of(able.ask("tools/call", params.clone()).await);
    let unable = Detached::http(&gateway).declaring(json!({}));
    let answer = unable.post("tools/call", params, json!({})).await;
    assert_eq!(answer.status, 400);
    let refused = answer.json().await;
    assert_eq!(refused["error"]["code"], -32021, "{refused}");
    let required = &refused["error"]["data"]["requiredCapabilities"];
    assert!(required["elicitation"]["form"].is_object(), "{refused}");
}

#[tokio::test]
async fn a_result_that_only_has_a_state_passes_through_too() {
    let script = |method: &str, params: &Value| {
        if method != "tools/call" {
            return lists("2026-07-28", method);
        }
        Some(Reaction::Result(match params["requestState"].as_str() {
            None => json!({"resultType": "input_required", "requestState": "native-later"}),
            Some("native-later") => {
                json!({"content": [{"type": "text", "text": params.get("inputResponses").is_none().to_string()}]})
            }
            Some(other) => panic!("the backend got the state {other}"),
        }))
    };
    let scene = Scene::scripted(STATELESS[0].0, "2026-07-28", script).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let mut params = json!({"name": "b__ask"});
    let asked = client.result("tools/call", params.clone()).await;
    assert!(asked.get("inputRequests").is_none(), "{asked}");
    params["requestState"] = asked["requestState"].clone();
    let response = client.ask("tools/call", params).await;
    assert_eq!(
        crate::support::offering::text(&response),
        "true",
        "{response}"
    );
}

#[tokio::test]
async fn a_question_that_a_client_did_not_declare_is_not_handed_on() {
    let scene = Scene::asking(STATELESS[0].0, "2026-07-28", vec![vec![form("one")]]).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway).declaring(json!({"sampling": {}}));
    let refused = client.ask("tools/call", json!({"name": "b__ask"})).await;
    assert_ne!(
        refused["result"]["resultType"], "input_required",
        "{refused}"
    );
    let clear = refused["error"]["code"].is_i64() || refused["result"]["isError"] == true;
    assert!(clear, "{refused}");
    assert_eq!(answers_to(&json!({"inputRequests": {}})), json!({}));
}
