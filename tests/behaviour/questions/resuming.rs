//! Streams that break while somebody is asked: what was on them comes again, to the client and to the gateway.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::http::{Answer, send};
use crate::support::inquiry::{all_told, answer_to, answers_to, lists, roots, sampling, told};
use crate::support::live::everything;
use crate::support::offering::text;
use crate::support::scene::{Scene, Way};
use crate::support::{Detached, Gateway, Live, Reaction, STATEFUL_REVISIONS, Stateful};

/// Reads events until one has a message; returns the id of the last event before it, its own id, and the message.
async fn next(answer: &mut Answer) -> (Option<String>, String, Value) {
    let mut before = None;
    loop {
        let event = tokio::time::timeout(crate::support::patience(), answer.whole_event()).await;
        let event = event.expect("nothing came").expect("the stream has ended");
        let Some(id) = event.id else { continue };
        if !event.data.is_empty() {
            return (before, id, serde_json::from_slice(&event.data).unwrap());
        }
        before = Some(id);
    }
}

async fn resume(client: &Stateful, last: &str) -> Answer {
    let headers = [
        ("accept", "text/event-stream"),
        client.id(),
        client.version(),
        ("last-event-id", last),
    ];
    let answer = send("GET", &client.url, &headers, "").await;
    assert_eq!(answer.status, 200, "{last}");
    answer
}

async fn call(client: &Stateful) -> Answer {
    call_as(client, 7).await
}

