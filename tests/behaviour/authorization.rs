//! Rules decide what each caller sees and may use, the same way everywhere, and what is hidden is as if it were not there.

use serde_json::{Value, json};

use crate::authentication::visitor::{Key, Visitor, api_keys, new_key};
use crate::support::gateway::{command, config_in};
use crate::support::offering::{LISTS, keys, offering, prompts, resources, templates, text};
use crate::support::{Backend, Gateway};
use crate::tasks::workshop::Workshop;

const RULES: &str = r#"
authorization:
  rules:
    - hide: 'name.contains("secret") && principal.subject != "boss"'
    - step_up: 'name.contains("write")'
      scopes: [files:write]
    - hide: 'kind == "tool" && arguments.path.startsWith("/etc")'
    - allow: 'kind == "tool" && item.annotations.readOnlyHint || kind != "tool" || name.contains("write")'
"#;

fn lists() -> Value {
    let tool = |name: &str, read_only: bool| json!({"name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": read_only}});
    json!({
        "tools": [tool("read", true), tool("write", false), tool("secret", true), tool("delete", false)],
        "prompts": prompts(&["hello", "secret", "write"]),
        "resources": resources(&["x:/a", "x:/secret", "x:/write"]),
        "resourceTemplates": templates(&["t:/{+any}", "secret:/{any}"]),
    })
}

struct Scene {
    backend: Backend,
    _other: Backend,
    gateway: Gateway,
    reader: Key,
    writer: Key,
    boss: Key,
}

impl Scene {
    async fn start() -> Self {
        let backend = Backend::start("2025-11-25", offering("b", lists())).await;
        // With one backend alone every URI would lead there.
        let other = Backend::start("2025-11-25", offering("c", json!({"tools": []}))).await;
        let (reader, writer, boss) = (
            new_key("reader", &[]),
            new_key("writer", &["--scopes", "files:write"]),
            new_key("boss", &[]),
        );
        let keys = api_keys(&[&reader, &writer, &boss]);
        let fleet = format!(
            "authentication: [api_keys: {{}}]\n{keys}{RULES}backends:\n{}{}",
            backend.entry("b"),
            other.entry("c"),
        );
        let gateway = Gateway::start(&fleet);
        Self {
            backend,
            _other: other,
            gateway,
            reader,
            writer,
            boss,
        }
    }

    fn visitor(&self, key: &Key) -> Visitor {
        Visitor::with(&self.gateway.url(), &key.key)
    }
}

#[tokio::test]
async fn each_caller_sees_what_the_rules_let_it_see() {
    let scene = Scene::start().await;
    let seen = async |key: &Key| {
        let client = scene.visitor(key).open().await;
        let mut seen = Vec::new();
        for method in LISTS {
            let stateful = keys(&client.ask(method, json!({})).await);
            let visitor = scene.visitor(key);
            let stateless = visitor.stateless(method, json!({}), json!({})).await;
            let stateless = stateless.json().await;
            // What depends on who asks must not be kept for others.
            assert_eq!(stateless["result"]["cacheScope"], "private");
            assert_eq!(keys(&stateless), stateful);
            seen.push(stateful.join(" "));
        }
        seen
    };
    let everybody = [
        "b__read b__write",
        "b__hello b__write",
        "x:/a x:/write",
        "t:/{+any}",
    ];
    assert_eq!(seen(&scene.reader).await, everybody);
    assert_eq!(seen(&scene.writer).await, everybody);
    let boss = [
        "b__read b__write b__secret",
        "b__hello b__secret b__write",
        "x:/a x:/secret x:/write",
        "t:/{+any} secret:/{any}",
    ];
    assert_eq!(seen(&scene.boss).await, boss);
}

