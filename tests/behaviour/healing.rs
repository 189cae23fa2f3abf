//! Sessions at backends that end, and clients' sessions whose gateway ends: what was said in them is said again, what was
//! accepted is not done twice, and everybody who may have missed something is told.

use serde_json::{Value, json};

use crate::support::backend::Seen;
use crate::support::inquiry::{all_told, answer_to, finished, form, lists, roots, told};
use crate::support::live::{Live, everything};
use crate::support::offering::{keys, text};
use crate::support::scene::{Scene, Way};
use crate::support::{Gateway, Reaction, Stateful, Stateless};

const WAYS: [Way; 3] = [Way::Http, Way::Sse, Way::Pipe];

fn ask() -> Value {
    json!({"name": "b__ask", "arguments": {}})
}

/// Breaks everything that is open, as a crash does.
fn crash(scene: &Scene) {
    match &scene.program {
        Some(program) => program.crash(),
        None => scene.backend.crash(),
    }
}

async fn client_of(gateway: &Gateway) -> Live {
    Live::http(gateway, "2025-11-25", everything("2025-11-25")).await
}

fn plain(method: &str, params: &Value) -> Option<Reaction> {
    match method {
        "tools/call" if params["name"] == "ask" => Some(Reaction::run(async |running| {
            running.ask("roots/list", Value::Null).await;
            finished("tools/call", &json!("asked"))
        })),
        "tools/call" => Some(Reaction::Result(finished(method, &json!("plain")))),
        _ => lists("2025-11-25", method),
    }
}

#[tokio::test]
async fn a_session_that_was_lost_is_opened_again_and_knows_what_the_old_one_knew() {
    for way in [Way::Sse, Way::Pipe] {
        let scene = Scene::scripted(way, "2025-11-25", plain).await;
        let gateway = Gateway::start(&scene.fleet_with("restart: {first: 10ms}"));
        let mut client = client_of(&gateway).await;
        client.listen().await;
        client.ask("tools/list", json!({})).await;
        let level = json!({"level": "debug"});
        client.ask("logging/setLevel", level.clone()).await;
        let uri = json!({"uri": "ask://me"});
        client.ask("resources/subscribe", uri.clone()).await;
        client.ask("tools/call", json!({"name": "b__plain"})).await;
        let old = scene.backend.saw("resources/subscribe").await.session;
        crash(&scene);
        gateway.logs("the connection ended").await;
        // Whoever watches may have missed something, and is told so.
        let updated = client.notified("notifications/resources/updated").await;
        assert_eq!(updated["params"]["uri"], "ask://me", "{}", scene.shown);
        let called = client.ask("tools/call", json!({"name": "b__plain"})).await;
        assert_eq!(text(&called), "\"plain\"", "{}: {called}", scene.shown);
        let again = |method: &'static str, params: Value| {
            let of = move |seen: &Seen| {
                let same = params.as_object().unwrap().iter();
                let mut same = same.map(|(key, value)| seen.message["params"][key] == *value);
                seen.message["method"] == method && seen.session != old && same.all(|same| same)
            };
            async { scene.backend.saw_where(of).await }
        };
        let again = (
            again.clone()("resources/subscribe", uri),
            again("logging/setLevel", level),
        );
        tokio::join!(again.0, again.1);
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_accepted_is_not_sent_again() {
    let script = |method: &str, params: &Value| match method {
        "tools/call" if params["name"] == "ask" => Some(Reaction::Hang),
        _ => plain(method, params),
    };
    for way in WAYS {
        let scene = Scene::scripted(way, "2025-11-25", script).await;
        let gateway = Gateway::start(&scene.fleet_with("restart: {first: 10ms}"));
        let client = Stateful::open(&gateway.url(), "2025-11-25").await;
        let calling = tokio::spawn({
            let client = client.clone();
            async move { client.ask("tools/call", ask()).await }
        });
        scene.backend.saw("tools/call").await;
        crash(&scene);
        let failed = calling.await.unwrap();
        assert_eq!(
            failed["result"]["isError"], true,
            "{}: {failed}",
            scene.shown
        );
        assert!(text(&failed).contains("`b`"), "{failed}");
        let called = client.ask("tools/call", json!({"name": "b__plain"})).await;
        assert_eq!(text(&called), "\"plain\"", "{}: {called}", scene.shown);
        let calls = scene.backend.seen().into_iter().filter(|seen| {
            seen.message["method"] == "tools/call" && seen.message["params"]["name"] == "ask"
        });
        assert_eq!(calls.count(), 1, "{}", scene.shown);
    }
}

#[tokio::test]
async fn a_request_that_was_provably_not_accepted_is_sent_again_and_may_ask() {
    let lost = std::sync::atomic::AtomicBool::new(false);
    let scene = Scene::scripted(Way::Http, "2025-11-25", move |method, params| {
        if method == "tools/call" && !lost.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Some(Reaction::Http(
                404,
                "text/plain",
                b"no such session".to_vec(),
            ));
        }
        plain(method, params)
    })
    .await;
    let gateway = Gateway::start(&scene.fleet());
    let mut client = client_of(&gateway).await;
    let (questions, response) = client.converse("tools/call", ask(), answer_to).await;
    assert_eq!(questions.len(), 1, "{response}");
    assert_eq!(text(&response), "\"asked\"", "{response}");
}

