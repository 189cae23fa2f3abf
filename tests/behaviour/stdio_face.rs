//! `isthmus stdio`: the fleet over one pipe, for clients of every revision, and nothing else on it.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::child::{ORDINARY, gone, started};
use crate::support::offering::{keys, offering, resources, text, tools};
use crate::support::pipe::Pipe;
use crate::support::{BACKEND_REVISIONS, Backend, Reaction, Stateless, child};

const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

fn shelf(method: &str, params: &Value) -> Option<Reaction> {
    offering(
        "b",
        json!({"tools": tools(&["t"]), "resources": resources(&["doc://a"])}),
    )(method, params)
}

/// A request of the stateless revision under this id.
fn stateless(id: &str, method: &str, params: Value, meta: Value) -> Value {
    let mut request = Stateless::request(method, params, meta);
    request["id"] = json!(id);
    request
}

/// Nothing that was asked for; lists may still be announced at any time.
fn is_notification(message: &Value) -> bool {
    message["method"].is_string() && message["id"].is_null()
}

async fn ask_stateless(pipe: &mut Pipe, id: &str, method: &str, params: Value) -> Value {
    pipe.say(&stateless(id, method, params, json!({}))).await;
    pipe.response(id).await
}

#[tokio::test]
async fn a_client_of_each_stateful_revision_opens_a_session_and_uses_it() {
    for backend_revision in BACKEND_REVISIONS {
        let backend = Backend::start(backend_revision, shelf).await;
        for revision in REVISIONS {
            let mut pipe = Pipe::start(&format!("backends:\n{}", backend.entry("b")));
            let opened = pipe.initialize(revision).await;
            assert_eq!(opened["result"]["protocolVersion"], revision, "{opened}");
            assert_eq!(opened["result"]["serverInfo"]["name"], "isthmus");
            assert_eq!(keys(&pipe.ask("tools/list", json!({})).await), ["b__t"]);
            let called = pipe
                .ask("tools/call", json!({"name": "b__t", "arguments": {}}))
                .await;
            assert_eq!(
                text(&called),
                "b: t",
                "{revision}, {backend_revision}: {called}"
            );
            assert!(called["result"].get("resultType").is_none(), "{called}");
            assert_eq!(
                text(&pipe.ask("resources/read", json!({"uri": "doc://a"})).await),
                "b: doc://a"
            );
            assert_eq!(pipe.ask("ping", json!({})).await["result"], json!({}));
            let (status, rest) = pipe.close().await;
            assert!(
                status.success() && rest.iter().all(is_notification),
                "{status} {rest:?}"
            );
        }
    }
}

#[tokio::test]
async fn requests_that_describe_themselves_need_no_session_and_can_stand_beside_one() {
    for revision in BACKEND_REVISIONS {
        let backend = Backend::start(revision, shelf).await;
        let mut pipe = Pipe::start(&format!("backends:\n{}", backend.entry("b")));
        let discovered = ask_stateless(&mut pipe, "d", "server/discover", json!({})).await;
        assert!(
            discovered["result"]["supportedVersions"]
                .as_array()
                .unwrap()
                .contains(&json!("2026-07-28"))
        );
        let both = async |pipe: &mut Pipe| {
            let listed = ask_stateless(pipe, "l", "tools/list", json!({})).await;
            assert_eq!(keys(&listed), ["b__t"]);
            assert_eq!(listed["result"]["resultType"], "complete", "{listed}");
            let called = ask_stateless(
                pipe,
                "c",
                "tools/call",
                json!({"name": "b__t", "arguments": {}}),
            )
            .await;
            assert_eq!(text(&called), "b: t", "{called}");
        };
        both(&mut pipe).await;
        let undescribed = pipe.ask("tools/list", json!({})).await;
        assert_eq!(
            undescribed["error"]["code"], -32600,
            "no session yet: {undescribed}"
        );
        pipe.initialize("2025-06-18").await;
        assert!(
            pipe.ask("tools/list", json!({})).await["result"]
                .get("resultType")
                .is_none()
        );
        both(&mut pipe).await;
    }
}

#[tokio::test]
async fn a_request_before_initialize_and_a_second_initialize_are_answered() {
    let backend = Backend::start("2025-11-25", shelf).await;
    let mut pipe = Pipe::start(&format!("backends:\n{}", backend.entry("b")));
    assert_eq!(pipe.ask("ping", json!({})).await["result"], json!({}));
    let early = pipe.ask("tools/call", json!({"name": "b__t"})).await;
    assert!(
        early["error"]["message"]
            .as_str()
            .unwrap()
            .contains("initialize"),
        "{early}"
    );
    pipe.initialize("2025-11-25").await;
    let again = pipe.initialize("2025-11-25").await;
    assert!(again["error"]["code"].is_i64(), "{again}");
    assert_eq!(keys(&pipe.ask("tools/list", json!({})).await), ["b__t"]);
}