/// Ways to use something called `name`, which is a resource too.
fn uses(name: &str) -> [(&'static str, Value); 8] {
    let argument = json!({"name": "a", "value": ""});
    [
        (
            "tools/call",
            json!({"name": format!("b__{name}"), "arguments": {"path": "/"}}),
        ),
        ("prompts/get", json!({"name": format!("b__{name}")})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": format!("b__{name}")}, "argument": argument}),
        ),
        ("resources/read", json!({"uri": format!("x:/{name}")})),
        ("resources/read", json!({"uri": format!("b+x:/{name}")})),
        (
            "resources/read",
            json!({"uri": format!("t:/{name}/through/a/template")}),
        ),
        ("resources/subscribe", json!({"uri": format!("x:/{name}")})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": format!("x:/{name}")}, "argument": argument}),
        ),
    ]
}

#[tokio::test]
async fn what_is_hidden_answers_byte_for_byte_like_what_is_absent() {
    let scene = Scene::start().await;
    let client = scene.visitor(&scene.reader).open().await;
    let bare = [
        ("tools/call", json!({"name": "secret"})),
        ("prompts/get", json!({"name": "secret"})),
    ];
    for (method, params) in uses("secret").into_iter().chain(bare) {
        if params["uri"]
            .as_str()
            .is_some_and(|uri| uri.starts_with("t:"))
        {
            continue;
        }
        let absent: Value =
            serde_json::from_str(&params.to_string().replace("secret", "cesret")).unwrap();
        // Of a URI that nobody lists only its backend could say that it is not there.
        let absent = if method.starts_with("resources") || params["ref"]["uri"].is_string() {
            serde_json::from_str(
                &absent
                    .to_string()
                    .replace("x:/", "q:/")
                    .replace("b+q:/", "q+q:/"),
            )
            .unwrap()
        } else {
            absent
        };
        let message =
            |params: &Value| json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": params});
        let one = client.post(&message(&params)).await;
        let other = client.post(&message(&absent)).await;
        assert_eq!(one.status, other.status, "{params}");
        let bytes = |answer: &[u8]| String::from_utf8(answer.to_vec()).unwrap();
        let (one, other) = (bytes(&one.bytes().await), bytes(&other.bytes().await));
        let same = other
            .replace("cesret", "secret")
            .replace("q+q:/", "b+x:/")
            .replace("q:/", "x:/");
        assert_eq!(one, same, "{params}");
        assert!(one.contains("error"), "{one}");
    }
    for method in [
        "tools/call",
        "prompts/get",
        "resources/read",
        "resources/subscribe",
        "completion/complete",
    ] {
        assert_eq!(scene.backend.count(method), 0, "{method}");
    }
}

#[tokio::test]
async fn what_the_rules_allow_reaches_the_backend() {
    let scene = Scene::start().await;
    let boss = scene.visitor(&scene.boss).open().await;
    for (method, params) in uses("secret") {
        let method_params = params.clone();
        let answer = boss.ask(method, method_params).await;
        // Only what is read through a template is called otherwise.
        if params["name"] == "b__secret" || method != "tools/call" {
            assert!(
                answer.get("error").is_none() || method == "resources/subscribe",
                "{answer}"
            );
        }
    }
    assert_eq!(scene.backend.count("tools/call"), 1);
    assert_eq!(scene.backend.count("resources/subscribe"), 1);
    let reader = scene.visitor(&scene.reader).open().await;
    assert_eq!(
        text(
            &reader
                .ask(
                    "tools/call",
                    json!({"name": "b__read", "arguments": {"path": "/a"}})
                )
                .await
        ),
        "b: read"
    );
    // A rule reads the arguments: what is not allowed with these is with others.
    let refused = reader
        .ask(
            "tools/call",
            json!({"name": "b__read", "arguments": {"path": "/etc/x"}}),
        )
        .await;
    assert_eq!(
        refused["error"]["message"],
        "`b__read` may not be used like this"
    );
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b__read","arguments":{"path":"/etc/x","Path":"/a"}}}"#;
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    let answer = reader
        .send("POST", &reader.url, &headers, twice.to_owned())
        .await
        .json()
        .await;
    assert_eq!(
        answer["error"]["message"],
        "`Path` is there twice: the server might read the other one"
    );
    assert_eq!(scene.backend.count("tools/call"), 2);
}

#[tokio::test]
async fn a_step_up_names_exactly_the_scopes_and_reaches_no_backend() {
    let scene = Scene::start().await;
    let reader = scene.visitor(&scene.reader);
    let session = reader.open().await;
    for (method, params) in uses("write") {
        let message = json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": params});
        let mut answers = vec![session.post(&message).await];
        if method != "resources/subscribe" {
            answers.push(reader.stateless(method, params.clone(), json!({})).await);
        }
        for answer in answers {
            assert_eq!(answer.status, 403, "{params}");
            assert_eq!(
                answer.header("www-authenticate"),
                "Bearer realm=\"mcp\", error=\"insufficient_scope\", error_description=\"this needs the scopes `files:write`\", scope=\"files:write\""
            );
            let body = answer.json().await;
            assert_eq!(
                body["error"]["data"],
                json!({"kind": "insufficientScope", "scopes": ["files:write"]})
            );
        }
    }
    for method in [
        "tools/call",
        "prompts/get",
        "resources/read",
        "resources/subscribe",
        "completion/complete",
    ] {
        assert_eq!(scene.backend.count(method), 0, "{method}");
    }
    let writer = scene.visitor(&scene.writer).open().await;
    let called = writer
        .ask(
            "tools/call",
            json!({"name": "b__write", "arguments": {"path": "/"}}),
        )
        .await;
    assert_eq!(text(&called), "b: write");
}

#[tokio::test]
async fn a_listen_leaves_out_what_its_caller_may_not_hear() {
    let scene = Scene::start().await;
    let uris = ["x:/a", "x:/secret", "x:/write"];
    let params =
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": uris}});
    let mut stream = scene
        .visitor(&scene.reader)
        .stateless("subscriptions/listen", params, json!({}))
        .await;
    let acknowledged = stream.event().await.unwrap();
    let honoured = &acknowledged["params"]["notifications"]["resourceSubscriptions"];
    assert!(
        !honoured.to_string().contains("secret") && !honoured.to_string().contains("write"),
        "{acknowledged}"
    );
}

#[tokio::test]
async fn new_rules_count_for_sessions_that_are_open_and_wrong_ones_change_nothing() {
    let backend = Backend::start("2025-11-25", offering("b", lists())).await;
    let key = new_key("anna", &[]);
    let fleet = |rules: &str| {
        format!(
            "authentication: [api_keys: {{}}]\n{}authorization: {{default: allow, rules: [{rules}]}}\nbackends:\n{}",
            api_keys(&[&key]),
            backend.entry("b")
        )
    };
    let gateway = Gateway::start(&fleet("hide: 'native == \"read\"'"));
    let client = Visitor::with(&gateway.url(), &key.key).open().await;
    let mut hears = client.listen().await;
    let call = async |name: &str| client.ask("tools/call", json!({"name": name})).await;
    assert_eq!(
        call("b__read").await["error"]["message"],
        "unknown tool: b__read"
    );
    gateway.rewrite_config(&fleet("hide: 'native == \"write\"'"));
    hears.notified("notifications/tools/list_changed").await;
    assert_eq!(text(&call("b__read").await), "b: read");
    assert_eq!(
        call("b__write").await["error"]["message"],
        "unknown tool: b__write"
    );
    gateway.rewrite_config(&fleet("hide: 'nativ == \"read\"'"));
    gateway.logs("there is no `nativ` here").await;
    assert!(gateway.log().contains("did you mean `native`?"));
    assert_eq!(text(&call("b__read").await), "b: read");
    assert_eq!(
        call("b__write").await["error"]["message"],
        "unknown tool: b__write"
    );
}

#[tokio::test]
async fn a_task_is_unknown_to_whom_its_tool_is_hidden() {
    let workshop = Workshop::of_core().await;
    let key = new_key("anna", &[]);
    let fleet = |rules: &str| {
        let keys = api_keys(&[&key]);
        format!(
            "authentication: [api_keys: {{}}]\n{keys}authorization: {{default: allow, rules: [{rules}]}}\n{}",
            workshop.fleet()
        )
    };
    let gateway = Gateway::start(&fleet("hide: 'native == \"other\"'"));
    let client = Visitor::with(&gateway.url(), &key.key).open().await;
    let params = json!({"name": "b__work", "arguments": {}, "task": {"ttl": 5000}});
    let created = client.ask("tools/call", params).await;
    let id = created["result"]["task"]["taskId"].clone();
    let about = json!({"taskId": id});
    let known = client.ask("tasks/get", about.clone()).await;
    assert_eq!(known["result"]["taskId"], id, "{known}");
    gateway.rewrite_config(&fleet("hide: 'native == \"work\"'"));
    gateway.logs("reloaded").await;
    let looks = workshop.backend.count("tasks/get");
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let unknown = client.ask(method, about.clone()).await;
        assert_eq!(unknown["error"]["message"], "no such task", "{unknown}");
    }
    let listed = client.ask("tasks/list", json!({})).await;
    assert!(
        !listed.to_string().contains(id.as_str().unwrap()),
        "{listed}"
    );
    assert_eq!(workshop.backend.count("tasks/get"), looks);
    gateway.rewrite_config(
        &fleet("step_up: 'native == \"work\"', scopes: [work]")
            .replace("rules: [step_up", "rules: [{step_up")
            .replace("[work]]", "[work]}]"),
    );
    let message = json!({"jsonrpc": "2.0", "id": 5, "method": "tasks/get", "params": about});
    for _ in 0..200 {
        if client.post(&message).await.status == 403 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("a task of a step-up does not ask for scopes");
}

#[tokio::test]
async fn a_check_says_what_is_wrong_with_rules_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = "authorization: {rules: [allow: 'name == 3', {step_up: 'kind == \"tols\"', scopes: [a]}]}\n";
    let path = config_in(&folder, fleet);
    let checked = command(&folder).arg("check").arg(&path).output().unwrap();
    assert_eq!(checked.status.code(), Some(3));
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(
        said.contains("authorization.rules[0].allow: a string never equals an int"),
        "{said}"
    );
    assert!(
        said.contains("authorization.rules[1].step_up: this is never `tols`"),
        "{said}"
    );
    assert!(said.contains("gateway.yaml:"), "{said}");
}

