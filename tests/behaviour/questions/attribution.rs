//! Where a question has no stream that says to whom it belongs, it still reaches the one who called, and nobody else.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify};

use crate::support::backend::Running;
use crate::support::inquiry::{answer_to, answers_to, form, lists, told};
use crate::support::live::{Live, everything};
use crate::support::offering::text;
use crate::support::rounds::result_of;
use crate::support::scene::{Scene, Way};
use crate::support::{Detached, Gateway, Reaction};

/// A form whose message says who called.
fn personal(running: &Running) -> Value {
    let mut asked = form("name").params;
    asked["message"] = running.params["arguments"]["who"].clone();
    asked
}

fn ask(who: &str) -> Value {
    json!({"name": "b__ask", "arguments": {"who": who}, "_meta": {"progressToken": who}})
}

/// Asks whoever calls by name, and answers with the name of the answer.
fn personally(method: &str, params: &Value) -> Option<Reaction> {
    match method {
        "tools/call" if params["name"] == "ask" => Some(Reaction::run(async |running| {
            let asked = personal(&running);
            let mut answer = running.ask("elicitation/create", asked).await;
            let text = match answer["error"].take() {
                Value::Null => answer["result"]["content"]["name"].clone(),
                error => error,
            };
            json!({"content": [{"type": "text", "text": text.to_string()}]})
        })),
        "tools/call" => Some(Reaction::Result(json!({"content": []}))),
        _ => lists("2025-11-25", method),
    }
}

/// Calls as `who`, and checks that the question is its own and that its own answer comes back.
async fn calls_as(client: &mut Live, who: &str) {
    let mine = |question: &Value| {
        assert_eq!(question["params"]["message"], who, "a bystander was asked");
        json!({"action": "accept", "content": {"name": format!("I am {who}")}})
    };
    let (questions, response) = client.converse("tools/call", ask(who), mine).await;
    assert_eq!(questions.len(), 1, "{who}: {response}");
    assert_eq!(text(&response), format!("\"I am {who}\""), "{who}");
}

async fn client_of(gateway: &Gateway) -> Live {
    Live::http(gateway, "2025-11-25", everything("2025-11-25")).await
}

#[tokio::test]
async fn callers_that_share_a_process_are_each_asked_their_own() {
    let scene = Scene::scripted(Way::Pipe, "2025-11-25", personally).await;
    let gateway = Gateway::start(&scene.fleet());
    // That it asks is known once it has asked.
    calls_as(&mut client_of(&gateway).await, "first").await;
    let mut calling = tokio::task::JoinSet::new();
    for number in 0..4 {
        let mut client = client_of(&gateway).await;
        calling.spawn(async move {
            for round in 0..3 {
                calls_as(&mut client, &format!("{number}-{round}")).await;
            }
        });
    }
    while let Some(done) = calling.join_next().await {
        done.unwrap();
    }
    let sessions: std::collections::BTreeSet<_> = scene
        .backend
        .seen()
        .into_iter()
        .filter(|seen| seen.message["method"] == "tools/call")
        .map(|seen| seen.session)
        .collect();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
}