#[tokio::test]
async fn a_batch_is_answered_in_a_session_of_2025_03_26_and_refused_in_every_other() {
    let backend = Backend::start("2025-11-25", shelf).await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": "one", "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/whatever"},
        {"jsonrpc": "2.0", "id": "two", "method": "tools/call", "params": {"name": "b__t", "arguments": {}}},
    ]);
    for revision in REVISIONS {
        let mut pipe = Pipe::start(&format!("backends:\n{}", backend.entry("b")));
        pipe.initialize(revision).await;
        pipe.say(&batch).await;
        if revision == "2025-03-26" {
            let answers = pipe.hear_where(Value::is_array).await;
            let mut ids: Vec<_> = answers
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["id"].as_str().unwrap())
                .collect();
            ids.sort_unstable();
            assert_eq!(ids, ["one", "two"]);
        } else {
            let refused = pipe
                .hear_where(|message| message.get("error").is_some())
                .await;
            assert_eq!(refused["error"]["code"], -32600, "{revision}: {refused}");
        }
        assert_eq!(
            pipe.ask("ping", json!({})).await["result"],
            json!({}),
            "{revision}"
        );
    }
}

#[tokio::test]
async fn cancelling_reaches_the_backend_and_nothing_more_is_said_of_the_request() {
    for backend_revision in BACKEND_REVISIONS {
        let script = |method: &str, params: &Value| match method {
            "tools/call" => Some(Reaction::Hang),
            _ => shelf(method, params),
        };
        let backend = Backend::start(backend_revision, script).await;
        let mut pipe = Pipe::start(&format!("backends:\n{}", backend.entry("b")));
        pipe.initialize("2025-11-25").await;
        let params = json!({"name": "b__t", "arguments": {}});
        let requests = [
            json!({"jsonrpc": "2.0", "id": "old", "method": "tools/call", "params": params}),
            stateless("new", "tools/call", params, json!({})),
        ];
        for (at, request) in requests.iter().enumerate() {
            pipe.say(request).await;
            backend.counted("tools/call", at + 1).await;
            let params = json!({"requestId": request["id"], "reason": "enough"});
            pipe.say(
                &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}),
            )
            .await;
            if backend_revision == "2026-07-28" {
                backend.streams_closed(at + 1).await;
            } else {
                backend.counted("notifications/cancelled", at + 1).await;
            }
        }
        assert_eq!(pipe.ask("ping", json!({})).await["result"], json!({}));
        let (_, rest) = pipe.close().await;
        assert!(
            rest.iter().all(|message| message["id"].is_null()),
            "{backend_revision}: {rest:?}"
        );
    }
}

#[tokio::test]
async fn progress_arrives_under_the_clients_own_token_before_the_response() {
    for backend_revision in BACKEND_REVISIONS {
        let script = |method: &str, params: &Value| {
            if method != "tools/call" {
                return shelf(method, params);
            }
            let (feed, fed) = mpsc::channel(4);
            let progress = json!({"progressToken": params["_meta"]["progressToken"], "progress": 1, "message": "half"});
            let progress =
                json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress});
            feed.try_send(progress.to_string()).unwrap();
            let result =
                r#"{"jsonrpc":"2.0","id":$id,"result":{"content":[],"resultType":"complete"}}"#;
            feed.try_send(result.to_owned()).unwrap();
            Some(Reaction::Stream(fed))
        };
        let backend = Backend::start(backend_revision, script).await;
        let mut pipe = Pipe::start(&format!("backends:\n{}", backend.entry("b")));
        pipe.initialize("2025-06-18").await;
        let params = json!({"name": "b__t", "arguments": {}});
        let mut stateful = params.clone();
        stateful["_meta"] = json!({"progressToken": "old"});
        let requests = [
            json!({"jsonrpc": "2.0", "id": "old", "method": "tools/call", "params": stateful}),
            stateless("new", "tools/call", params, json!({"progressToken": "new"})),
        ];
        for request in requests {
            pipe.say(&request).await;
            let id = request["id"].as_str().unwrap();
            assert_eq!(
                pipe.response(id).await["result"]["content"],
                json!([]),
                "{backend_revision}"
            );
            let progress = |message: &&Value| message["method"] == "notifications/progress";
            let before = pipe.unasked().iter().filter(progress);
            let before: Vec<_> = before
                .map(|message| message["params"]["progressToken"].clone())
                .collect();
            assert_eq!(before, [id], "{backend_revision}");
            let progress = pipe.notified("notifications/progress").await;
            assert_eq!(progress["params"]["message"], "half");
        }
    }
}

