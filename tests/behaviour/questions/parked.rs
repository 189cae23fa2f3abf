//! A client of 2026-07-28 in front of a stateful backend that asks in the middle of a request: the request waits here,
//! the client gets `input_required`, and what it comes back with resumes it.

use serde_json::{Value, json};

use crate::support::inquiry::{
    Rounds, all_between, all_told, answer_to, answers_to, form, lists, requests, roots, sampling,
    told,
};
use crate::support::live::everything;
use crate::support::offering::text;
use crate::support::rounds::{result_of, retried};
use crate::support::scene::{STATEFUL, Scene, Way};
use crate::support::{Detached, Gateway, Reaction};

const HERE: [(Way, &str); 4] = [
    (Way::Http, "2025-11-25"),
    (Way::Beside, "2025-11-25"),
    (Way::Sse, "2024-11-05"),
    (Way::Pipe, "2025-11-25"),
];

fn ask() -> Value {
    json!({"name": "b__ask", "arguments": {"a": 1}})
}

/// What a client sees of a question is the gateway's own, and says who asks.
fn is_our_own(asked: &Value, shown: &str) {
    let text = asked.to_string();
    for foreign in ["native", "elicitationId", "progressToken", "related-task"] {
        assert!(!text.contains(foreign), "{shown}: {foreign} in {asked}");
    }
    for request in asked["inputRequests"].as_object().unwrap().values() {
        let meta = &request["params"]["_meta"];
        assert_eq!(meta["dev.isthmus/backend"], "b", "{shown}: {asked}");
        assert!(request.get("id").is_none(), "{shown}: {asked}");
    }
}

async fn two_rounds(way: Way, revision: &'static str) -> (Scene, Rounds) {
    let rounds = vec![vec![form("one")], vec![form("two")]];
    (Scene::asking(way, revision, rounds.clone()).await, rounds)
}

#[tokio::test]
async fn the_client_is_asked_round_by_round_and_the_backend_sees_one_request() {
    for (way, revision) in STATEFUL {
        let rounds = all_between(revision, "2026-07-28");
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        for client in [Detached::http(&gateway), Detached::pipe(&scene.fleet())] {
            let shown = format!("{}, {}", client.shown(), scene.shown);
            let before = scene.backend.count("tools/call");
            let (asked, response) = client.converse("tools/call", &ask()).await;
            assert_eq!(told(&response), all_told(&rounds), "{shown}: {response}");
            assert_eq!(response["result"]["resultType"], "complete", "{shown}");
            assert_eq!(asked.len(), 2, "{shown}: {asked:?}");
            for (asked, round) in asked.iter().zip(&rounds) {
                is_our_own(asked, &shown);
                let requests = asked["inputRequests"].as_object().unwrap();
                assert_eq!(requests.len(), round.len(), "{shown}: {asked}");
            }
            assert_eq!(scene.backend.count("tools/call"), before + 1, "{shown}");
        }
    }
}

#[tokio::test]
async fn prompts_and_resources_wait_like_tools() {
    let rounds = vec![vec![form("name")], vec![sampling("it"), roots("r")]];
    for (way, revision) in [(Way::Http, "2025-11-25"), (Way::Pipe, "2025-06-18")] {
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        let client = Detached::http(&gateway);
        for (method, params) in requests() {
            let (asked, response) = client.converse(method, &params).await;
            assert_eq!(asked.len(), 2, "{method}, {}", scene.shown);
            assert_eq!(told(&response), all_told(&rounds), "{method}: {response}");
        }
    }
}

#[tokio::test]
async fn the_envelope_of_a_retry_never_reaches_the_backend() {
    for (way, revision) in HERE {
        let asked = vec![vec![sampling("it")]];
        let scene = Scene::asking(way, revision, asked).await;
        let gateway = Gateway::start(&scene.fleet());
        Detached::http(&gateway)
            .converse("tools/call", &ask())
            .await;
        for seen in scene.backend.seen() {
            for foreign in [
                "requestState",
                "inputResponses",
                "io.modelcontextprotocol/client",
                "inputRequests",
            ] {
                // Which era it speaks had to be found out first.
                let method = &seen.message["method"];
                let probe = method == "server/discover" || method == "ping";
                assert!(probe || !seen.text.contains(foreign), "{}", seen.text);
            }
        }
    }
}

