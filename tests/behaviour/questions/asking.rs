//! Clients with a session, or a pipe, are asked in the middle of their request, whatever the backend speaks.

use serde_json::{Value, json};

use crate::support::inquiry::{
    all_between, all_told, answer_to, form, requests, roots, sampling, told, url,
};
use crate::support::live::{Live, everything};
use crate::support::scene::{STATEFUL, STATELESS, Scene, Way};
use crate::support::{Gateway, Reaction, STATEFUL_REVISIONS};

fn every_backend() -> impl Iterator<Item = (Way, &'static str)> {
    STATEFUL.into_iter().chain(STATELESS)
}

/// A backend of `revision` that asks what the client's revision, which it finds in the arguments, allows.
async fn scene(way: Way, revision: &'static str) -> Scene {
    let choose = move |params: &Value| {
        let client = params["arguments"]["client"].as_str().unwrap();
        all_between(client, revision)
    };
    Scene::choosing(way, revision, choose).await
}

/// Nothing of the backend's hop is in what the client was asked, and it says who asks.
fn is_our_own(question: &Value, shown: &str) {
    let text = question.to_string();
    for foreign in [
        "native",
        "progressToken",
        "io.modelcontextprotocol",
        "requestState",
    ] {
        assert!(!text.contains(foreign), "{shown}: {question}");
    }
    assert_eq!(
        question["params"]["_meta"]["dev.isthmus/backend"], "b",
        "{shown}: {question}"
    );
}

async fn is_asked_everything(client: &mut Live, scene: &Scene, revision: &str) {
    let shown = format!("{}, {}", client.shown(), scene.shown);
    let params = json!({"name": "b__ask", "arguments": {"client": client.revision}});
    let (questions, response) = client.converse("tools/call", params, answer_to).await;
    let rounds = all_between(client.revision, revision);
    assert_eq!(told(&response), all_told(&rounds), "{shown}: {response}");
    assert!(response["result"].get("resultType").is_none(), "{shown}");
    let mut ids: Vec<_> = questions.iter().map(|one| one["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(
        ids.len(),
        rounds.iter().flatten().count(),
        "{shown}: {questions:?}"
    );
    for question in &questions {
        is_our_own(question, &shown);
        let is_url = question["params"]["mode"] == "url";
        let id = &question["params"]["elicitationId"];
        assert_eq!(id.is_string(), is_url, "{shown}: {question}");
    }
}

#[tokio::test]
async fn every_question_reaches_the_client_and_every_answer_the_backend() {
    for (way, revision) in every_backend() {
        let scene = scene(way, revision).await;
        let gateway = Gateway::start(&scene.fleet());
        for client_revision in STATEFUL_REVISIONS {
            let all = everything(client_revision);
            let mut client = Live::http(&gateway, client_revision, all).await;
            is_asked_everything(&mut client, &scene, revision).await;
        }
        let mut client = Live::sse(&gateway, everything("2024-11-05")).await;
        is_asked_everything(&mut client, &scene, revision).await;
    }
}

#[tokio::test]
async fn the_same_over_a_pipe() {
    for (way, revision) in every_backend() {
        let scene = scene(way, revision).await;
        for client_revision in ["2024-11-05", "2025-11-25"] {
            let all = everything(client_revision);
            let mut client = Live::pipe(&scene.fleet(), client_revision, all).await;
            is_asked_everything(&mut client, &scene, revision).await;
        }
    }
}

#[tokio::test]
async fn prompts_and_resources_may_ask_like_tools() {
    let rounds = vec![vec![form("name")], vec![sampling("it"), roots("r")]];
    for (way, revision) in [
        (Way::Http, "2025-11-25"),
        (Way::Pipe, "2025-06-18"),
        (Way::Http, "2026-07-28"),
    ] {
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = Live::http(&gateway, "2025-11-25", everything("2025-11-25")).await;
        for (method, params) in requests() {
            let (questions, response) = client.converse(method, params, answer_to).await;
            let shown = format!("{method}, {}: {response}", scene.shown);
            assert_eq!(questions.len(), 3, "{shown}");
            assert_eq!(told(&response), all_told(&rounds), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_question_comes_on_the_stream_of_its_own_request_and_on_no_other() {
    for (way, revision) in [
        (Way::Http, "2025-11-25"),
        (Way::Beside, "2025-11-25"),
        (Way::Http, "2026-07-28"),
    ] {
        let scene = Scene::asking(way, revision, vec![vec![form("name")]]).await;
        let gateway = Gateway::start(&scene.fleet());
        let all = everything("2025-11-25");
        let mut asked = Live::http(&gateway, "2025-11-25", all.clone()).await;
        let mut bystander = Live::http(&gateway, "2025-11-25", all).await;
        asked.listen().await;
        bystander.listen().await;
        // What it has open says nothing to the backend that asks.
        bystander
            .ask("tools/call", json!({"name": "b__plain"}))
            .await;
        let id = asked.begin("tools/call", json!({"name": "b__ask"})).await;
        let question = asked.question(&id).await;
        // Somebody else's answer is not taken, whatever it says.
        let forged = json!({"action": "accept", "content": {"name": "forged"}});
        bystander.answer(&question, &forged).await;
        bystander.ask("ping", json!({})).await;
        asked.answer(&question, &answer_to(&question)).await;
        let response = asked.response(&id).await;
        assert_eq!(
            told(&response),
            json!([{"name": answer_to(&question)}]),
            "{}",
            scene.shown
        );
        let heard = bystander.unasked();
        assert!(
            heard.iter().all(|message| message["id"].is_null()),
            "{}: {heard:?}",
            scene.shown
        );
    }
}

#[tokio::test]
async fn what_is_asked_at_once_may_be_answered_in_any_order() {
    let rounds = vec![vec![
        form("one"),
        sampling("two"),
        form("three"),
        roots("r"),
    ]];
    for (way, revision) in [
        (Way::Http, "2025-11-25"),
        (Way::Beside, "2025-11-25"),
        (Way::Pipe, "2025-11-25"),
        (Way::Http, "2026-07-28"),
    ] {
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = Live::http(&gateway, "2025-11-25", everything("2025-11-25")).await;
        let id = client.begin("tools/call", json!({"name": "b__ask"})).await;
        let mut questions = Vec::new();
        while questions.len() < 4 {
            questions.push(client.question(&id).await);
        }
        for question in questions.iter().rev() {
            client.answer(question, &answer_to(question)).await;
        }
        let response = client.response(&id).await;
        assert_eq!(told(&response), all_told(&rounds), "{}", scene.shown);
    }
}

#[tokio::test]
async fn progress_and_logs_go_on_while_a_question_is_open() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" if params["name"] == "ask" => Some(Reaction::run(async |running| {
            running.progress(1).await;
            let asked = running.begin("roots/list", Value::Null).await;
            running.progress(2).await;
            let log = json!({"level": "info", "data": "meanwhile"});
            running.say("notifications/message", log).await;
            asked.answer().await;
            running.progress(3).await;
            json!({"content": []})
        })),
        _ => crate::support::inquiry::lists("2025-11-25", method),
    };
    for way in [Way::Http, Way::Pipe] {
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = Live::http(&gateway, "2025-11-25", everything("2025-11-25")).await;
        // On a pipe nothing says to which request a log message belongs.
        client.listen().await;
        client
            .ask("logging/setLevel", json!({"level": "debug"}))
            .await;
        let params = json!({"name": "b__ask", "_meta": {"progressToken": "mine"}});
        let id = client.begin("tools/call", params).await;
        let question = client.question(&id).await;
        let mut progress = Vec::new();
        while progress.last() != Some(&json!(2)) {
            let heard = client.notified("notifications/progress").await;
            assert_eq!(heard["params"]["progressToken"], "mine");
            progress.push(heard["params"]["progress"].clone());
        }
        let log = client.notified("notifications/message").await;
        assert_eq!(log["params"]["data"], "meanwhile", "{}", scene.shown);
        client.answer(&question, &answer_to(&question)).await;
        client.response(&id).await;
    }
}