#[tokio::test]
async fn an_operator_is_told_which_rule_decided() {
    let scene = Scene::start().await;
    let folder = tempfile::tempdir().unwrap();
    let keys = api_keys(&[&scene.reader, &scene.boss]);
    let fleet = format!(
        "authentication: [api_keys: {{}}]\n{keys}{RULES}routes: {{/mcp: {{tools: {{exclude: [b__delete], rename: {{b__read: look}}}}}}}}\nbackends:\n{}",
        scene.backend.entry("b")
    );
    let path = config_in(&folder, &fleet);
    std::fs::write(
        folder.path().join("claims.json"),
        r#"{"iss":"i","sub":"boss","scope":"files:write"}"#,
    )
    .unwrap();
    let explain = async |arguments: &[&str]| {
        let mut command = command(&folder);
        command
            .arg("explain")
            .arg("--config")
            .arg(&path)
            .args(arguments);
        let done = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let out = String::from_utf8(done.stdout).unwrap();
        (
            done.status.code(),
            out,
            String::from_utf8(done.stderr).unwrap(),
        )
    };
    let (code, out, err) = explain(&["--as", "reader", "--json"]).await;
    assert_eq!(code, Some(0), "{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let found = found.as_array().unwrap();
    let state = |kind: &str, native: &str| {
        let fits = |item: &&Value| item["kind"] == kind && item["native"] == native;
        let item = found
            .iter()
            .find(fits)
            .unwrap_or_else(|| panic!("no {native}: {out}"));
        item.clone()
    };
    assert_eq!(state("tool", "read")["state"], "renamed");
    assert_eq!(state("tool", "read")["name"], "look");
    assert_eq!(state("tool", "delete")["state"], "left out");
    let secret = state("prompt", "secret");
    assert_eq!(secret["state"], "hidden");
    assert_eq!(secret["rule"]["name"], "authorization.rules[0]");
    assert!(
        secret["rule"]["place"]
            .as_str()
            .unwrap()
            .contains("gateway.yaml:"),
        "{secret}"
    );
    let write = state("resource", "x:/write");
    assert_eq!(
        (&write["state"], &write["scopes"]),
        (&json!("step-up"), &json!(["files:write"]))
    );
    // The claims of a token, and one item, as a table.
    let (code, out, _) = explain(&["--as", "claims.json", "b__secret"]).await;
    assert_eq!(code, Some(0));
    assert!(
        out.contains("visible") && out.contains("authorization.rules[3]") && !out.contains("hello"),
        "{out}"
    );
    let (code, _, err) = explain(&["--as", "nobody"]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("keys are `reader`, `boss`"), "{err}");
    let (code, _, err) = explain(&["b__nothing"]).await;
    assert_eq!(code, Some(2), "{err}");
}