#[tokio::test]
async fn answers_that_are_missing_are_asked_for_again_and_the_backend_waits() {
    let rounds = vec![vec![form("one"), form("two"), form("three")]];
    for (way, revision) in [(Way::Http, "2025-11-25"), (Way::Pipe, "2025-11-25")] {
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        let client = Detached::http(&gateway);
        let asked = client.result("tools/call", ask()).await;
        let mut answers = answers_to(&asked);
        let all = answers.as_object_mut().unwrap();
        let kept = all.iter().next().unwrap().0.clone();
        all.retain(|key, _| *key == kept);
        // A key that nobody asked for is nobody's business.
        all.insert("stranger".to_owned(), json!({"action": "accept"}));
        let again = result_of(client.retry("tools/call", &ask(), &asked, answers).await);
        assert_eq!(again["resultType"], "input_required", "{again}");
        let missing = again["inputRequests"].as_object().unwrap();
        assert_eq!(missing.len(), 2, "{again}");
        for (key, request) in missing {
            assert_ne!(*key, kept);
            assert_eq!(*request, asked["inputRequests"][key], "{again}");
        }
        let answers = answers_to(&again);
        let response = client.retry("tools/call", &ask(), &again, answers).await;
        assert_eq!(told(&response), all_told(&rounds), "{response}");
    }
}

#[tokio::test]
async fn no_answer_at_all_is_the_same_question_again() {
    let (scene, rounds) = two_rounds(Way::Http, "2025-11-25").await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let asked = client.result("tools/call", ask()).await;
    let mut params = ask();
    params["requestState"] = asked["requestState"].clone();
    let again = client.result("tools/call", params).await;
    assert_eq!(again["inputRequests"], asked["inputRequests"], "{again}");
    let answers = answers_to(&again);
    let second = result_of(client.retry("tools/call", &ask(), &again, answers).await);
    let answers = answers_to(&second);
    let response = client.retry("tools/call", &ask(), &second, answers).await;
    assert_eq!(told(&response), all_told(&rounds), "{response}");
}

#[tokio::test]
async fn a_retry_that_comes_twice_gets_the_same_answer_twice() {
    for (way, revision) in HERE {
        let rounds = vec![vec![roots("one")], vec![sampling("two")]];
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        let client = Detached::http(&gateway);
        let first = client.result("tools/call", ask()).await;
        let retry = || client.retry("tools/call", &TOOL, &first, answers_to(&first));
        static TOOL: std::sync::LazyLock<Value> = std::sync::LazyLock::new(ask);
        // At the same time, and once more when it is known.
        let (one, other) = tokio::join!(retry(), retry());
        let one = result_of(one);
        assert_eq!(result_of(other)["inputRequests"], one["inputRequests"]);
        assert_eq!(
            result_of(retry().await)["inputRequests"],
            one["inputRequests"]
        );
        let last = || client.retry("tools/call", &TOOL, &one, answers_to(&one));
        let (this, that) = tokio::join!(last(), last());
        for response in [this, that, last().await] {
            assert_eq!(told(&response), all_told(&rounds), "{}", scene.shown);
        }
        // The first round is long over: it gets what there is to get now.
        assert_eq!(told(&retry().await), all_told(&rounds), "{}", scene.shown);
        assert_eq!(scene.backend.count("tools/call"), 1, "{}", scene.shown);
    }
}