#[tokio::test]
async fn a_client_of_2025_03_26_may_answer_in_a_batch() {
    let rounds = vec![vec![sampling("one"), roots("two")]];
    for (way, revision) in [
        (Way::Http, "2025-03-26"),
        (Way::Pipe, "2025-11-25"),
        (Way::Http, "2026-07-28"),
    ] {
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = Live::http(&gateway, "2025-03-26", everything("2025-03-26")).await;
        let id = client.begin("tools/call", json!({"name": "b__ask"})).await;
        let questions = [client.question(&id).await, client.question(&id).await];
        let batch = questions
            .iter()
            .map(|one| json!({"jsonrpc": "2.0", "id": one["id"], "result": answer_to(one)}));
        client.say(&batch.collect()).await;
        let response = client.response(&id).await;
        assert_eq!(told(&response), all_told(&rounds), "{}", scene.shown);
    }
}

#[tokio::test]
async fn where_several_backends_are_seen_an_elicitation_says_in_words_who_asks() {
    for (way, revision) in [(Way::Http, "2025-11-25"), (Way::Http, "2026-07-28")] {
        let asked = vec![vec![form("name"), url("page"), sampling("it")]];
        let scene = Scene::asking(way, revision, asked).await;
        let other = Scene::asking(Way::Http, "2025-11-25", Vec::new()).await;
        let fleet = format!("{}{}", scene.fleet(), other.backend.entry("other"));
        let gateway = Gateway::start(&fleet);
        let mut client = Live::http(&gateway, "2025-11-25", everything("2025-11-25")).await;
        let params = json!({"name": "b__ask"});
        let (questions, _) = client.converse("tools/call", params, answer_to).await;
        for question in questions {
            is_our_own(&question, &scene.shown);
            if let Some(message) = question["params"]["message"].as_str() {
                assert!(message.starts_with("b: "), "{question}");
            }
        }
    }
}

#[tokio::test]
async fn the_meta_of_a_question_loses_what_belongs_to_the_hop_and_keeps_the_rest() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" if params["name"] == "ask" => Some(Reaction::run(async |running| {
            let mut asked = form("name").params;
            asked["_meta"] = json!({
                "progressToken": "native", "io.modelcontextprotocol/related-task": {"taskId": "native"}, "x.example/kept": [1],
            });
            asked["x-unknown"] = json!({"kept": true});
            running.ask("elicitation/create", asked).await;
            json!({"content": []})
        })),
        _ => crate::support::inquiry::lists("2025-11-25", method),
    };
    let scene = Scene::scripted(Way::Http, "2025-11-25", script).await;
    let gateway = Gateway::start(&scene.fleet());
    let mut client = Live::http(&gateway, "2025-11-25", everything("2025-11-25")).await;
    let params = json!({"name": "b__ask"});
    let (questions, _) = client.converse("tools/call", params, answer_to).await;
    is_our_own(&questions[0], &scene.shown);
    let params = &questions[0]["params"];
    assert_eq!(params["_meta"]["x.example/kept"], json!([1]), "{params}");
    assert_eq!(params["x-unknown"], json!({"kept": true}), "{params}");
}