#[tokio::test]
async fn listens_stand_side_by_side_and_each_hears_its_own_under_its_own_id() {
    for revision in BACKEND_REVISIONS {
        let backend = Backend::start(revision, shelf).await;
        let mut pipe = Pipe::start(&format!("backends:\n{}", backend.entry("b")));
        let filters = [
            json!({"toolsListChanged": true}),
            json!({"resourceSubscriptions": ["doc://a"]}),
        ];
        ask_stateless(&mut pipe, "warm", "tools/list", json!({})).await;
        for (id, filter) in ["tools", "doc"].into_iter().zip(filters) {
            let listen = stateless(
                id,
                "subscriptions/listen",
                json!({"notifications": filter}),
                json!({}),
            );
            pipe.say(&listen).await;
            let acknowledged = pipe
                .notified("notifications/subscriptions/acknowledged")
                .await;
            assert_eq!(
                acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
                id
            );
            assert_eq!(
                acknowledged["params"]["notifications"], filter,
                "{revision}"
            );
        }
        backend.is_listened_to().await;
        backend
            .announce("notifications/resources/updated", json!({"uri": "doc://a"}))
            .await;
        backend
            .announce("notifications/tools/list_changed", json!({}))
            .await;
        for (method, id) in [
            ("notifications/tools/list_changed", "tools"),
            ("notifications/resources/updated", "doc"),
        ] {
            let heard = pipe.notified(method).await;
            assert_eq!(
                heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], id,
                "{revision}"
            );
        }
        // One is cancelled; the other goes on.
        let params = json!({"requestId": "tools"});
        pipe.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
            .await;
        ask_stateless(&mut pipe, "after", "tools/list", json!({})).await;
        backend
            .announce("notifications/tools/list_changed", json!({}))
            .await;
        backend
            .announce("notifications/resources/updated", json!({"uri": "doc://a"}))
            .await;
        pipe.notified("notifications/resources/updated").await;
        let (_, rest) = pipe.close().await;
        let about = |message: &&Value| message["method"] == "notifications/tools/list_changed";
        assert_eq!(rest.iter().find(about), None, "{revision}");
        // The one that was still open ends in an orderly way, with its own id.
        let ended = rest.iter().find(|message| message["id"] == "doc").unwrap();
        assert_eq!(
            ended["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "doc",
            "{ended}"
        );
    }
}

#[tokio::test]
async fn garbage_and_lines_that_are_too_long_get_an_error_and_the_pipe_lives_on() {
    let backend = Backend::start("2025-11-25", shelf).await;
    let mut pipe = Pipe::start(&format!(
        "bounds: {{line: 10KiB}}\nbackends:\n{}",
        backend.entry("b")
    ));
    pipe.initialize("2025-11-25").await;
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":"x","method":"ping","params":{{"x":"{}"}}}}"#,
        "y".repeat(20_000)
    );
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":"x","method":"ping","params":{}}}"#,
        "[".repeat(5_000)
    );
    for (line, code) in [
        ("not json", -32700),
        ("{\"jsonrpc\":\"2.0\",", -32700),
        (&deep, -32700),
        ("7", -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (&long, -32600),
    ] {
        pipe.say_raw(line).await;
        let shown = &line[..line.len().min(60)];
        let refused = pipe
            .hear_where(|message| message.get("error").is_some())
            .await;
        assert_eq!(refused["error"]["code"], code, "{shown}: {refused}");
        assert_eq!(
            pipe.ask("ping", json!({})).await["result"],
            json!({}),
            "{shown}"
        );
    }
    pipe.say_raw("").await;
    pipe.say_raw("  \r").await;
    assert_eq!(keys(&pipe.ask("tools/list", json!({})).await), ["b__t"]);
    let (status, rest) = pipe.close().await;
    assert!(
        status.success() && rest.iter().all(is_notification),
        "{status} {rest:?}"
    );
}