#[tokio::test]
async fn a_stale_round_gets_the_questions_of_the_current_one() {
    let (scene, rounds) = two_rounds(Way::Http, "2025-11-25").await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let first = client.result("tools/call", ask()).await;
    let answers = answers_to(&first);
    let second = result_of(client.retry("tools/call", &ask(), &first, answers).await);
    let other = json!({"one": {"action": "decline"}, "two": {"action": "decline"}});
    let stale = result_of(client.retry("tools/call", &ask(), &first, other).await);
    assert_eq!(stale["inputRequests"], second["inputRequests"], "{stale}");
    let answers = answers_to(&stale);
    let response = client.retry("tools/call", &ask(), &stale, answers).await;
    assert_eq!(told(&response), all_told(&rounds), "{response}");
}

#[tokio::test]
async fn a_state_that_was_changed_or_belongs_elsewhere_is_refused_and_the_request_goes_on_waiting()
{
    for (way, revision) in [(Way::Http, "2025-11-25"), (Way::Pipe, "2025-11-25")] {
        let (scene, rounds) = two_rounds(way, revision).await;
        let fleet = format!("routes:\n  /mcp: {{}}\n  /other: {{}}\n{}", scene.fleet());
        let gateway = Gateway::start(&fleet);
        let client = Detached::http(&gateway);
        let first = client.result("tools/call", ask()).await;
        let state = first["requestState"].as_str().unwrap();
        let mut flipped: Vec<char> = state.chars().collect();
        let middle = flipped.len() / 2;
        flipped[middle] = if flipped[middle] == 'A' { 'B' } else { 'A' };
        let mut tampered = first.clone();
        for wrong in [
            flipped.into_iter().collect::<String>(),
            state[..state.len() - 1].to_owned(),
            format!("{state}A"),
            "native".to_owned(),
            String::new(),
        ] {
            tampered["requestState"] = json!(wrong);
            let answers = answers_to(&first);
            let refused = client.retry("tools/call", &ask(), &tampered, answers).await;
            assert_eq!(refused["error"]["code"], -32602, "{wrong}: {refused}");
        }
        let elsewhere = Detached::http_at(&gateway.at("/other"));
        let answers = answers_to(&first);
        let refused = elsewhere.retry("tools/call", &ask(), &first, answers).await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        for (method, params) in [
            (
                "tools/call",
                json!({"name": "b__other", "arguments": {"a": 1}}),
            ),
            (
                "tools/call",
                json!({"name": "b__ask", "arguments": {"a": 2}}),
            ),
            ("tools/call", json!({"name": "b__ask"})),
            (
                "prompts/get",
                json!({"name": "b__ask", "arguments": {"a": "1"}}),
            ),
            ("resources/read", json!({"uri": "ask://me"})),
        ] {
            let answers = answers_to(&first);
            let refused = client.retry(method, &params, &first, answers).await;
            assert_eq!(
                refused["error"]["code"], -32602,
                "{method} {params}: {refused}"
            );
        }
        let answers = answers_to(&first);
        let second = result_of(client.retry("tools/call", &ask(), &first, answers).await);
        let answers = answers_to(&second);
        let response = client.retry("tools/call", &ask(), &second, answers).await;
        assert_eq!(
            told(&response),
            all_told(&rounds),
            "{}: {response}",
            scene.shown
        );
    }
}

#[tokio::test]
async fn answers_in_no_shape_are_refused_and_the_request_goes_on_waiting() {
    let (scene, rounds) = two_rounds(Way::Http, "2025-11-25").await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let first = client.result("tools/call", ask()).await;
    let key = first["inputRequests"].as_object().unwrap().keys().next();
    let key = key.unwrap().clone();
    for wrong in [
        json!([]),
        json!("x"),
        json!(7),
        json!({&key: "x"}),
        json!({&key: [1]}),
    ] {
        let refused = client
            .retry("tools/call", &ask(), &first, wrong.clone())
            .await;
        assert_eq!(refused["error"]["code"], -32602, "{wrong}: {refused}");
    }
    let answers = answers_to(&first);
    let second = result_of(client.retry("tools/call", &ask(), &first, answers).await);
    let answers = answers_to(&second);
    let response = client.retry("tools/call", &ask(), &second, answers).await;
    assert_eq!(told(&response), all_told(&rounds), "{response}");
}

