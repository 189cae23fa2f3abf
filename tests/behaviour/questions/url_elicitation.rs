//! Users that are sent to a URL: under whose id, who hears that it is done, and the error that older servers have for it.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::backend::Running;
use crate::support::inquiry::{answer_to, answers_to, form, lists, native_elicitation, told, url};
use crate::support::live::{Live, everything};
use crate::support::offering::text;
use crate::support::rounds::result_of;
use crate::support::scene::{Scene, Way};
use crate::support::{Detached, Gateway, Reaction};

async fn client_of(gateway: &Gateway) -> Live {
    Live::http(gateway, "2025-11-25", everything("2025-11-25")).await
}

fn ask() -> Value {
    json!({"name": "b__ask", "arguments": {}})
}

const COMPLETE: &str = "notifications/elicitation/complete";

/// Sends the user to a page, and says after the call that this is done.
fn sends_to_a_page(method: &str, params: &Value) -> Option<Reaction> {
    match method {
        "tools/call" if params["name"] == "ask" => Some(Reaction::run(async |running| {
            let mut asked = url("page").params;
            asked["elicitationId"] = json!(native_elicitation("page"));
            let answer = running.ask("elicitation/create", asked).await;
            json!({"content": [{"type": "text", "text": answer["result"]["action"]}]})
        })),
        "tools/call" => Some(Reaction::Result(json!({"content": []}))),
        _ => lists("2025-11-25", method),
    }
}

#[tokio::test]
async fn whoever_was_sent_to_a_page_hears_that_it_is_done_by_an_id_of_ours() {
    for way in [Way::Http, Way::Pipe] {
        let scene = Scene::scripted(way, "2025-11-25", sends_to_a_page).await;
        let gateway = Gateway::start(&scene.fleet());
        let (mut client, mut bystander) = (client_of(&gateway).await, client_of(&gateway).await);
        client.listen().await;
        bystander.listen().await;
        bystander
            .ask("tools/call", json!({"name": "b__plain"}))
            .await;
        let (questions, response) = client.converse("tools/call", ask(), answer_to).await;
        assert_eq!(text(&response), "accept", "{}", scene.shown);
        let id = questions[0]["params"]["elicitationId"].clone();
        assert!(id.as_str().is_some_and(|id| !id.contains("native")), "{id}");
        let calls = scene.backend.seen();
        let call = |seen: &&crate::support::backend::Seen| seen.message["params"]["name"] == "ask";
        let session = calls.iter().find(call).unwrap().session.clone();
        // Of something that nobody was asked nobody hears.
        for native in ["native-elicitation-other", &native_elicitation("page")] {
            let done = json!({"elicitationId": native});
            scene.backend.announce_in(&session, COMPLETE, done).await;
        }
        let heard = client.notified(COMPLETE).await;
        assert_eq!(heard["params"]["elicitationId"], id, "{}", scene.shown);
        bystander
            .ask("tools/call", json!({"name": "b__plain"}))
            .await;
        for heard in [bystander.unasked(), client.unasked()].concat() {
            assert_ne!(heard["method"], COMPLETE, "{}: {heard}", scene.shown);
        }
    }
}

