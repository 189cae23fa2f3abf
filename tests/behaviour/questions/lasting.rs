//! What becomes of a request that waits for answers while the gateway changes, ends, or is started again.

use serde_json::{Value, json};

use crate::support::backend::Seen;
use crate::support::child::{gone, is_alive, pids};
use crate::support::inquiry::{Rounds, all_told, answers_to, form, told};
use crate::support::rounds::result_of;
use crate::support::scene::{Scene, Way};
use crate::support::{Backend, Detached, Gateway, Live, Reaction};

const WAYS: [Way; 2] = [Way::Http, Way::Pipe];

fn ask() -> Value {
    json!({"name": "b__ask", "arguments": {}})
}

async fn two_rounds(way: Way) -> (Scene, Rounds) {
    let rounds = vec![vec![form("one")], vec![form("two")]];
    (
        Scene::asking(way, "2025-11-25", rounds.clone()).await,
        rounds,
    )
}

/// Another backend, to have something else in a config.
async fn other() -> Backend {
    Backend::start("2025-11-25", |method, _| {
        let tools = crate::support::offering::tools(&["t"]);
        (method == "tools/list").then(|| Reaction::Result(json!({"tools": tools})))
    })
    .await
}

/// Goes on with a request that was asked once already, to its end.
async fn finishes(client: &Detached, asked: &Value, rounds: &Rounds) {
    let answers = answers_to(asked);
    let second = result_of(client.retry("tools/call", &ask(), asked, answers).await);
    let answers = answers_to(&second);
    let response = client.retry("tools/call", &ask(), &second, answers).await;
    assert_eq!(told(&response), all_told(rounds), "{response}");
}

/// An answer to the backend's own question.
fn is_answer(seen: &Seen) -> bool {
    seen.message["method"].is_null() && !seen.message["id"].is_null()
}

#[tokio::test]
async fn it_outlasts_a_reload_that_leaves_its_backend_alone() {
    for way in WAYS {
        let (scene, rounds) = two_rounds(way).await;
        let gateway = Gateway::start(&scene.fleet());
        let client = Detached::http(&gateway);
        let asked = client.result("tools/call", ask()).await;
        let entry = other().await.entry("other");
        gateway.rewrite_config(&format!("{}{entry}", scene.fleet()));
        while !client
            .ask("tools/list", json!({}))
            .await
            .to_string()
            .contains("other__t")
        {}
        finishes(&client, &asked, &rounds).await;
        assert_eq!(scene.backend.count("tools/call"), 1, "{}", scene.shown);
    }
}

#[tokio::test]
async fn it_outlasts_the_leaving_of_its_backend() {
    for way in WAYS {
        let (scene, rounds) = two_rounds(way).await;
        let other = other().await;
        let both = format!("{}{}", scene.fleet(), other.entry("other"));
        let gateway = Gateway::start(&both);
        let client = Detached::http(&gateway);
        let asked = client.result("tools/call", ask()).await;
        gateway.rewrite_config(&format!("backends:\n{}", other.entry("other")));
        while client
            .ask("tools/list", json!({}))
            .await
            .to_string()
            .contains("b__ask")
        {}
        // Nothing new reaches a backend that left, and what is in flight is finished.
        let new = client.ask("tools/call", ask()).await;
        assert_eq!(new["error"]["code"], -32602, "{}: {new}", scene.shown);
        finishes(&client, &asked, &rounds).await;
    }
}

#[tokio::test]
async fn a_gateway_that_ends_tells_the_backend_that_nobody_will_answer() {
    for way in WAYS {
        let (scene, _) = two_rounds(way).await;
        let fleet = format!("bounds: {{drain: 1s}}\n{}", scene.fleet());
        let mut gateway = Gateway::start(&fleet);
        let client = Detached::http(&gateway);
        client.result("tools/call", ask()).await;
        gateway.signal("TERM");
        let answer = scene.backend.saw_where(is_answer).await.message;
        assert_eq!(answer["result"], json!({"action": "cancel"}), "{answer}");
        assert!(gateway.ends().await.success(), "{}", scene.shown);
        if way == Way::Pipe {
            gone(&pids(scene.folder(), "b")).await;
        } else {
            scene.backend.has_open_sessions(0).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_comes_back_to_a_gateway_that_was_started_again_learns_what_to_do() {
    for way in WAYS {
        let (scene, rounds) = two_rounds(way).await;
        let gateway = Gateway::start(&scene.fleet());
        let asked = Detached::http(&gateway).result("tools/call", ask()).await;
        let before = pids(scene.folder(), "b");
        let gateway = gateway.killed_and_started_again(&scene.fleet());
        let client = Detached::http(&gateway);
        let answers = answers_to(&asked);
        let late = client.retry("tools/call", &ask(), &asked, answers).await;
        let clear = late["error"]["code"] == -32602 || late["result"]["isError"] == true;
        assert!(clear, "{}: {late}", scene.shown);
        let said = late.to_string();
        assert!(said.contains("again") || said.contains("expired"), "{late}");
        gone(&before).await;
        // The same request works from the beginning.
        let asked = client.result("tools/call", ask()).await;
        finishes(&client, &asked, &rounds).await;
    }
}

#[tokio::test]
async fn a_client_with_a_session_is_asked_while_the_config_changes_and_may_still_answer() {
    for (way, revision) in [
        (Way::Http, "2025-11-25"),
        (Way::Pipe, "2025-11-25"),
        (Way::Http, "2026-07-28"),
    ] {
        let rounds = vec![vec![form("one")], vec![form("two")]];
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let other = other().await;
        let gateway = Gateway::start(&scene.fleet());
        let all = crate::support::live::everything("2025-11-25");
        let mut client = Live::http(&gateway, "2025-11-25", all).await;
        let id = client.begin("tools/call", ask()).await;
        let first = client.question(&id).await;
        gateway.rewrite_config(&format!("{}{}", scene.fleet(), other.entry("other")));
        while !client
            .ask("tools/list", json!({}))
            .await
            .to_string()
            .contains("other__t")
        {}
        client
            .answer(&first, &crate::support::inquiry::answer_to(&first))
            .await;
        let second = client.question(&id).await;
        client
            .answer(&second, &crate::support::inquiry::answer_to(&second))
            .await;
        let response = client.response(&id).await;
        assert_eq!(told(&response), all_told(&rounds), "{}", scene.shown);
    }
}

#[tokio::test]
async fn a_stateless_dialogue_outlasts_a_gateway_that_is_killed() {
    let rounds = vec![vec![form("one")], vec![form("two")]];
    let scene = Scene::asking(Way::Http, "2026-07-28", rounds.clone()).await;
    let gateway = Gateway::start(&scene.fleet());
    let asked = Detached::http(&gateway).result("tools/call", ask()).await;
    let gateway = gateway.killed_and_started_again(&scene.fleet());
    finishes(&Detached::http(&gateway), &asked, &rounds).await;
}

#[tokio::test]
async fn a_parked_process_is_not_ended_as_idle() {
    let (scene, rounds) = two_rounds(Way::Pipe).await;
    let gateway = Gateway::start(&scene.fleet_with("idle: 100ms"));
    let client = Detached::http(&gateway);
    let asked = client.result("tools/call", ask()).await;
    let call = scene.backend.saw("tools/call").await;
    // Others come and go meanwhile, and each time what is idle would be looked for.
    for _ in 0..20 {
        client.ask("tools/call", json!({"name": "b__plain"})).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!call.session.is_empty());
    assert!(pids(scene.folder(), "b").iter().any(|pid| is_alive(*pid)));
    finishes(&client, &asked, &rounds).await;
}