#[tokio::test]
async fn stateless_callers_of_one_process_are_each_asked_their_own() {
    let scene = Scene::scripted(Way::Pipe, "2025-11-25", personally).await;
    let gateway = Gateway::start(&scene.fleet());
    calls_as(&mut client_of(&gateway).await, "first").await;
    let calls = (0..6).map(async |number| {
        let client = Detached::http(&gateway);
        let who = format!("caller {number}");
        let mut params = ask(&who);
        params.as_object_mut().unwrap().remove("_meta");
        let asked = client.result("tools/call", params.clone()).await;
        let requests = asked["inputRequests"].as_object().unwrap();
        let (key, request) = requests.iter().next().unwrap();
        assert_eq!(request["params"]["message"], who, "a bystander was asked");
        let answers = json!({key: {"action": "accept", "content": {"name": who}}});
        let response = client.retry("tools/call", &params, &asked, answers).await;
        assert_eq!(text(&response), format!("\"{who}\""));
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn a_progress_token_in_a_question_says_whose_it_is() {
    for way in [Way::Pipe, Way::Beside] {
        let both = Arc::new(Barrier::new(2));
        let script = move |method: &str, params: &Value| {
            if method != "tools/call" || params["name"] != "ask" {
                return personally(method, params);
            }
            let both = both.clone();
            Some(Reaction::run(async move |running: Running| {
                // Both are there before either asks.
                both.wait().await;
                let mut asked = personal(&running);
                asked["_meta"]["progressToken"] = running.params["_meta"]["progressToken"].clone();
                let asked = if way == Way::Beside {
                    running.begin_beside("elicitation/create", asked).await
                } else {
                    running.begin("elicitation/create", asked).await
                };
                let answer = asked.answer().await;
                let text = answer["result"]["content"]["name"].to_string();
                json!({"content": [{"type": "text", "text": text}]})
            }))
        };
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let gateway = Gateway::start(&scene.fleet_with("sessions: per-principal"));
        let (mut one, mut other) = (client_of(&gateway).await, client_of(&gateway).await);
        tokio::join!(calls_as(&mut one, "one"), calls_as(&mut other, "other"));
    }
}

#[tokio::test]
async fn a_caller_with_a_process_of_its_own_needs_no_turn() {
    let both = Arc::new(Barrier::new(2));
    let script = move |method: &str, params: &Value| {
        if method != "tools/call" || params["name"] != "ask" {
            return personally(method, params);
        }
        let both = both.clone();
        Some(Reaction::run(async move |running: Running| {
            let asked = running.begin("elicitation/create", personal(&running));
            let asked = asked.await;
            // Both are asked before either is answered.
            both.wait().await;
            let answer = asked.answer().await;
            let text = answer["result"]["content"]["name"].to_string();
            json!({"content": [{"type": "text", "text": text}]})
        }))
    };
    let scene = Scene::scripted(Way::Pipe, "2025-11-25", script).await;
    let gateway = Gateway::start(&scene.fleet_with("sessions: per-client"));
    let (mut one, mut other) = (client_of(&gateway).await, client_of(&gateway).await);
    tokio::join!(calls_as(&mut one, "one"), calls_as(&mut other, "other"));
}

#[tokio::test]
async fn a_question_that_could_be_anybodys_waits_until_it_is_clear_and_no_bystander_hears_it() {
    let go = Arc::new(Notify::new());
    let waits = go.clone();
    let script = move |method: &str, params: &Value| {
        if method != "tools/call" || params["name"] == "ask" {
            return personally(method, params);
        }
        let waits = waits.clone();
        Some(Reaction::run(async move |_| {
            waits.notified().await;
            json!({"content": []})
        }))
    };
    let scene = Scene::scripted(Way::Pipe, "2025-11-25", script).await;
    let gateway = Gateway::start(&scene.fleet());
    let (mut bystander, mut caller) = (client_of(&gateway).await, client_of(&gateway).await);
    bystander.listen().await;
    let slow = bystander
        .begin("tools/call", json!({"name": "b__plain"}))
        .await;
    scene.backend.runs(1).await;
    let id = caller.begin("tools/call", ask("caller")).await;
    scene.backend.runs(2).await;
    // Both are in flight at a process that nobody knew to ask, so whose question it is has to wait.
    go.notify_one();
    bystander.response(&slow).await;
    let question = caller.question(&id).await;
    assert_eq!(question["params"]["message"], "caller");
    caller.answer(&question, &answer_to(&question)).await;
    assert_eq!(text(&caller.response(&id).await), "\"my name\"");
    let heard = bystander.unasked();
    let asked = heard.iter().any(|message| !message["id"].is_null());
    assert!(!asked, "{heard:?}");
}

#[tokio::test]
async fn of_several_requests_of_one_client_the_newest_is_the_one_that_asks() {
    for way in [Way::Pipe, Way::Beside] {
        let go = Arc::new(Notify::new());
        let waits = go.clone();
        let script = move |method: &str, params: &Value| {
            let waits = waits.clone();
            match method {
                "tools/call" if params["name"] == "ask" => {
                    Some(Reaction::run(async move |running: Running| {
                        let asked = personal(&running);
                        let asked = if way == Way::Beside {
                            running.begin_beside("elicitation/create", asked).await
                        } else {
                            running.begin("elicitation/create", asked).await
                        };
                        asked.answer().await;
                        json!({"content": []})
                    }))
                }
                "tools/call" => Some(Reaction::run(async move |_| {
                    waits.notified().await;
                    json!({"content": []})
                })),
                _ => lists("2025-11-25", method),
            }
        };
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = client_of(&gateway).await;
        let older = client
            .begin("tools/call", json!({"name": "b__plain"}))
            .await;
        scene.backend.runs(1).await;
        let newer = client.begin("tools/call", ask("me")).await;
        let question = client.question(&newer).await;
        client.answer(&question, &answer_to(&question)).await;
        client.response(&newer).await;
        go.notify_one();
        client.response(&older).await;
    }
}

#[tokio::test]
async fn roots_that_are_asked_for_before_anything_was_called_are_asked_of_the_first_caller() {
    let scene = Scene::scripted(Way::Pipe, "2025-11-25", personally).await;
    let gateway = Gateway::start(&scene.fleet_with("sessions: per-client"));
    let mut client = client_of(&gateway).await;
    let mut bystander = client_of(&gateway).await;
    bystander.listen().await;
    client.ask("tools/call", json!({"name": "b__plain"})).await;
    let session = scene.backend.saw("tools/call").await.session;
    // Nothing is in flight now.
    let asked = scene
        .backend
        .ask_in(&session, "roots/list", Value::Null)
        .await;
    let id = client.begin("tools/call", ask("me")).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let question = client.question(&id).await;
        client.answer(&question, &answer_to(&question)).await;
        seen.push(question["method"].clone());
    }
    seen.sort_by_key(ToString::to_string);
    assert_eq!(seen, ["elicitation/create", "roots/list"]);
    client.response(&id).await;
    let answer = asked.answer().await;
    assert_eq!(
        answer["result"]["roots"][0]["uri"], "file:///work",
        "{answer}"
    );
    let heard = bystander.unasked();
    assert!(heard.iter().all(|one| one["id"].is_null()), "{heard:?}");
}

#[tokio::test]
async fn a_call_that_waits_for_its_user_holds_up_no_other_caller() {
    let scene = Scene::scripted(Way::Pipe, "2025-11-25", personally).await;
    let gateway = Gateway::start(&scene.fleet());
    let (mut slow, mut quick) = (client_of(&gateway).await, client_of(&gateway).await);
    let id = slow.begin("tools/call", ask("slow")).await;
    let question = slow.question(&id).await;
    for round in 0..3 {
        calls_as(&mut quick, &format!("quick {round}")).await;
    }
    let parked = Detached::http(&gateway);
    let params = ask("parked");
    let asked = parked.result("tools/call", params.clone()).await;
    calls_as(&mut quick, "quick again").await;
    slow.answer(&question, &answer_to(&question)).await;
    assert_eq!(text(&slow.response(&id).await), "\"my name\"");
    let answers = answers_to(&asked);
    let response = result_of(parked.retry("tools/call", &params, &asked, answers).await);
    assert_eq!(response["content"][0]["text"], "\"my name\"");
}

#[tokio::test]
async fn prompts_and_resources_of_different_callers_take_turns_too() {
    let rounds = vec![vec![form("name")]];
    let scene = Scene::asking(Way::Pipe, "2025-11-25", rounds).await;
    let gateway = Gateway::start(&scene.fleet());
    let calls = crate::support::inquiry::requests()
        .into_iter()
        .cycle()
        .take(9);
    // That it asks is known once it has asked.
    let mut first = client_of(&gateway).await;
    first
        .converse("tools/call", json!({"name": "b__ask"}), answer_to)
        .await;
    let calls = calls.map(async |(method, params)| {
        let mut client = client_of(&gateway).await;
        let (questions, response) = client.converse(method, params, answer_to).await;
        assert_eq!(questions.len(), 1, "{method}: {response}");
        told(&response)
    });
    for told in futures_util::future::join_all(calls).await {
        assert_eq!(told[0]["name"]["content"]["name"], "my name");
    }
}