#[tokio::test]
async fn two_clients_that_were_sent_to_pages_hear_each_of_its_own() {
    let scene = Scene::scripted(Way::Http, "2025-11-25", sends_to_a_page).await;
    let gateway = Gateway::start(&scene.fleet());
    let mut clients = [client_of(&gateway).await, client_of(&gateway).await];
    for client in &mut clients {
        client.listen().await;
        client.converse("tools/call", ask(), answer_to).await;
    }
    let sessions: Vec<String> = scene
        .backend
        .seen()
        .into_iter()
        .filter(|seen| seen.message["method"] == "tools/call")
        .map(|seen| seen.session)
        .collect();
    let done = json!({"elicitationId": native_elicitation("page")});
    scene
        .backend
        .announce_in(&sessions[1], COMPLETE, done)
        .await;
    clients[1].notified(COMPLETE).await;
    clients[0].ask("ping", json!({})).await;
    let heard = clients[0].unasked();
    assert!(
        heard.iter().all(|one| one["method"] != COMPLETE),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_stateless_backend_sends_to_a_page_and_the_client_hears_when_all_is_done() {
    let scene = Scene::asking(Way::Http, "2026-07-28", vec![vec![url("page")]]).await;
    let gateway = Gateway::start(&scene.fleet());
    let mut client = client_of(&gateway).await;
    client.listen().await;
    let (questions, response) = client.converse("tools/call", ask(), answer_to).await;
    assert_eq!(told(&response), json!([{"page": {"action": "accept"}}]));
    let id = &questions[0]["params"]["elicitationId"];
    assert!(id.is_string(), "{questions:?}");
    let heard = client.notified(COMPLETE).await;
    assert_eq!(heard["params"]["elicitationId"], *id);
}

/// Refuses a call with -32042 until its page was visited.
fn wants_a_visit_first(
    visited: Arc<std::sync::atomic::AtomicBool>,
) -> impl Fn(&str, &Value) -> Option<Reaction> + Send + Sync {
    move |method, params| match method {
        "tools/call" | "prompts/get" if params["name"] == "ask" => {
            if visited.load(std::sync::atomic::Ordering::SeqCst) {
                let text = json!({"type": "text", "text": "welcome"});
                return Some(Reaction::Result(match method {
                    "tools/call" => json!({"content": [text]}),
                    _ => json!({"messages": [{"role": "user", "content": text}]}),
                }));
            }
            let entry = |key: &'static str| {
                let mut entry = url(key).params;
                entry["elicitationId"] = json!(native_elicitation(key));
                entry
            };
            let data = json!({"elicitations": [entry("one"), entry("two")]});
            Some(Reaction::Error(
                json!({"code": -32042, "message": "visit first", "data": data}),
            ))
        }
        _ => lists("2025-11-25", method),
    }
}

#[tokio::test]
async fn the_error_that_wants_a_visit_first_becomes_a_question_and_the_request_is_sent_again() {
    for way in [Way::Http, Way::Pipe] {
        for method in ["tools/call", "prompts/get"] {
            let visited = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let scene =
                Scene::scripted(way, "2025-11-25", wants_a_visit_first(visited.clone())).await;
            let gateway = Gateway::start(&scene.fleet());
            let client = Detached::http(&gateway);
            let params = json!({"name": "b__ask"});
            let asked = client.result(method, params.clone()).await;
            assert_eq!(asked["resultType"], "input_required", "{asked}");
            let text = asked.to_string();
            assert!(
                !text.contains("native") && !text.contains("elicitationId"),
                "{asked}"
            );
            let requests = asked["inputRequests"].as_object().unwrap();
            let mut urls: Vec<_> = requests.values().map(|one| &one["params"]["url"]).collect();
            urls.sort_by_key(ToString::to_string);
            assert_eq!(urls, ["https://pay.example/one", "https://pay.example/two"]);
            assert!(
                requests.values().all(|one| one["params"]["mode"] == "url"),
                "{asked}"
            );
            visited.store(true, std::sync::atomic::Ordering::SeqCst);
            // What the backend says of it only hastens what would happen anyway.
            let call = scene.backend.saw(method).await;
            for key in ["one", "two"] {
                let done = json!({"elicitationId": native_elicitation(key)});
                scene
                    .backend
                    .announce_in(&call.session, COMPLETE, done)
                    .await;
            }
            let answers = answers_to(&asked);
            let response = client.retry(method, &params, &asked, answers).await;
            assert_eq!(
                crate::support::offering::text(&response),
                "welcome",
                "{response}"
            );
            assert_eq!(scene.backend.count(method), 2);
        }
    }
}

#[tokio::test]
async fn a_user_who_does_not_go_there_is_not_sent_again_for_ever() {
    let visited = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let scene = Scene::scripted(Way::Http, "2025-11-25", wants_a_visit_first(visited)).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let asked = client.result("tools/call", ask()).await;
    let keys = asked["inputRequests"].as_object().unwrap().keys();
    let declined: serde_json::Map<_, _> = keys
        .map(|key| (key.clone(), json!({"action": "decline"})))
        .collect();
    let response = client
        .retry("tools/call", &ask(), &asked, Value::Object(declined))
        .await;
    let clear = response["result"]["isError"] == true || response["error"]["code"].is_i64();
    assert!(clear, "{response}");
    assert!(!response.to_string().contains("native"), "{response}");
}

#[tokio::test]
async fn a_stateless_client_without_urls_is_told_what_it_lacks() {
    let visited = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let scene = Scene::scripted(Way::Http, "2025-11-25", wants_a_visit_first(visited)).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway).declaring(json!({"elicitation": {"form": {}}}));
    let refused = client.ask("tools/call", ask()).await;
    assert_eq!(refused["error"]["code"], -32021, "{refused}");
    let required = &refused["error"]["data"]["requiredCapabilities"];
    assert!(required["elicitation"]["url"].is_object(), "{refused}");
}