#[tokio::test]
async fn a_request_that_nobody_comes_back_to_expires_and_says_so() {
    for (way, revision) in HERE {
        let rounds = vec![vec![if revision == "2024-11-05" {
            sampling("it")
        } else {
            form("it")
        }]];
        let scene = Scene::asking(way, revision, rounds).await;
        let fleet = format!("bounds: {{park_lifetime: 300ms}}\n{}", scene.fleet());
        let gateway = Gateway::start(&fleet);
        let client = Detached::http(&gateway);
        let asked = client.result("tools/call", ask()).await;
        // The backend gets an answer, and then hears that nobody waits for its own.
        let answer = scene
            .backend
            .saw_where(|seen| seen.message["method"].is_null() && !seen.message["id"].is_null())
            .await
            .message;
        if revision == "2024-11-05" {
            assert!(answer["error"]["code"].is_i64(), "{answer}");
        } else {
            assert_eq!(answer["result"], json!({"action": "cancel"}), "{answer}");
        }
        let answers = answers_to(&asked);
        let late = client.retry("tools/call", &ask(), &asked, answers).await;
        let said = late.to_string();
        assert!(said.contains("expired"), "{}: {late}", scene.shown);
        let clear = late["error"]["code"] == -32602 || late["result"]["isError"] == true;
        assert!(clear, "{}: {late}", scene.shown);
        assert_eq!(scene.backend.count("tools/call"), 1, "{}", scene.shown);
    }
}

#[tokio::test]
async fn a_kind_that_this_request_did_not_declare_is_named_and_the_call_ends() {
    for (way, revision) in HERE {
        let (asked, declared, missing) = if revision == "2024-11-05" {
            (sampling("it"), json!({"elicitation": {}}), "sampling")
        } else {
            (form("it"), json!({"sampling": {}}), "elicitation")
        };
        let scene = Scene::asking(way, revision, vec![vec![asked]]).await;
        let gateway = Gateway::start(&scene.fleet());
        let client = Detached::http(&gateway).declaring(declared.clone());
        let answer = client.post("tools/call", ask(), json!({})).await;
        assert_eq!(answer.status, 400, "{}", scene.shown);
        let refused = answer.json().await;
        assert_eq!(refused["error"]["code"], -32021, "{refused}");
        let required = &refused["error"]["data"]["requiredCapabilities"];
        assert!(required[missing].is_object(), "{refused}");
        // What it asked is refused, or dismissed where it was taken back already.
        let of_the_backend = |seen: &crate::support::backend::Seen| {
            seen.message["error"]["code"].is_i64() || seen.message["result"]["action"] == "cancel"
        };
        scene.backend.saw_where(of_the_backend).await;
        let called = scene.backend.saw("tools/call").await;
        let cancelled = scene.backend.saw("notifications/cancelled").await.message;
        assert_eq!(cancelled["params"]["requestId"], called.message["id"]);
    }
}

#[tokio::test]
async fn what_a_retry_no_longer_declares_cannot_be_asked_in_it() {
    let rounds = vec![vec![form("one")], vec![sampling("two")]];
    let scene = Scene::asking(Way::Http, "2025-11-25", rounds).await;
    let gateway = Gateway::start(&scene.fleet());
    let asked = Detached::http(&gateway).result("tools/call", ask()).await;
    let less = Detached::http(&gateway).declaring(json!({"elicitation": {}}));
    let answers = answers_to(&asked);
    let refused = less.retry("tools/call", &ask(), &asked, answers).await;
    assert_eq!(refused["error"]["code"], -32021, "{refused}");
}

