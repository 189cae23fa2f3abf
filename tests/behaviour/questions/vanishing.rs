//! Clients and backends that go away at any moment: everybody else is told, and nothing is left behind.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::backend::{Running, Seen};
use crate::support::inquiry::{answer_to, answers_to, form, lists, told};
use crate::support::live::{Live, everything};
use crate::support::resources_of::{Held, back_at};
use crate::support::rounds::{result_of, retried};
use crate::support::scene::{Scene, Way};
use crate::support::{Detached, Gateway, Reaction};

const STATEFUL_WAYS: [Way; 3] = [Way::Http, Way::Sse, Way::Pipe];

/// What an allocator may keep after a storm; anything that grows with what came and went is much more.
const SLACK_KIB: usize = 24 << 10;

fn ask() -> Value {
    json!({"name": "b__ask", "arguments": {}})
}

/// What a backend of HTTP+SSE may ask is what one of 2025-11-25 may: the transport does not care.
async fn asking(way: Way, rounds: Vec<Vec<crate::support::inquiry::Question>>) -> Scene {
    Scene::asking(way, "2025-11-25", rounds).await
}

async fn client_of(gateway: &Gateway) -> Live {
    Live::http(gateway, "2025-11-25", everything("2025-11-25")).await
}

fn is_answer(seen: &Seen) -> bool {
    seen.message["method"].is_null() && !seen.message["id"].is_null()
}

