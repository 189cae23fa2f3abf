//! Answers that are not what was hoped for: declined, refused, too late, never, or not possible at all.

use serde_json::{Value, json};

use crate::support::inquiry::{
    answer_to, form, lists, roots, sampling, sampling_with_tools, told, url,
};
use crate::support::live::{Live, everything};
use crate::support::offering::text;
use crate::support::scene::{Scene, Way};
use crate::support::{Gateway, Reaction};

const BACKENDS: [(Way, &str); 4] = [
    (Way::Http, "2025-11-25"),
    (Way::Beside, "2025-11-25"),
    (Way::Pipe, "2025-11-25"),
    (Way::Http, "2026-07-28"),
];

async fn client_of(gateway: &Gateway) -> Live {
    Live::http(gateway, "2025-11-25", everything("2025-11-25")).await
}

#[tokio::test]
async fn what_a_user_declines_or_dismisses_reaches_the_backend_as_it_is() {
    for (way, revision) in BACKENDS {
        let scene = Scene::asking(way, revision, vec![vec![form("name")]]).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = client_of(&gateway).await;
        for action in ["decline", "cancel"] {
            let params = json!({"name": "b__ask"});
            let answer = |_: &Value| json!({"action": action});
            let (_, response) = client.converse("tools/call", params, answer).await;
            let expected = json!([{"name": {"action": action}}]);
            assert_eq!(told(&response), expected, "{}", scene.shown);
        }
    }
}

#[tokio::test]
async fn an_error_reaches_a_stateful_backend_as_it_was_said() {
    for (way, revision) in &BACKENDS[..3] {
        let rounds = vec![vec![form("name")], vec![sampling("it")], vec![roots("r")]];
        let scene = Scene::asking(*way, revision, rounds).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = client_of(&gateway).await;
        let id = client.begin("tools/call", json!({"name": "b__ask"})).await;
        for _ in 0..3 {
            let question = client.question(&id).await;
            client.refuse(&question, -1, "not today").await;
        }
        let error = json!({"error": {"code": -1, "message": "not today"}});
        let expected = json!([{"name": error}, {"it": error}, {"r": error}]);
        let response = client.response(&id).await;
        assert_eq!(told(&response), expected, "{}", scene.shown);
    }
}

#[tokio::test]
async fn a_stateless_backend_hears_of_an_elicitation_that_failed_as_dismissed() {
    let scene = Scene::asking(Way::Http, "2026-07-28", vec![vec![form("name")]]).await;
    let gateway = Gateway::start(&scene.fleet());
    let mut client = client_of(&gateway).await;
    let id = client.begin("tools/call", json!({"name": "b__ask"})).await;
    let question = client.question(&id).await;
    client.refuse(&question, -32603, "no window").await;
    let response = client.response(&id).await;
    assert_eq!(told(&response), json!([{"name": {"action": "cancel"}}]));
}

#[tokio::test]
async fn sampling_and_roots_that_failed_end_the_request_at_a_stateless_backend() {
    for asked in [sampling("it"), roots("r")] {
        let scene = Scene::asking(Way::Http, "2026-07-28", vec![vec![asked.clone()]]).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = client_of(&gateway).await;
        let id = client.begin("tools/call", json!({"name": "b__ask"})).await;
        let question = client.question(&id).await;
        client.refuse(&question, -1, "the user said no").await;
        let response = client.response(&id).await;
        assert_eq!(response["result"]["isError"], true, "{response}");
        assert!(text(&response).contains("`b`"), "{response}");
        let id = client.begin("prompts/get", json!({"name": "b__ask"})).await;
        let question = client.question(&id).await;
        client.refuse(&question, -1, "the user said no").await;
        let response = client.response(&id).await;
        assert!(response["error"]["message"].is_string(), "{response}");
        assert_eq!(scene.backend.count("tools/call"), 1, "nothing was retried");
    }
}