#[tokio::test]
async fn a_backend_hears_that_its_clients_roots_have_changed_before_it_is_called_again() {
    for way in WAYS {
        let scene = Scene::scripted(way, "2025-11-25", plain).await;
        let gateway = Gateway::start(&scene.fleet());
        let mut client = client_of(&gateway).await;
        client.converse("tools/call", ask(), answer_to).await;
        let changed = "notifications/roots/list_changed";
        assert_eq!(scene.backend.count(changed), 0, "{}", scene.shown);
        client
            .say(&json!({"jsonrpc": "2.0", "method": changed}))
            .await;
        client.converse("tools/call", ask(), answer_to).await;
        scene.backend.saw(changed).await;
        client.converse("tools/call", ask(), answer_to).await;
        assert_eq!(scene.backend.count(changed), 1, "{}", scene.shown);
    }
}

#[tokio::test]
async fn a_clients_session_survives_a_gateway_that_is_killed_and_may_still_be_asked() {
    let rounds = vec![vec![form("name"), roots("r")]];
    for (way, revision) in [
        (Way::Http, "2025-11-25"),
        (Way::Pipe, "2025-11-25"),
        (Way::Http, "2026-07-28"),
    ] {
        let scene = Scene::asking(way, revision, rounds.clone()).await;
        let gateway = Gateway::start(&scene.fleet());
        let all = everything("2025-11-25");
        let session = Stateful::open_with(&gateway.url(), "2025-11-25", all).await;
        let gateway = gateway.killed_and_started_again(&scene.fleet());
        let mut client = Live::resumed(&gateway, session);
        let (questions, response) = client.converse("tools/call", ask(), answer_to).await;
        assert_eq!(questions.len(), 2, "{}: {response}", scene.shown);
        assert_eq!(told(&response), all_told(&rounds), "{}", scene.shown);
    }
}

#[tokio::test]
async fn a_client_that_never_says_goodbye_is_forgotten_and_so_is_its_session_at_the_backend() {
    let scene = Scene::scripted(Way::Http, "2025-11-25", plain).await;
    let fleet = format!("bounds: {{session_idle: 500ms}}\n{}", scene.fleet());
    let gateway = Gateway::start(&fleet);
    let before = {
        let client = Stateless::new(&gateway.url());
        client.ask("tools/call", json!({"name": "b__plain"})).await;
        scene.backend.open_sessions()
    };
    let mut silent = Vec::new();
    for _ in 0..3 {
        let client = Stateful::open(&gateway.url(), "2025-11-25").await;
        client.ask("tools/call", json!({"name": "b__plain"})).await;
        silent.push(client);
    }
    scene.backend.has_open_sessions(before).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(silent[0].post(&ping).await.status, 404);
}

#[tokio::test]
async fn nothing_that_clients_declare_or_do_opens_sessions_without_end() {
    let scene = Scene::scripted(Way::Http, "2025-11-25", plain).await;
    let settings = "bounds: {conversations: 6, conversations_per_principal: 4}";
    let gateway = Gateway::start(&scene.fleet_with(settings));
    let client = Stateless::new(&gateway.url());
    let call = json!({"name": "b__plain"});
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    // What nobody knows makes no difference.
    for number in 0..10 {
        let declared =
            json!({"experimental": {format!("x{number}"): {}}, format!("y{number}"): {}});
        let meta = json!({capabilities: declared});
        let called = client
            .post("tools/call", call.clone(), meta)
            .await
            .json()
            .await;
        assert_eq!(text(&called), "\"plain\"", "{called}");
    }
    assert!(scene.backend.open_sessions() <= 2);
    // Every combination of what is known, and clients with sessions of their own that stay.
    let kinds = [
        ("elicitation", json!({"url": {}})),
        ("sampling", json!({})),
        ("roots", json!({})),
    ];
    let mut stay = Vec::new();
    for number in 0..8 {
        let chosen = kinds
            .iter()
            .enumerate()
            .filter(|(bit, _)| number & (1 << bit) != 0);
        let declared: Value = Value::Object(
            chosen
                .map(|(_, (kind, value))| ((*kind).to_owned(), value.clone()))
                .collect(),
        );
        let meta = json!({capabilities: declared});
        let answered = client
            .post("tools/call", call.clone(), meta)
            .await
            .json()
            .await;
        assert!(answered["result"].is_object(), "{answered}");
        let session = Stateful::open_with(&gateway.url(), "2025-11-25", declared).await;
        let answered = session.ask("tools/call", call.clone()).await;
        assert!(answered["result"].is_object(), "{answered}");
        stay.push(session);
        assert!(scene.backend.open_sessions() <= 6);
    }
    assert_eq!(keys(&client.ask("tools/list", json!({})).await).len(), 3);
}
