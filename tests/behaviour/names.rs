//! Names: how tools and prompts are called towards clients, and what leads back to which backend.

use serde_json::{Value, json};

use crate::support::offering::{keys, offering, prompts, text, tools};
use crate::support::{BACKEND_REVISIONS, Backend, Gateway, Stateless};

/// A backend that offers these tools, and answers with its label and the name it was called by.
async fn backend(label: &'static str, names: &[&str]) -> Backend {
    Backend::start(
        "2025-11-25",
        offering(
            label,
            json!({"tools": tools(names), "prompts": prompts(names)}),
        ),
    )
    .await
}

async fn listed(client: &Stateless) -> Vec<String> {
    keys(&client.ask("tools/list", json!({})).await)
}

async fn call(client: &Stateless, name: &str) -> Value {
    client
        .ask("tools/call", json!({"name": name, "arguments": {}}))
        .await
}

/// Calls every listed tool and gets every listed prompt, and says what the backends were called by.
async fn natives(client: &Stateless) -> (Vec<String>, Vec<String>) {
    let (mut called, mut got) = (Vec::new(), Vec::new());
    for name in listed(client).await {
        called.push(text(&call(client, &name).await).to_owned());
    }
    for name in keys(&client.ask("prompts/list", json!({})).await) {
        got.push(text(&client.ask("prompts/get", json!({"name": name})).await).to_owned());
    }
    (called, got)
}

#[tokio::test]
async fn a_prefix_is_the_backends_name_or_what_the_config_says_or_nothing() {
    let (one, two, three) = (
        backend("1", &["t"]).await,
        backend("2", &["t"]).await,
        backend("3", &["t"]).await,
    );
    let gateway = Gateway::start(&format!(
        "backends:\n{}{}    prefix: Set-To_this\n{}    prefix: \"\"\n",
        one.entry("one"),
        two.entry("two"),
        three.entry("three")
    ));
    let client = Stateless::new(&gateway.url());
    assert_eq!(listed(&client).await, ["one__t", "Set-To_this__t", "t"]);
    let expected = ["1: t", "2: t", "3: t"].map(str::to_owned).to_vec();
    assert_eq!(natives(&client).await, (expected.clone(), expected));
}

#[tokio::test]
async fn long_and_odd_names_are_cut_to_the_budget_and_can_be_called() {
    let long =
        "a-name-that-is-a-good-deal-longer-than-any-client-would-want-to-see-in-its-list-of-tools";
    let longer = format!("{long}-2");
    let odd = [
        "dots.and/slashes",
        "dots/and.slashes",
        "ünïcödé",
        "with space",
        "__",
        long,
        &longer,
    ];
    for revision in BACKEND_REVISIONS {
        let lists = json!({"tools": tools(&odd), "prompts": prompts(&odd)});
        let backend = Backend::start(revision, offering("odd", lists)).await;
        let gateway = Gateway::start(&format!(
            "routes:\n  /mcp: {{}}\n  /short: {{names: {{budget: 20}}}}\n  /any: {{names: {{alphabet: any, budget: 128}}}}\nbackends:\n{}",
            backend.entry("b")
        ));
        for (path, budget) in [("/mcp", 48), ("/short", 20), ("/any", 128)] {
            let client = Stateless::new(&gateway.at(path));
            let mut names = listed(&client).await;
            let portable = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            for name in &names {
                assert!(name.chars().count() <= budget, "{path}: {name}");
                assert!(
                    path == "/any" || name.chars().all(portable),
                    "{path}: {name}"
                );
            }
            let called = odd.map(|name| format!("odd: {name}")).to_vec();
            assert_eq!(
                natives(&client).await,
                (called.clone(), called),
                "{revision} {path}"
            );
            names.sort();
            names.dedup();
            assert_eq!(names.len(), odd.len(), "{path}");
        }
    }
}