#[tokio::test]
async fn a_kind_that_the_client_did_not_declare_is_refused_without_asking_it() {
    let form_only = json!({"elicitation": {}});
    for (way, revision) in &BACKENDS[..3] {
        for (asked, declared) in [
            (form("name"), json!({})),
            (form("name"), json!({"elicitation": {"url": {}}})),
            (url("page"), form_only.clone()),
            (sampling("it"), form_only.clone()),
            (sampling_with_tools("it"), json!({"sampling": {}})),
            (roots("r"), form_only.clone()),
        ] {
            let rounds = vec![vec![asked.clone()]];
            let scene = Scene::asking(*way, revision, rounds).await;
            let gateway = Gateway::start(&scene.fleet());
            let mut client = Live::http(&gateway, "2025-11-25", declared.clone()).await;
            let params = json!({"name": "b__ask"});
            let never = |question: &Value| panic!("it was asked {question}");
            let (_, response) = client.converse("tools/call", params, never).await;
            // The backend decides what becomes of its request.
            let error = &told(&response)[0][asked.key]["error"];
            let shown = format!("{}, {declared}: {response}", scene.shown);
            assert!(error["code"].is_i64(), "{shown}");
            let message = error["message"].as_str();
            assert!(message.is_some_and(|text| text.len() > 10), "{shown}");
        }
    }
}

#[tokio::test]
async fn only_what_the_client_can_do_is_declared_to_a_backend() {
    let rounds = vec![vec![roots("r")]];
    for (way, revision) in BACKENDS {
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet_with("sessions: per-client"));
        for (client, declared, expected) in [
            (
                "2025-03-26",
                json!({"roots": {}, "sampling": {}, "elicitation": {}}),
                json!({"roots": {}, "sampling": {}}),
            ),
            (
                "2025-06-18",
                json!({"roots": {}, "elicitation": {"url": {}, "form": {}}, "sampling": {"tools": {}}}),
                json!({"roots": {}, "sampling": {}, "elicitation": {"form": {}}}),
            ),
            (
                "2025-11-25",
                everything("2025-11-25"),
                everything("2025-11-25"),
            ),
        ] {
            let mut client = Live::http(&gateway, client, declared).await;
            let params = json!({"name": "b__ask"});
            let (_, response) = client.converse("tools/call", params, answer_to).await;
            assert!(response["result"]["content"].is_array(), "{response}");
            let calls = scene.backend.seen();
            let call = calls
                .iter()
                .rev()
                .find(|seen| seen.message["method"] == "tools/call");
            let call = call.unwrap();
            let told = if revision == "2026-07-28" {
                call.message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
                    .clone()
            } else {
                let opened = calls.iter().rev().find(|seen| {
                    seen.message["method"] == "notifications/initialized"
                        && seen.session == call.session
                });
                assert!(opened.is_some(), "{}", scene.shown);
                let greeted = calls
                    .iter()
                    .rev()
                    .find(|seen| seen.message["method"] == "initialize");
                greeted.unwrap().message["params"]["capabilities"].clone()
            };
            for (kind, expected) in expected.as_object().unwrap() {
                for (detail, _) in expected.as_object().unwrap() {
                    let has = told[kind].get(detail).is_some()
                        || (kind == "elicitation" && detail == "form");
                    // Nobody tells a stateless backend of changes of roots.
                    assert!(
                        has || kind == "roots",
                        "{}: {detail} of {kind} in {told}",
                        scene.shown
                    );
                }
                assert!(told[kind].is_object(), "{}: {kind} in {told}", scene.shown);
            }
            for (kind, details) in told.as_object().unwrap() {
                assert!(expected.get(kind).is_some(), "{}: {told}", scene.shown);
                for (detail, _) in details.as_object().unwrap() {
                    let fits = expected[kind].get(detail).is_some();
                    assert!(fits, "{}: {detail} of {kind} in {told}", scene.shown);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_stateless_backend_that_needs_what_the_client_cannot_do_is_refused_in_words() {
    for says in ["input_required", "-32021"] {
        let script = move |method: &str, params: &Value| {
            if method != "tools/call" && method != "prompts/get" {
                return lists("2026-07-28", method);
            }
            if says == "-32021" {
                let data = json!({"requiredCapabilities": {"elicitation": {"form": {}}}});
                return Some(Reaction::Error(
                    json!({"code": -32021, "message": "native text", "data": data}),
                ));
            }
            assert!(params.get("inputResponses").is_none(), "it was retried");
            let asked = form("name");
            let request = json!({"method": asked.method, "params": asked.params});
            Some(Reaction::Result(json!({
                "resultType": "input_required", "inputRequests": {"name": request}, "requestState": "native",
            })))
        };
        let scene = Scene::scripted(Way::Http, "2026-07-28", script).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = Live::http(&gateway, "2025-06-18", json!({})).await;
        let response = client.ask("tools/call", json!({"name": "b__ask"})).await;
        assert_eq!(response["result"]["isError"], true, "{says}: {response}");
        let said = text(&response);
        assert!(
            said.contains("`b`") && said.contains("elicitation"),
            "{says}: {response}"
        );
        let response = client.ask("prompts/get", json!({"name": "b__ask"})).await;
        assert_ne!(response["error"]["code"], -32021, "{says}: {response}");
        let said = response["error"]["message"].as_str().unwrap();
        assert!(said.contains("elicitation"), "{says}: {response}");
    }
}

#[tokio::test]
async fn a_question_that_the_backend_takes_back_is_taken_back_at_the_client() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" if params["name"] == "ask" => Some(Reaction::run(async |running| {
            let asked = running
                .begin("elicitation/create", form("name").params)
                .await;
            running.progress(1).await;
            // Only what was asked can be taken back: it waits for a sign that the client has it.
            let other = running.begin("roots/list", Value::Null).await;
            other.answer().await;
            asked.withdraw().await;
            running.ask("roots/list", Value::Null).await;
            json!({"content": [{"type": "text", "text": asked.is_answered().to_string()}]})
        })),
        _ => lists("2025-11-25", method),
    };
    for way in [Way::Http, Way::Pipe] {
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = client_of(&gateway).await;
        let id = client.begin("tools/call", json!({"name": "b__ask"})).await;
        let question = client.question(&id).await;
        assert_eq!(question["method"], "elicitation/create");
        let other = client.question(&id).await;
        client.answer(&other, &answer_to(&other)).await;
        let cancelled = client.notified("notifications/cancelled").await;
        assert_eq!(
            cancelled["params"]["requestId"], question["id"],
            "{cancelled}"
        );
        // Too late, and nobody minds.
        client.answer(&question, &answer_to(&question)).await;
        let last = client.question(&id).await;
        client.answer(&last, &answer_to(&last)).await;
        let response = client.response(&id).await;
        assert_eq!(text(&response), "false", "{}", scene.shown);
    }
}