/// The question was dismissed and the request cancelled, or the whole session was ended.
async fn was_let_go(scene: &Scene) {
    scene.backend.runs(0).await;
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_asked_lets_the_backend_go() {
    for way in STATEFUL_WAYS {
        let scene = asking(way, vec![vec![form("one")]]).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = client_of(&gateway).await;
        let id = client.begin("tools/call", ask()).await;
        client.question(&id).await;
        client.end().await;
        was_let_go(&scene).await;
    }
}

#[tokio::test]
async fn an_event_stream_or_pipe_that_is_lost_while_it_is_asked_lets_the_backend_go() {
    for way in [Way::Http, Way::Pipe] {
        let scene = asking(way, vec![vec![form("one")]]).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = Live::sse(&gateway, everything("2025-11-25")).await;
        // A backend that asks for more than its client can be asked gets an error, and asks no more.
        let id = client.begin("tools/call", ask()).await;
        let response = client.question_or_response(&id).await;
        assert!(response["method"].is_null(), "{response}");
        drop(client);

        let mut client = Live::pipe(&scene.fleet(), "2025-11-25", everything("2025-11-25")).await;
        let id = client.begin("tools/call", ask()).await;
        client.question(&id).await;
        client.end().await;
        was_let_go(&scene).await;
    }
}

#[tokio::test]
async fn a_client_that_loses_only_the_stream_of_its_request_may_come_back() {
    let scene = asking(Way::Http, vec![vec![form("one")]]).await;
    let gateway = Gateway::start(&scene.fleet());
    let mut client = client_of(&gateway).await;
    let id = client.begin("tools/call", ask()).await;
    let question = client.question(&id).await;
    client.lose(&id);
    client.ask("ping", json!({})).await;
    assert_eq!(scene.backend.running(), 1, "losing a stream is no wish");
    client.answer(&question, &answer_to(&question)).await;
    was_let_go(&scene).await;
}

#[tokio::test]
async fn a_stateless_client_that_leaves_before_it_is_asked_cancels() {
    for way in STATEFUL_WAYS {
        let go = Arc::new(Notify::new());
        let waits = go.clone();
        let script = move |method: &str, _: &Value| {
            if method != "tools/call" {
                return lists("2025-11-25", method);
            }
            let waits = waits.clone();
            Some(Reaction::run(async move |running: Running| {
                waits.notified().await;
                running.ask("elicitation/create", form("one").params).await;
                json!({"content": []})
            }))
        };
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let gateway = Gateway::start(&scene.fleet());
        let url = gateway.url();
        let leaving =
            tokio::spawn(async move { Detached::http_at(&url).ask("tools/call", ask()).await });
        scene.backend.runs(1).await;
        leaving.abort();
        was_let_go(&scene).await;
    }
}

#[tokio::test]
async fn a_stateless_client_that_never_comes_back_leaves_nothing_behind() {
    for way in STATEFUL_WAYS {
        let scene = asking(way, vec![vec![form("one")], vec![form("two")]]).await;
        let fleet = format!("bounds: {{park_lifetime: 500ms}}\n{}", scene.fleet());
        let gateway = Gateway::start(&fleet);
        let client = Detached::http(&gateway);
        // Once to open what stays open: the connection to the backend.
        client.result("tools/call", ask()).await;
        was_let_go(&scene).await;
        let before = Held::by(gateway.pid());
        // Some leave when they are asked, some when they are asked again.
        for comes_back_once in [false, true, false, true] {
            let asked = client.result("tools/call", ask()).await;
            if comes_back_once {
                let answers = answers_to(&asked);
                result_of(client.retry("tools/call", &ask(), &asked, answers).await);
            }
        }
        was_let_go(&scene).await;
        back_at(gateway.pid(), before, SLACK_KIB).await;
    }
}

#[tokio::test]
async fn a_stateless_client_that_leaves_in_the_middle_of_its_retry_holds_nothing() {
    for way in STATEFUL_WAYS {
        let go = Arc::new(Notify::new());
        let waits = go.clone();
        let script = move |method: &str, _: &Value| {
            if method != "tools/call" {
                return lists("2025-11-25", method);
            }
            let waits = waits.clone();
            Some(Reaction::run(async move |running: Running| {
                running.ask("elicitation/create", form("one").params).await;
                waits.notified().await;
                json!({"content": [{"type": "text", "text": "done"}]})
            }))
        };
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let fleet = format!("bounds: {{park_lifetime: 2s}}\n{}", scene.fleet());
        let gateway = Gateway::start(&fleet);
        let client = Detached::http(&gateway);
        let asked = client.result("tools/call", ask()).await;
        let params = retried(&ask(), &asked, answers_to(&asked));
        let (url, leaving) = (gateway.url(), params.clone());
        let leaving =
            tokio::spawn(async move { Detached::http_at(&url).ask("tools/call", leaving).await });
        scene.backend.saw_where(is_answer).await;
        leaving.abort();
        // Whether it is cancelled at once or kept for another retry: it ends, and nobody waits for ever.
        was_let_go(&scene).await;
        let late = client.ask("tools/call", params).await;
        let clear = late["result"].is_object() || late["error"]["code"].is_i64();
        assert!(clear, "{}: {late}", scene.shown);
        assert!(!late.to_string().contains("native"), "{late}");
    }
}

/// Ends the backend's side of everything, as a crash does.
fn crash(scene: &Scene) {
    match &scene.program {
        Some(program) => program.crash(),
        None => scene.backend.crash(),
    }
}

#[tokio::test]
async fn a_backend_that_dies_while_it_asks_takes_its_question_back_and_the_client_learns_it() {
    for way in STATEFUL_WAYS {
        let scene = asking(way, vec![vec![form("one")]]).await;
        let gateway = Gateway::start(&scene.fleet_with("restart: {first: 20ms}"));
        let mut client = client_of(&gateway).await;
        let id = client.begin("tools/call", ask()).await;
        let question = client.question(&id).await;
        crash(&scene);
        let response = client.response(&id).await;
        let clear = response["result"]["isError"] == true || response["error"]["code"].is_i64();
        assert!(clear, "{}: {response}", scene.shown);
        assert!(response.to_string().contains("`b`"), "{response}");
        // Too late, and nobody minds.
        client.answer(&question, &answer_to(&question)).await;
        // Everything works again.
        let (questions, response) = client.converse("tools/call", ask(), answer_to).await;
        assert_eq!(questions.len(), 1, "{}: {response}", scene.shown);
        assert_eq!(told(&response)[0]["one"]["action"], "accept");
    }
}

#[tokio::test]
async fn a_backend_that_dies_while_its_call_waits_is_told_of_to_whoever_comes_back() {
    for way in STATEFUL_WAYS {
        for rounds_before in [0, 1] {
            let scene = asking(way, vec![vec![form("one")], vec![form("two")]]).await;
            let gateway = Gateway::start(&scene.fleet_with("restart: {first: 20ms}"));
            let client = Detached::http(&gateway);
            let mut asked = client.result("tools/call", ask()).await;
            if rounds_before == 1 {
                let answers = answers_to(&asked);
                asked = result_of(client.retry("tools/call", &ask(), &asked, answers).await);
            }
            crash(&scene);
            scene.backend.runs(0).await;
            for _ in 0..2 {
                let answers = answers_to(&asked);
                let late = client.retry("tools/call", &ask(), &asked, answers).await;
                let clear = late["result"]["isError"] == true || late["error"]["code"].is_i64();
                assert!(clear, "{}: {late}", scene.shown);
            }
            // A new request works again.
            let (rounds, response) = client.converse("tools/call", &ask()).await;
            assert_eq!(rounds.len(), 2, "{}: {response}", scene.shown);
        }
    }
}

#[tokio::test]
async fn a_backend_that_dies_after_it_was_answered_fails_that_request_only() {
    let script = |method: &str, _: &Value| {
        if method != "tools/call" {
            return lists("2025-11-25", method);
        }
        Some(Reaction::run(async |running: Running| {
            running.ask("elicitation/create", form("one").params).await;
            std::future::pending().await
        }))
    };
    for way in STATEFUL_WAYS {
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let gateway = Gateway::start(&scene.fleet_with("restart: {first: 20ms}"));
        let client = Detached::http(&gateway);
        let asked = client.result("tools/call", ask()).await;
        let params = ask();
        let retry = client.retry("tools/call", &params, &asked, answers_to(&asked));
        let crashing = async {
            scene.backend.saw_where(is_answer).await;
            crash(&scene);
        };
        let (response, ()) = tokio::join!(retry, crashing);
        let clear = response["result"]["isError"] == true || response["error"]["code"].is_i64();
        assert!(clear, "{}: {response}", scene.shown);
        let again = client.result("tools/call", ask()).await;
        assert_eq!(again["resultType"], "input_required", "{again}");
    }
}

#[tokio::test]
async fn a_stateless_backend_that_dies_between_rounds_is_told_of_or_asked_again() {
    let rounds = vec![vec![form("one")], vec![form("two")]];
    let scene = Scene::asking(Way::Http, "2026-07-28", rounds).await;
    let gateway = Gateway::start(&scene.fleet_with("restart: {first: 20ms}"));
    let mut client = client_of(&gateway).await;
    let id = client.begin("tools/call", ask()).await;
    let first = client.question(&id).await;
    scene.backend.crash();
    // Each round is a request of its own: nothing was lost, unless it was on its way to a connection that broke.
    client.answer(&first, &answer_to(&first)).await;
    let next = client.question_or_response(&id).await;
    if next["method"].is_null() {
        assert_eq!(next["result"]["isError"], true, "{next}");
        assert!(next.to_string().contains("`b`"), "{next}");
        return;
    }
    client.answer(&next, &answer_to(&next)).await;
    let told = told(&client.response(&id).await);
    assert_eq!(told[1]["two"]["action"], "accept", "{told}");
}

#[tokio::test]
async fn retries_that_race_are_answered_alike_and_reach_the_backend_once() {
    for way in STATEFUL_WAYS {
        let scene = asking(way, vec![vec![form("one")], vec![form("two")]]).await;
        let gateway = Gateway::start(&scene.fleet());
        let client = Detached::http(&gateway);
        for _ in 0..5 {
            let before = scene.backend.seen().into_iter().filter(is_answer).count();
            let first = client.result("tools/call", ask()).await;
            let (params, answers) = (ask(), answers_to(&first));
            let race = |asked: &Value, answers: &Value| {
                let params = retried(&params, asked, answers.clone());
                let all = (0..8).map(|_| client.ask("tools/call", params.clone()));
                join_all(all.collect::<Vec<_>>())
            };
            let seconds = race(&first, &answers).await;
            let seconds: Vec<_> = seconds.into_iter().map(result_of).collect();
            for second in &seconds {
                assert_eq!(second["inputRequests"], seconds[0]["inputRequests"]);
            }
            let answers = answers_to(&seconds[0]);
            let last = race(&seconds[7], &answers).await;
            let last: Vec<_> = last.into_iter().map(result_of).collect();
            for done in &last {
                assert_eq!(done["content"], last[0]["content"], "{}", scene.shown);
                assert_eq!(done["resultType"], "complete", "{done}");
            }
            let after = scene.backend.seen().into_iter().filter(is_answer).count();
            assert_eq!(
                after - before,
                2,
                "{}: one answer for each question",
                scene.shown
            );
        }
        was_let_go(&scene).await;
    }
}

#[tokio::test]
async fn many_more_calls_than_may_wait_are_each_answered_and_all_of_it_goes_away_again() {
    for way in STATEFUL_WAYS {
        // Where a question has no stream of its own, strangers take turns, each for a moment.
        let (all, most) = if way == Way::Http { (200, 25) } else { (30, 8) };
        let scene = asking(way, vec![vec![form("one")]]).await;
        let fleet = format!(
            "bounds: {{parks: 40, parks_per_principal: {most}, park_lifetime: 3s}}\n{}",
            scene.fleet()
        );
        let gateway = Gateway::start(&fleet);
        let client = Detached::http(&gateway);
        // That it asks is known once it has asked.
        client.converse("tools/call", &ask()).await;
        // The first storm opens connections that stay.
        let mut before = None;
        for _ in 0..2 {
            let calls = (0..all).map(|_| client.ask("tools/call", ask()));
            let (waiting, refused): (Vec<_>, Vec<_>) = join_all(calls)
                .await
                .into_iter()
                .partition(|one| one["result"]["resultType"] == "input_required");
            assert!(
                !waiting.is_empty() && waiting.len() <= most,
                "{}",
                waiting.len()
            );
            for refused in &refused {
                let clear =
                    refused["result"]["isError"] == true || refused["error"]["code"].is_i64();
                assert!(clear, "{refused}");
            }
            // Half of them are answered, half are forgotten.
            let params = ask();
            let retries = waiting.iter().step_by(2).map(|asked| {
                let asked = &asked["result"];
                client.retry("tools/call", &params, asked, answers_to(asked))
            });
            for response in join_all(retries).await {
                assert_eq!(told(&response)[0]["one"]["action"], "accept", "{response}");
            }
            was_let_go(&scene).await;
            match before {
                None => before = Some(Held::by(gateway.pid())),
                Some(before) => back_at(gateway.pid(), before, SLACK_KIB).await,
            }
        }
    }
}

#[tokio::test]
async fn a_thousand_requests_wait_at_once_and_what_they_held_is_given_back() {
    const EACH: usize = 250;
    let names = ["b0", "b1", "b2", "b3"];
    let backends = join_all(names.map(|_| asking(Way::Http, vec![vec![form("one")]]))).await;
    let entries = names.iter().zip(&backends);
    let entries: String = entries
        .map(|(name, scene)| scene.backend.entry(name))
        .collect();
    let bounds = "bounds: {parks: 1000, parks_per_principal: 1000, park_lifetime: 30s}";
    let gateway = Gateway::start(&format!("{bounds}\nbackends:\n{entries}"));
    let client = Detached::http(&gateway);
    let call = |name: &str| json!({"name": format!("{name}__ask"), "arguments": {}});
    let mut before = None;
    for _ in 0..2 {
        let mut waiting = Vec::new();
        // In pieces, so that connections are not what is tried here.
        for _ in 0..EACH / 25 {
            for name in names {
                let calls = (0..25).map(|_| client.result("tools/call", call(name)));
                let asked = join_all(calls).await;
                waiting.extend(asked.into_iter().map(|asked| (call(name), asked)));
            }
        }
        assert!(
            waiting
                .iter()
                .all(|(_, asked)| asked["resultType"] == "input_required")
        );
        let refused = client.ask("tools/call", call("b0")).await;
        assert_eq!(refused["error"]["data"]["kind"], "overloaded", "{refused}");
        for some in waiting.chunks(25) {
            let retries = some.iter().map(|(params, asked)| {
                client.retry("tools/call", params, asked, answers_to(asked))
            });
            for response in join_all(retries).await {
                assert_eq!(told(&response)[0]["one"]["action"], "accept", "{response}");
            }
        }
        for scene in &backends {
            was_let_go(scene).await;
            assert!(scene.backend.open_sessions() <= 2);
        }
        match before {
            None => before = Some(Held::by(gateway.pid())),
            Some(before) => back_at(gateway.pid(), before, SLACK_KIB).await,
        }
    }
}

#[tokio::test]
async fn a_backend_that_asks_for_ever_ends_when_nobody_answers_any_more() {
    let script = |method: &str, _: &Value| {
        if method != "tools/call" {
            return lists("2025-11-25", method);
        }
        Some(Reaction::run(async |running: Running| {
            let mut asked = 0;
            loop {
                // As one that takes no refusal, and no end, for an answer.
                running.ask("elicitation/create", form("one").params).await;
                asked += 1;
                if asked > 10_000 {
                    return json!({"content": []});
                }
            }
        }))
    };
    for way in STATEFUL_WAYS {
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let fleet = format!("bounds: {{park_lifetime: 500ms}}\n{}", scene.fleet());
        let gateway = Gateway::start(&fleet);
        let client = Detached::http(&gateway);
        let mut asked = client.result("tools/call", ask()).await;
        for _ in 0..5 {
            let answers = answers_to(&asked);
            let response = client.retry("tools/call", &ask(), &asked, answers).await;
            let Some(result) = response.get("result") else {
                break;
            };
            if result["resultType"] != "input_required" {
                break;
            }
            asked = result.clone();
        }
        was_let_go(&scene).await;

        let mut client = client_of(&gateway).await;
        let id = client.begin("tools/call", ask()).await;
        for _ in 0..5 {
            let question = client.question(&id).await;
            client.answer(&question, &answer_to(&question)).await;
        }
        client.question(&id).await;
        client.end().await;
        was_let_go(&scene).await;
    }
}

#[tokio::test]
async fn sessions_at_the_backend_do_not_grow_with_the_calls_that_waited() {
    let scene = asking(Way::Http, vec![vec![form("one")]]).await;
    let gateway = Gateway::start(&scene.fleet());
    let client = Detached::http(&gateway);
    client.converse("tools/call", &ask()).await;
    let before = scene.backend.open_sessions();
    for _ in 0..3 {
        let calls = (0..10).map(|_| client.result("tools/call", ask()));
        let asked = join_all(calls).await;
        let params = ask();
        let retries = asked
            .iter()
            .map(|asked| client.retry("tools/call", &params, asked, answers_to(asked)));
        for response in join_all(retries).await {
            assert_eq!(told(&response)[0]["one"]["action"], "accept");
        }
    }
    assert!(scene.backend.open_sessions() <= before, "{before} before");
}