#[tokio::test]
async fn what_the_user_declines_reaches_the_backend_as_it_is() {
    for action in ["decline", "cancel"] {
        let rounds = vec![vec![form("it")]];
        let scene = Scene::asking(Way::Http, "2025-11-25", rounds).await;
        let gateway = Gateway::start(&scene.fleet());
        let client = Detached::http(&gateway);
        let asked = client.result("tools/call", ask()).await;
        let key = asked["inputRequests"].as_object().unwrap().keys().next();
        let answers = json!({key.unwrap(): {"action": action}});
        let response = client.retry("tools/call", &ask(), &asked, answers).await;
        assert_eq!(told(&response), json!([{"it": {"action": action}}]));
    }
}

/// A backend that asks once, and answers when it is told to go on, answered or not.
async fn impatient(way: Way, withdraws: bool) -> (Scene, std::sync::Arc<tokio::sync::Notify>) {
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let waits = go.clone();
    let scene = Scene::scripted(way, "2025-11-25", move |method, _| {
        if method != "tools/call" {
            return lists("2025-11-25", method);
        }
        let waits = waits.clone();
        Some(Reaction::run(async move |running| {
            let asked = running.begin("elicitation/create", form("it").params).await;
            waits.notified().await;
            if withdraws {
                asked.withdraw().await;
            }
            json!({"content": [{"type": "text", "text": format!("answered: {}", asked.is_answered())}]})
        }))
    });
    (scene.await, go)
}

#[tokio::test]
async fn what_a_backend_answers_without_waiting_is_kept_for_whoever_comes_back() {
    for withdraws in [false, true] {
        for way in [Way::Http, Way::Pipe] {
            let (scene, go) = impatient(way, withdraws).await;
            let gateway = Gateway::start(&scene.fleet());
            let client = Detached::http(&gateway);
            let asked = client.result("tools/call", ask()).await;
            go.notify_one();
            // Another call of the same kind shows that the first has been answered: the backend works in order.
            let other = client.result("tools/call", ask()).await;
            for asked in [&asked, &asked] {
                let answers = answers_to(asked);
                let response = client.retry("tools/call", &ask(), asked, answers).await;
                assert_eq!(text(&response), "answered: false", "{}", scene.shown);
            }
            go.notify_one();
            let answers = answers_to(&other);
            let response = client.retry("tools/call", &ask(), &other, answers).await;
            assert!(text(&response).starts_with("answered: "), "{response}");
        }
    }
}

#[tokio::test]
async fn progress_goes_to_the_request_that_waits_for_it_now() {
    let script = |method: &str, _: &Value| {
        if method != "tools/call" {
            return lists("2025-11-25", method);
        }
        Some(Reaction::run(async |running| {
            running.progress(1).await;
            running.ask("elicitation/create", form("it").params).await;
            running.progress(2).await;
            running.ask("roots/list", Value::Null).await;
            json!({"content": []})
        }))
    };
    let scene = Scene::scripted(Way::Http, "2025-11-25", script).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let mut first = client
        .post("tools/call", ask(), json!({"progressToken": "first"}))
        .await;
    let progress = first.notified("notifications/progress").await;
    assert_eq!(
        progress["params"],
        json!({"progressToken": "first", "progress": 1})
    );
    let asked = result_of(first.json().await);
    let params = retried(&ask(), &asked, answers_to(&asked));
    let mut second = client
        .post("tools/call", params, json!({"progressToken": 2}))
        .await;
    // What came meanwhile may be said again, under the token of the request that listens now.
    loop {
        let progress = second.notified("notifications/progress").await;
        assert_eq!(progress["params"]["progressToken"], 2, "{progress}");
        if progress["params"]["progress"] == 2 {
            break;
        }
    }
    let asked = result_of(second.json().await);
    assert_eq!(asked["resultType"], "input_required", "{asked}");
}