#[tokio::test]
async fn a_request_that_ends_before_its_question_was_answered_takes_it_back() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" if params["name"] == "ask" => Some(Reaction::run(async |running| {
            running
                .begin("elicitation/create", form("name").params)
                .await;
            running.ask("roots/list", Value::Null).await;
            json!({"content": [{"type": "text", "text": "did not wait"}]})
        })),
        _ => lists("2025-11-25", method),
    };
    for way in [Way::Http, Way::Pipe] {
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = client_of(&gateway).await;
        let id = client.begin("tools/call", json!({"name": "b__ask"})).await;
        let open = client.question(&id).await;
        let other = client.question(&id).await;
        client.answer(&other, &answer_to(&other)).await;
        assert_eq!(text(&client.response(&id).await), "did not wait");
        client.answer(&open, &answer_to(&open)).await;
        let plain = client.ask("tools/call", json!({"name": "b__other"})).await;
        assert!(plain.get("result").is_some() || plain.get("error").is_some());
    }
}

#[tokio::test]
async fn a_client_that_cancels_its_request_is_asked_no_more_and_the_backend_hears_of_it() {
    for (way, revision) in BACKENDS {
        let rounds = vec![vec![form("name")], vec![form("colour")]];
        let scene = Scene::asking(way, revision, rounds).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = client_of(&gateway).await;
        let id = client.begin("tools/call", json!({"name": "b__ask"})).await;
        let question = client.question(&id).await;
        client.cancel(&id).await;
        if revision == "2026-07-28" {
            client.answer(&question, &answer_to(&question)).await;
        } else {
            let called = scene.backend.saw("tools/call").await.message;
            let cancelled = scene.backend.saw("notifications/cancelled").await.message;
            assert_eq!(cancelled["params"]["requestId"], called["id"]);
        }
        client.ask("tools/call", json!({"name": "b__plain"})).await;
        let unasked = client.unasked();
        assert!(
            unasked.iter().all(|message| message["id"].is_null()),
            "{}: {unasked:?}",
            scene.shown
        );
        let calls = scene.backend.seen().into_iter().filter(|seen| {
            seen.message["method"] == "tools/call" && seen.message["params"]["name"] == "ask"
        });
        assert_eq!(calls.count(), 1, "{}", scene.shown);
    }
}