#[tokio::test]
async fn a_client_of_its_time_gets_the_error_with_ids_of_ours_and_hears_when_it_is_done() {
    let visited = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let scene = Scene::scripted(Way::Http, "2025-11-25", wants_a_visit_first(visited)).await;
    let gateway = Gateway::start(&scene.fleet());
    let mut client = client_of(&gateway).await;
    client.listen().await;
    let refused = client.ask("tools/call", ask()).await;
    assert_eq!(refused["error"]["code"], -32042, "{refused}");
    assert!(!refused.to_string().contains("native"), "{refused}");
    let elicitations = refused["error"]["data"]["elicitations"].as_array().unwrap();
    assert_eq!(elicitations.len(), 2, "{refused}");
    let session = scene.backend.saw("tools/call").await.session;
    let done = json!({"elicitationId": native_elicitation("two")});
    scene.backend.announce_in(&session, COMPLETE, done).await;
    let heard = client.notified(COMPLETE).await;
    assert_eq!(
        heard["params"]["elicitationId"],
        elicitations[1]["elicitationId"]
    );
}

#[tokio::test]
async fn a_client_that_knows_no_urls_gets_the_error_in_words() {
    for (revision, declared) in [
        ("2025-06-18", everything("2025-06-18")),
        ("2025-11-25", json!({"elicitation": {"form": {}}})),
    ] {
        let visited = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let scene = Scene::scripted(Way::Http, "2025-11-25", wants_a_visit_first(visited)).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = Live::http(&gateway, revision, declared).await;
        let refused = client.ask("tools/call", ask()).await;
        assert_ne!(refused["error"]["code"], -32042, "{refused}");
        let readable =
            refused["result"]["isError"] == true || refused["error"]["message"].is_string();
        assert!(
            readable && !refused.to_string().contains("native"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn that_a_page_is_done_wakes_nobody_else_while_a_stateless_client_is_away() {
    // A stateless client hears of nothing: its answer to the question is all there is.
    let go = Arc::new(Notify::new());
    let waits = go.clone();
    let script = move |method: &str, params: &Value| {
        if method != "tools/call" || params["name"] != "ask" {
            return sends_to_a_page(method, params);
        }
        let waits = waits.clone();
        Some(Reaction::run(async move |running: Running| {
            let mut asked = url("page").params;
            asked["elicitationId"] = json!(native_elicitation("page"));
            running.ask("elicitation/create", asked).await;
            waits.notified().await;
            running
                .say(
                    COMPLETE,
                    json!({"elicitationId": native_elicitation("page")}),
                )
                .await;
            running.ask("elicitation/create", form("name").params).await;
            json!({"content": [{"type": "text", "text": "paid"}]})
        }))
    };
    let scene = Scene::scripted(Way::Http, "2025-11-25", script).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let asked = client.result("tools/call", ask()).await;
    go.notify_one();
    let answers = answers_to(&asked);
    let second = result_of(client.retry("tools/call", &ask(), &asked, answers).await);
    assert!(!second.to_string().contains("native"), "{second}");
    let answers = answers_to(&second);
    let response = client.retry("tools/call", &ask(), &second, answers).await;
    assert_eq!(text(&response), "paid", "{response}");
}