#[tokio::test]
async fn parked_requests_of_one_process_hold_up_nobody() {
    let scene = Scene::asking(Way::Pipe, "2025-11-25", vec![vec![form("it")]]).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let mut parked = Vec::new();
    for _ in 0..5 {
        parked.push(client.result("tools/call", ask()).await);
        let plain = client.ask("tools/call", json!({"name": "b__plain"})).await;
        assert_eq!(text(&plain), "\"plain\"", "{plain}");
    }
    for asked in parked.iter().rev() {
        let key = asked["inputRequests"].as_object().unwrap().keys().next();
        let mine = json!({"action": "accept", "content": {"it": asked["requestState"]}});
        let answers = json!({key.unwrap(): mine});
        let response = client.retry("tools/call", &ask(), asked, answers).await;
        assert_eq!(told(&response), json!([{"it": mine}]), "each gets its own");
    }
}

#[tokio::test]
async fn only_so_many_wait_and_the_next_is_told_so() {
    for bound in ["parks: 3", "parks_per_principal: 3"] {
        let scene = Scene::asking(Way::Http, "2025-11-25", vec![vec![form("it")]]).await;
        let gateway = Gateway::start(&format!("bounds: {{{bound}}}\n{}", scene.fleet()));
        let client = Detached::http(&gateway);
        let mut parked = Vec::new();
        for _ in 0..3 {
            parked.push(client.result("tools/call", ask()).await);
        }
        let refused = client.ask("tools/call", ask()).await;
        assert_ne!(
            refused["result"]["resultType"], "input_required",
            "{refused}"
        );
        let clear = refused["result"]["isError"] == true || refused["error"]["code"].is_i64();
        assert!(clear, "{refused}");
        // Its question is answered, so that the backend does not wait either.
        let dismissed = |seen: &crate::support::backend::Seen| {
            seen.message["result"]["action"] == "cancel" || seen.message["error"]["code"].is_i64()
        };
        scene.backend.saw_where(dismissed).await;
        // When one is done there is room again.
        let answers = answers_to(&parked[0]);
        let response = client
            .retry("tools/call", &ask(), &parked[0], answers)
            .await;
        let expected =
            answer_to(&json!({"method": "elicitation/create", "params": form("it").params}));
        assert_eq!(told(&response), json!([{"it": expected}]));
        let again = client.result("tools/call", ask()).await;
        assert_eq!(again["resultType"], "input_required", "{bound}: {again}");
    }
}

#[tokio::test]
async fn several_backends_on_a_route_say_in_words_who_asks() {
    let scene = Scene::asking(Way::Http, "2025-11-25", vec![vec![form("it")]]).await;
    let other = Scene::asking(Way::Http, "2025-11-25", Vec::new()).await;
    let fleet = format!("{}{}", scene.fleet(), other.backend.entry("other"));
    let gateway = Gateway::start(&fleet);
    let asked = Detached::http(&gateway).result("tools/call", ask()).await;
    is_our_own(&asked, &scene.shown);
    let requests = asked["inputRequests"].as_object().unwrap();
    let request = requests.values().next().unwrap();
    assert_eq!(request["params"]["message"], "b: Your it?", "{asked}");
}

#[tokio::test]
async fn a_request_that_cannot_wait_for_answers_is_not_made_to() {
    // Only calls, prompts and reads may answer `input_required`.
    let script = |method: &str, params: &Value| match method {
        "completion/complete" => Some(Reaction::run(async |running| {
            let answer = running.ask("elicitation/create", form("it").params).await;
            let refused = answer.get("error").is_some()
                || answer["result"]["action"] == "cancel"
                || answer["result"]["action"] == "decline";
            json!({"completion": {"values": [refused.to_string()]}})
        })),
        _ => crate::support::inquiry::script(
            "2025-11-25",
            crate::support::inquiry::Asks::There,
            |_| Vec::new(),
        )(method, params),
    };
    let scene = Scene::scripted(Way::Http, "2025-11-25", script).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    let reference = json!({"type": "ref/prompt", "name": "b__ask"});
    let params = json!({"ref": reference, "argument": {"name": "x", "value": "y"}});
    let response = client.ask("completion/complete", params).await;
    assert_eq!(
        response["result"]["completion"]["values"],
        json!(["true"]),
        "{response}"
    );
    assert_eq!(everything("2026-07-28")["elicitation"]["form"], json!({}));
}