#[tokio::test]
async fn a_user_who_never_answers_is_waited_for_no_longer_than_the_bound() {
    for (way, revision) in BACKENDS {
        let rounds = vec![vec![form("name")]];
        let scene = Scene::asking(way, revision, rounds).await;
        let fleet = format!("bounds: {{answer: 300ms}}\n{}", scene.fleet());
        let gateway = Gateway::start(&fleet);
        let mut client = client_of(&gateway).await;
        let id = client.begin("tools/call", json!({"name": "b__ask"})).await;
        let question = client.question(&id).await;
        let response = client.response(&id).await;
        let expected = json!([{"name": {"action": "cancel"}}]);
        assert_eq!(told(&response), expected, "{}: {response}", scene.shown);
        // The client is told that its answer would come too late.
        let cancelled = client.notified("notifications/cancelled").await;
        assert_eq!(cancelled["params"]["requestId"], question["id"]);
    }
}

#[tokio::test]
async fn a_stateless_backend_that_asks_for_ever_is_given_up() {
    let script = |method: &str, params: &Value| {
        if method != "tools/call" {
            return lists("2026-07-28", method);
        }
        let round = params["requestState"]
            .as_str()
            .map_or(0, |state| state.parse().unwrap())
            + 1;
        let asked = form("name");
        let requests = match params["arguments"]["silently"].as_bool() {
            Some(true) => Value::Null,
            _ => json!({"name": {"method": asked.method, "params": asked.params}}),
        };
        let mut result = json!({"resultType": "input_required", "requestState": round.to_string()});
        if !requests.is_null() {
            result["inputRequests"] = requests;
        }
        Some(Reaction::Result(result))
    };
    let scene = Scene::scripted(Way::Http, "2026-07-28", script).await;
    let gateway = Gateway::start(&format!("bounds: {{rounds: 3}}\n{}", scene.fleet()));
    let mut client = client_of(&gateway).await;
    for silently in [false, true] {
        let params = json!({"name": "b__ask", "arguments": {"silently": silently}});
        let (questions, response) = client.converse("tools/call", params, answer_to).await;
        assert_eq!(response["result"]["isError"], true, "{response}");
        assert!(text(&response).contains("`b`"), "{response}");
        assert!(questions.len() <= 3, "{questions:?}");
    }
    assert!(scene.backend.count("tools/call") <= 8);
}

#[tokio::test]
async fn a_form_that_an_older_client_cannot_show_is_simplified_or_declined_without_asking() {
    let titled = json!({"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]});
    let several = json!({"type": "array", "items": {"type": "string", "enum": ["r", "g"]}});
    let ask = |property: &Value| {
        let mut asked = form("colour");
        asked.params["requestedSchema"]["properties"]["colour"] = property.clone();
        asked
    };
    for (way, revision) in [(Way::Http, "2025-11-25"), (Way::Http, "2026-07-28")] {
        let rounds = vec![vec![ask(&titled)], vec![ask(&several)]];
        let scene = Scene::asking(way, revision, rounds).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = Live::http(&gateway, "2025-06-18", everything("2025-06-18")).await;
        let params = json!({"name": "b__ask"});
        let green = |_: &Value| json!({"action": "accept", "content": {"colour": "g"}});
        let (questions, response) = client.converse("tools/call", params, green).await;
        assert_eq!(questions.len(), 1, "{}: {questions:?}", scene.shown);
        let shown = &questions[0]["params"]["requestedSchema"]["properties"]["colour"];
        assert_eq!(shown["enum"], json!(["r", "g"]), "{shown}");
        assert_eq!(shown["enumNames"], json!(["Red", "Green"]), "{shown}");
        assert!(shown.get("oneOf").is_none(), "{shown}");
        let told = told(&response);
        assert_eq!(told[0]["colour"]["content"]["colour"], "g", "{told}");
        assert!(
            ["decline", "cancel"].contains(&told[1]["colour"]["action"].as_str().unwrap_or("")),
            "{}: {told}",
            scene.shown
        );
    }
}