async fn call_as(client: &Stateful, id: u32) -> Answer {
    let params = json!({"name": "b__ask", "_meta": {"progressToken": "mine"}});
    client
        .post(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
        .await
}

async fn reply(client: &Stateful, question: &Value) {
    let (id, result) = (&question["id"], answer_to(question));
    let answer = client
        .post(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
        .await;
    assert_eq!(answer.status, 202);
}

#[tokio::test]
async fn a_client_that_lost_its_stream_is_asked_again_and_gets_the_result_there() {
    let rounds = vec![vec![roots("one")], vec![sampling("two")]];
    for (way, backend_revision) in [
        (Way::Http, "2025-11-25"),
        (Way::Pipe, "2025-11-25"),
        (Way::Http, "2026-07-28"),
    ] {
        let scene = Scene::asking(way, backend_revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        for revision in STATEFUL_REVISIONS {
            let shown = format!("{revision}, {}", scene.shown);
            let client = Stateful::open_with(&gateway.url(), revision, everything(revision)).await;
            let mut stream = call(&client).await;
            let (primed, first_id, first) = next(&mut stream).await;
            assert_eq!(first["method"], "roots/list", "{shown}: {first}");
            // Only the newest of them begins with an event that has nothing but an id.
            assert_eq!(primed.is_some(), revision == "2025-11-25", "{shown}");
            drop(stream);
            if let Some(primed) = &primed {
                let mut again = resume(&client, primed).await;
                let (_, id, question) = next(&mut again).await;
                assert_eq!((&id, &question), (&first_id, &first), "{shown}");
            }
            // Answered while there is no stream at all: the next question waits for whoever comes.
            reply(&client, &first).await;
            let mut stream = resume(&client, &first_id).await;
            let (_, second_id, second) = next(&mut stream).await;
            assert_eq!(
                second["method"], "sampling/createMessage",
                "{shown}: {second}"
            );
            drop(stream);
            reply(&client, &second).await;
            let mut stream = resume(&client, &second_id).await;
            let (_, _, response) = next(&mut stream).await;
            assert_eq!(response["id"], 7, "{shown}: {response}");
            assert_eq!(told(&response), all_told(&rounds), "{shown}: {response}");
        }
    }
}

#[tokio::test]
async fn only_the_stream_that_broke_is_played_again() {
    let rounds = vec![vec![roots("one")]];
    let scene = Scene::asking(Way::Http, "2025-11-25", rounds).await;
    let gateway = Gateway::start(&scene.fleet());
    let revision = "2025-11-25";
    let client = Stateful::open_with(&gateway.url(), revision, everything(revision)).await;
    let mut one = call(&client).await;
    let (primed, ..) = next(&mut one).await;
    let mut other = call_as(&client, 8).await;
    let (_, _, asked_on_other) = next(&mut other).await;
    drop(one);
    let mut again = resume(&client, &primed.unwrap()).await;
    let (_, _, question) = next(&mut again).await;
    assert_ne!(question["id"], asked_on_other["id"]);
    reply(&client, &question).await;
    let (_, _, response) = next(&mut again).await;
    assert_eq!(
        told(&response)[0]["one"],
        answer_to(&question),
        "{response}"
    );
    reply(&client, &asked_on_other).await;
    let (_, _, response) = next(&mut other).await;
    assert_eq!(
        told(&response)[0]["one"],
        answer_to(&question),
        "{response}"
    );
}

/// A backend that closes the stream of a call after its first event, and asks on the one that goes on with it.
fn breaks(method: &str, params: &Value) -> Option<Reaction> {
    match method {
        "tools/call" => {
            let (feed, fed) = mpsc::channel(8);
            let primed = "id: one\nretry: 10\ndata:\n\n";
            feed.try_send(primed.to_owned()).unwrap();
            // Dropping the feed ends the stream; the call goes on.
            Some(Reaction::Stream(fed))
        }
        "(resume)" => {
            let (feed, fed) = mpsc::channel(8);
            let last = params["lastEventId"].as_str().unwrap();
            let event = |id: &str, message: &Value| format!("id: {id}\ndata: {message}\n\n");
            match last {
                "one" => {
                    let question =
                        json!({"jsonrpc": "2.0", "id": "native-question", "method": "roots/list"});
                    feed.try_send(event("two", &question)).unwrap();
                    // It stays open until the answer has come; the test's own response follows there.
                    FEEDS.lock().unwrap().push(feed);
                }
                other => panic!("nobody was told of the event {other}"),
            }
            Some(Reaction::Stream(fed))
        }
        _ => lists("2025-11-25", method),
    }
}

/// The streams that went on, for the test to finish.
static FEEDS: Mutex<Vec<mpsc::Sender<String>>> = Mutex::new(Vec::new());

#[tokio::test]
async fn a_question_on_a_stream_that_the_gateway_resumed_belongs_to_the_same_request() {
    let scene = Scene::scripted(Way::Http, "2025-11-25", breaks).await;
    let gateway = Gateway::start(&scene.fleet());
    let finish = async |answered: Value| {
        assert_eq!(answered["roots"][0]["uri"], "file:///work", "{answered}");
        let calls = scene.backend.seen();
        let call = calls
            .iter()
            .rev()
            .find(|seen| seen.message["method"] == "tools/call")
            .unwrap();
        let result = json!({"content": [{"type": "text", "text": "resumed"}]});
        let response = json!({"jsonrpc": "2.0", "id": call.message["id"], "result": result});
        let feed = FEEDS.lock().unwrap().pop().unwrap();
        feed.send(format!("id: three\ndata: {response}\n\n"))
            .await
            .unwrap();
    };
    let answers = |count: usize| {
        let backend = &scene.backend;
        async move {
            let of = |seen: &crate::support::backend::Seen| seen.message["id"] == "native-question";
            while backend.seen().iter().filter(|seen| of(seen)).count() < count {
                tokio::task::yield_now().await;
            }
            let seen = backend.seen();
            let last = seen.iter().rev().find(|seen| of(seen)).unwrap();
            last.message["result"].clone()
        }
    };

    let mut live = Live::http(&gateway, "2025-11-25", everything("2025-11-25")).await;
    let id = live.begin("tools/call", json!({"name": "b__ask"})).await;
    let question = live.question(&id).await;
    live.answer(&question, &answer_to(&question)).await;
    finish(answers(1).await).await;
    assert_eq!(text(&live.response(&id).await), "resumed");

    let detached = Detached::http(&gateway);
    let params = json!({"name": "b__ask"});
    let asked = detached.result("tools/call", params.clone()).await;
    let retry = detached.retry("tools/call", &params, &asked, answers_to(&asked));
    let (response, ()) = tokio::join!(retry, async { finish(answers(2).await).await });
    assert_eq!(text(&response), "resumed", "{response}");
}