#[tokio::test]
async fn nothing_but_messages_is_written_and_no_process_is_left_behind() {
    let (own, folder) = child::folder();
    let chatty = child::Child {
        start: "echo 'Listening on stdio!'; echo 'debug: hello' >&2; sleep 1000 & note_pid $!",
        call: "echo oops; echo '{\"a\": 1}'; say_text done",
        ..ORDINARY
    };
    let entry = chatty.entry(&folder, "chatty");
    let mut pipe = Pipe::start_in(own, &format!("backends:\n{entry}"), &[]);
    pipe.initialize("2025-11-25").await;
    let called = pipe
        .ask("tools/call", json!({"name": "chatty__t", "arguments": {}}))
        .await;
    assert_eq!(text(&called), "done", "{called}");
    let pids = started(&folder, "chatty", 2).await;
    let (status, rest) = pipe.close().await;
    assert!(
        status.success() && rest.iter().all(is_notification),
        "{status} {rest:?}"
    );
    gone(&pids).await;
}

#[tokio::test]
async fn a_call_that_still_runs_when_the_client_closes_its_end_is_answered() {
    let (feed, fed) = mpsc::channel(1);
    let fed = std::sync::Mutex::new(Some(fed));
    let backend = Backend::start("2025-11-25", move |method, params| match method {
        "tools/call" => Some(Reaction::Stream(fed.lock().unwrap().take()?)),
        _ => shelf(method, params),
    })
    .await;
    let mut pipe = Pipe::start(&format!("backends:\n{}", backend.entry("b")));
    pipe.initialize("2025-11-25").await;
    let params = json!({"name": "b__t", "arguments": {}});
    pipe.say(&json!({"jsonrpc": "2.0", "id": "last", "method": "tools/call", "params": params}))
        .await;
    backend.saw("tools/call").await;
    let closing = tokio::spawn(pipe.close());
    feed.send(r#"{"jsonrpc":"2.0","id":$id,"result":{"content":[]}}"#.to_owned())
        .await
        .unwrap();
    let (status, rest) = closing.await.unwrap();
    assert!(status.success());
    assert!(
        rest.iter().any(|message| message["id"] == "last"),
        "{rest:?}"
    );
}

#[tokio::test]
async fn a_reload_reaches_the_client() {
    let one = Backend::start("2025-11-25", offering("1", json!({"tools": tools(&["a"])}))).await;
    let two = Backend::start("2026-07-28", offering("2", json!({"tools": tools(&["b"])}))).await;
    let mut pipe = Pipe::start(&format!("backends:\n{}", one.entry("one")));
    pipe.initialize("2025-06-18").await;
    assert_eq!(keys(&pipe.ask("tools/list", json!({})).await), ["one__a"]);
    pipe.rewrite_config(&format!(
        "backends:\n{}{}",
        one.entry("one"),
        two.entry("two")
    ));
    while keys(&pipe.ask("tools/list", json!({})).await) != ["one__a", "two__b"] {
        pipe.notified("notifications/tools/list_changed").await;
    }
    pipe.rewrite_config(&format!("backends:\n{}", two.entry("two")));
    while keys(&pipe.ask("tools/list", json!({})).await) != ["two__b"] {
        pipe.notified("notifications/tools/list_changed").await;
    }
    assert_eq!(
        text(
            &pipe
                .ask("tools/call", json!({"name": "two__b", "arguments": {}}))
                .await
        ),
        "2: b"
    );
}

#[tokio::test]
async fn a_route_can_be_chosen() {
    let (own, _) = child::folder();
    let backend = Backend::start(
        "2025-11-25",
        offering("1", json!({"tools": tools(&["a", "b"])})),
    )
    .await;
    let fleet = format!(
        "routes:\n  /all: {{}}\n  /few: {{tools: {{include: [\"*__a\"]}}}}\nbackends:\n{}",
        backend.entry("one")
    );
    let mut pipe = Pipe::start_in(own, &fleet, &["--route", "/few"]);
    pipe.initialize("2025-11-25").await;
    assert_eq!(keys(&pipe.ask("tools/list", json!({})).await), ["one__a"]);
}

#[tokio::test]
async fn sigterm_ends_it_and_its_children() {
    let (own, folder) = child::folder();
    let mut pipe = Pipe::start_in(
        own,
        &format!("backends:\n{}", ORDINARY.entry(&folder, "c")),
        &[],
    );
    pipe.initialize("2025-11-25").await;
    assert_eq!(keys(&pipe.ask("tools/list", json!({})).await), ["c__t"]);
    let pids = started(&folder, "c", 1).await;
    let sent = std::process::Command::new("kill")
        .arg(pipe.pid().to_string())
        .status()
        .unwrap();
    assert!(sent.success());
    assert!(pipe.ends().await.success());
    gone(&pids).await;
}