#[tokio::test]
async fn a_name_does_not_change_when_backends_come_go_or_move() {
    let (one, two) = (
        backend("1", &["same", "o.d.d"]).await,
        backend("2", &["same", "o.d.d"]).await,
    );
    let (first, second) = (one.entry("one"), two.entry("two"));
    let mut seen = Vec::new();
    for entries in [
        first.clone(),
        format!("{first}{second}"),
        format!("{second}{first}"),
    ] {
        let gateway = Gateway::start(&format!("backends:\n{entries}"));
        let names = listed(&Stateless::new(&gateway.url())).await;
        seen.push(
            names
                .into_iter()
                .filter(|name| name.starts_with("one"))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(seen[0].len(), 2);
    assert!(seen.iter().all(|names| *names == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn of_two_items_with_one_name_the_later_is_hidden_and_the_log_says_so() {
    let (one, two) = (
        backend("1", &["both", "one"]).await,
        backend("2", &["both", "two"]).await,
    );
    let gateway = Gateway::start(&format!(
        "backends:\n{}    prefix: \"\"\n{}    prefix: \"\"\n",
        one.entry("one"),
        two.entry("two")
    ));
    let client = Stateless::new(&gateway.url());
    assert_eq!(listed(&client).await, ["both", "one", "two"]);
    assert_eq!(text(&call(&client, "both").await), "1: both");
    let expected = ["1: both", "1: one", "2: two"].map(str::to_owned).to_vec();
    assert_eq!(natives(&client).await, (expected.clone(), expected));
    gateway
        .logs("tool `both` of `two` is hidden: `both` is already the name of an item of `one`")
        .await;
    gateway.logs("prompt `both` of `two` is hidden").await;
}

#[tokio::test]
async fn a_bare_native_name_leads_to_its_only_owner_and_is_refused_when_it_has_several() {
    let (one, two) = (
        backend("1", &["both", "one"]).await,
        backend("2", &["both", "two"]).await,
    );
    let gateway = Gateway::start(&format!(
        "backends:\n{}{}",
        one.entry("one"),
        two.entry("two")
    ));
    let client = Stateless::new(&gateway.url());
    assert_eq!(text(&call(&client, "one").await), "1: one");
    assert_eq!(text(&call(&client, "two").await), "2: two");
    assert_eq!(
        text(&client.ask("prompts/get", json!({"name": "two"})).await),
        "2: two"
    );
    for (method, params) in [
        ("tools/call", json!({"name": "both", "arguments": {}})),
        ("prompts/get", json!({"name": "both"})),
    ] {
        let refused = client.ask(method, params).await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        assert!(
            refused["error"]["message"]
                .as_str()
                .unwrap()
                .contains("several"),
            "{refused}"
        );
    }
    assert_eq!(one.count("tools/call") + two.count("tools/call"), 2);
}

#[tokio::test]
async fn what_is_not_included_or_is_excluded_is_as_if_it_were_not_there() {
    let (one, two) = (
        backend("1", &["read", "write", "delete"]).await,
        backend("2", &["read"]).await,
    );
    let gateway = Gateway::start(&format!(
        "routes:\n  /mcp:\n    tools: {{include: [\"one__*\"], exclude: [\"*__d?lete\"]}}\nbackends:\n{}{}",
        one.entry("one"),
        two.entry("two")
    ));
    let client = Stateless::new(&gateway.url());
    assert_eq!(listed(&client).await, ["one__read", "one__write"]);
    // Prompts have settings of their own.
    assert_eq!(keys(&client.ask("prompts/list", json!({})).await).len(), 4);
    let absent = call(&client, "nobody__has_this").await;
    for hidden in ["one__delete", "two__read", "delete"] {
        let refused = call(&client, hidden).await;
        let expected = absent.to_string().replace("nobody__has_this", hidden);
        assert_eq!(refused.to_string(), expected);
    }
    // What is hidden does not make a bare name ambiguous either.
    assert_eq!(text(&call(&client, "read").await), "1: read");
}

#[tokio::test]
async fn an_item_can_be_renamed_and_described_in_other_words() {
    let definition = json!({
        "name": "search", "title": "Old", "description": "old words", "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": false, "idempotentHint": true}, "x-unknown": 1.0,
    });
    let backend = Backend::start("2026-07-28", offering("1", json!({"tools": [definition]}))).await;
    let gateway = Gateway::start(&format!(
        "routes:
  /mcp:
    tools:
      rename: {{one__search: find_issue}}
      override:
        one__search: {{title: New, description: new words, annotations: {{readOnlyHint: true}}}}
backends:\n{}",
        backend.entry("one")
    ));
    let client = Stateless::new(&gateway.url());
    let tool = client.ask("tools/list", json!({})).await["result"]["tools"][0].clone();
    let expected = json!({
        "name": "find_issue", "title": "New", "description": "new words", "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": true, "idempotentHint": true}, "x-unknown": 1.0,
    });
    assert_eq!(tool, expected);
    assert_eq!(text(&call(&client, "find_issue").await), "1: search");
    assert_eq!(call(&client, "one__search").await["error"]["code"], -32602);
}

#[tokio::test]
async fn routes_show_different_views_of_one_fleet_that_runs_once() {
    let (one, two) = (
        backend("1", &["read", "write"]).await,
        backend("2", &["read"]).await,
    );
    let gateway = Gateway::start(&format!(
        "routes:
  /all: {{}}
  /readers: {{tools: {{include: [\"*__read\"]}}}}
  /two: {{backends: [two], tools: {{rename: {{two__read: look}}}}}}
backends:\n{}{}",
        one.entry("one"),
        two.entry("two")
    ));
    let at = |path| Stateless::new(&gateway.at(path));
    assert_eq!(
        listed(&at("/all")).await,
        ["one__read", "one__write", "two__read"]
    );
    assert_eq!(listed(&at("/readers")).await, ["one__read", "two__read"]);
    assert_eq!(listed(&at("/two")).await, ["look"]);
    assert_eq!(text(&call(&at("/two"), "look").await), "2: read");
    assert_eq!(text(&call(&at("/readers"), "two__read").await), "2: read");
    for (path, absent) in [
        ("/two", "one__read"),
        ("/readers", "one__write"),
        ("/all", "look"),
    ] {
        assert_eq!(
            call(&at(path), absent).await["error"]["code"],
            -32602,
            "{path}"
        );
    }
    assert_eq!((one.count("tools/list"), two.count("tools/list")), (1, 1));
}

#[tokio::test]
async fn the_completion_of_a_prompt_goes_to_the_backend_that_owns_it() {
    for revision in BACKEND_REVISIONS {
        let offers = || json!({"prompts": prompts(&["greet"])});
        let one = Backend::start(revision, offering("1", offers())).await;
        let two = Backend::start(revision, offering("2", offers())).await;
        let gateway = Gateway::start(&format!(
            "backends:\n{}{}",
            one.entry("one"),
            two.entry("two")
        ));
        let client = Stateless::new(&gateway.url());
        for (name, expected) in [("one__greet", "1: greet"), ("two__greet", "2: greet")] {
            let reference = json!({"type": "ref/prompt", "name": name});
            let params = json!({"ref": reference, "argument": {"name": "who", "value": "a"}});
            assert_eq!(
                text(&client.ask("completion/complete", params).await),
                expected,
                "{revision}"
            );
        }
    }
}
