//! Resources: URIs stay as they are unless two backends mean different things by one, and every form leads home.

use serde_json::{Value, json};

use crate::support::offering::{keys, offering, resources, templates, text, tools};
use crate::support::{
    BACKEND_REVISIONS, Backend, Gateway, Reaction, STATEFUL_REVISIONS, Stateful, Stateless,
};

async fn read(client: &Stateless, uri: &str) -> Value {
    client.ask("resources/read", json!({"uri": uri})).await
}

/// Reads `uri`, and checks that the answer is about it and comes from where it should.
async fn leads_to(client: &Stateless, uri: &str, expected: &str) {
    let answer = read(client, uri).await;
    assert_eq!(text(&answer), expected, "{uri}");
    assert_eq!(answer["result"]["contents"][0]["uri"], uri, "{answer}");
}

/// A backend whose tool answers with every kind of link to `doc://a`.
async fn linking(revision: &'static str, label: &'static str) -> Backend {
    let lists = json!({
        "tools": [{"name": "link", "inputSchema": {"type": "object"}, "_meta": {"ui": {"resourceUri": "doc://a"}}}],
        "resources": resources(&["doc://a"]),
    });
    let inner = offering(label, lists);
    Backend::start(revision, move |method, params| match method {
        "tools/call" => Some(Reaction::Result(json!({
            "content": [
                {"type": "text", "text": "doc://a stays text"},
                {"type": "resource_link", "uri": "doc://a", "name": "a"},
                {"type": "resource", "resource": {"uri": "doc://a", "text": "doc://a"}},
            ],
            "structuredContent": {"uri": "doc://a"},
        }))),
        "prompts/get" => Some(Reaction::Result(json!({"messages": [
            {"role": "user", "content": {"type": "resource", "resource": {"uri": "doc://a", "text": "x"}}}]}))),
        _ => inner(method, params),
    })
    .await
}

#[tokio::test]
async fn a_uri_that_two_backends_list_is_raw_for_the_first_and_prefixed_for_the_other() {
    for revision in BACKEND_REVISIONS {
        let lists = || json!({"resources": resources(&["doc://a", "doc://b"])});
        let one = Backend::start(revision, offering("1", lists())).await;
        let two = Backend::start(
            revision,
            offering(
                "2",
                json!({"resources": resources(&["doc://a", "doc://c"])}),
            ),
        )
        .await;
        let gateway = Gateway::start(&format!(
            "backends:\n{}{}",
            one.entry("one"),
            two.entry("two")
        ));
        let client = Stateless::new(&gateway.url());
        let listed = client.ask("resources/list", json!({})).await;
        assert_eq!(
            keys(&listed),
            ["doc://a", "doc://b", "two+doc://a", "doc://c"],
            "{revision}"
        );
        leads_to(&client, "doc://a", "1: doc://a").await;
        leads_to(&client, "doc://b", "1: doc://b").await;
        leads_to(&client, "two+doc://a", "2: doc://a").await;
        leads_to(&client, "doc://c", "2: doc://c").await;
        // The prefixed form works for everything, listed so or not.
        leads_to(&client, "one+doc://a", "1: doc://a").await;
        leads_to(&client, "two+doc://c", "2: doc://c").await;
    }
}

#[tokio::test]
async fn links_in_results_are_rewritten_as_the_list_has_them_and_only_where_a_uri_belongs() {
    for revision in BACKEND_REVISIONS {
        let (one, two) = (linking(revision, "1").await, linking(revision, "2").await);
        let gateway = Gateway::start(&format!(
            "backends:\n{}{}",
            one.entry("one"),
            two.entry("two")
        ));
        let stateless = Stateless::new(&gateway.url());
        let tools = stateless.ask("tools/list", json!({})).await["result"]["tools"].clone();
        for (at, backend, uri) in [(0, "one", "doc://a"), (1, "two", "two+doc://a")] {
            assert_eq!(tools[at]["_meta"]["ui"]["resourceUri"], uri, "{tools}");
            let params = json!({"name": format!("{backend}__link"), "arguments": {}});
            let mut answers = vec![stateless.ask("tools/call", params.clone()).await];
            for client in STATEFUL_REVISIONS {
                let stateful = Stateful::open(&gateway.url(), client).await;
                answers.push(stateful.ask("tools/call", params.clone()).await);
            }
            for answer in answers {
                let content = &answer["result"]["content"];
                assert_eq!(content[0]["text"], "doc://a stays text", "{answer}");
                // Revisions before 2025-06-18 know no links: they get a text about it.
                if content[1]["type"] == "resource_link" {
                    assert_eq!(content[1]["uri"], uri, "{answer}");
                } else {
                    assert!(
                        content[1]["text"].as_str().unwrap().contains(uri),
                        "{answer}"
                    );
                }
                assert_eq!(content[2]["resource"]["uri"], uri, "{answer}");
                assert_eq!(content[2]["resource"]["text"], "doc://a", "{answer}");
            }
            let structured =
                stateless.ask("tools/call", params).await["result"]["structuredContent"].clone();
            assert_eq!(structured, json!({"uri": "doc://a"}));
        }
        leads_to(&stateless, "two+doc://a", "2: doc://a").await;
    }
}

#[tokio::test]
async fn a_link_that_no_list_mentions_leads_back_to_whoever_handed_it_out() {
    let answering = |label: &'static str| {
        let inner = offering(label, json!({"tools": tools(&["make"])}));
        move |method: &str, params: &Value| match method {
            "tools/call" => Some(Reaction::Result(
                json!({"content": [{"type": "resource_link", "uri": "made://1", "name": "1"}]}),
            )),
            _ => inner(method, params),
        }
    };
    let one = Backend::start("2025-11-25", answering("1")).await;
    let two = Backend::start("2026-07-28", answering("2")).await;
    let gateway = Gateway::start(&format!(
        "backends:\n{}{}",
        one.entry("one"),
        two.entry("two")
    ));
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    let nobody = client
        .ask("resources/read", json!({"uri": "made://1"}))
        .await;
    assert_eq!(nobody["error"]["code"], -32002, "{nobody}");
    for (backend, uri, expected) in [
        ("two", "made://1", "2: made://1"),
        ("one", "one+made://1", "1: made://1"),
    ] {
        let params = json!({"name": format!("{backend}__make"), "arguments": {}});
        let made = client.ask("tools/call", params).await;
        assert_eq!(made["result"]["content"][0]["uri"], uri, "{made}");
        let read = client.ask("resources/read", json!({"uri": uri})).await;
        assert_eq!(text(&read), expected);
        assert_eq!(read["result"]["contents"][0]["uri"], uri);
    }
    // It was handed out to that session and to nobody else.
    let other = Stateful::open(&gateway.url(), "2025-11-25").await;
    assert_eq!(
        other
            .ask("resources/read", json!({"uri": "made://1"}))
            .await["error"]["code"],
        -32002
    );
}

#[tokio::test]
async fn a_uri_that_is_not_listed_goes_to_the_template_that_says_most() {
    for revision in BACKEND_REVISIONS {
        let one = Backend::start(
            revision,
            offering(
                "1",
                json!({"resourceTemplates": templates(&["lib://{+path}", "one://{x}"])}),
            ),
        )
        .await;
        let two = Backend::start(
            revision,
            offering("2", json!({"resourceTemplates": templates(&["lib://books/{title}"]), "resources": resources(&["lib://films/x"])})),
        )
        .await;
        let gateway = Gateway::start(&format!(
            "backends:\n{}{}",
            one.entry("one"),
            two.entry("two")
        ));
        let client = Stateless::new(&gateway.url());
        for (uri, expected) in [
            ("lib://books/dune", "2: lib://books/dune"),
            ("lib://books/dune/2", "1: lib://books/dune/2"),
            ("lib://films/y", "1: lib://films/y"),
            ("lib://films/x", "2: lib://films/x"),
            ("one://1", "1: one://1"),
            ("two+lib://books/dune", "2: lib://books/dune"),
        ] {
            leads_to(&client, uri, expected).await;
        }
        let nobody = read(&client, "nobody://x").await;
        assert_eq!(nobody["error"]["code"], -32602, "{nobody}");
        assert_eq!(nobody["error"]["data"]["uri"], "nobody://x");
    }
}

#[tokio::test]
async fn the_completion_of_a_template_goes_to_the_backend_that_lists_it() {
    for revision in BACKEND_REVISIONS {
        let of = |own: &'static str| json!({"resourceTemplates": templates(&["same://{x}", own])});
        let one = Backend::start(revision, offering("1", of("one://{x}"))).await;
        let two = Backend::start(revision, offering("2", of("two://{x}"))).await;
        let gateway = Gateway::start(&format!(
            "backends:\n{}{}",
            one.entry("one"),
            two.entry("two")
        ));
        let client = Stateless::new(&gateway.url());
        let listed = keys(&client.ask("resources/templates/list", json!({})).await);
        assert_eq!(
            listed,
            ["same://{x}", "one://{x}", "two+same://{x}", "two://{x}"]
        );
        let expected = [
            "1: same://{x}",
            "1: one://{x}",
            "2: same://{x}",
            "2: two://{x}",
        ];
        for (uri, expected) in listed.iter().zip(expected) {
            let reference = json!({"type": "ref/resource", "uri": uri});
            let params = json!({"ref": reference, "argument": {"name": "x", "value": "a"}});
            assert_eq!(
                text(&client.ask("completion/complete", params).await),
                expected,
                "{revision}"
            );
        }
    }
}

#[tokio::test]
async fn a_backend_whose_uris_are_always_prefixed_is_listed_linked_and_read_so() {
    let backend = linking("2025-11-25", "1").await;
    let gateway = Gateway::start(&format!(
        "backends:\n{}    prefixed_uris: true\n",
        backend.entry("one")
    ));
    let client = Stateless::new(&gateway.url());
    assert_eq!(
        keys(&client.ask("resources/list", json!({})).await),
        ["one+doc://a"]
    );
    leads_to(&client, "one+doc://a", "1: doc://a").await;
    let called = client
        .ask("tools/call", json!({"name": "one__link", "arguments": {}}))
        .await;
    assert_eq!(
        called["result"]["content"][1]["uri"], "one+doc://a",
        "{called}"
    );
}

#[tokio::test]
async fn a_hidden_resource_is_not_listed_and_cannot_be_read() {
    let lists = json!({
        "resources": resources(&["doc://open", "doc://private/a"]),
        "resourceTemplates": templates(&["doc://private/{x}", "doc://{x}"]),
    });
    let backend = Backend::start("2025-11-25", offering("1", lists)).await;
    let gateway = Gateway::start(&format!(
        "routes:\n  /mcp: {{resources: {{exclude: [\"doc://private/*\"]}}}}\nbackends:\n{}",
        backend.entry("one")
    ));
    let client = Stateless::new(&gateway.url());
    assert_eq!(
        keys(&client.ask("resources/list", json!({})).await),
        ["doc://open"]
    );
    assert_eq!(
        keys(&client.ask("resources/templates/list", json!({})).await),
        ["doc://{x}"]
    );
    leads_to(&client, "doc://open", "1: doc://open").await;
    for hidden in ["doc://private/a", "doc://private/b"] {
        for uri in [hidden.to_owned(), format!("one+{hidden}")] {
            let refused = read(&client, &uri).await;
            assert_eq!(refused["error"]["code"], -32602, "{uri}: {refused}");
        }
    }
    assert_eq!(backend.count("resources/read"), 1);
}

#[tokio::test]
async fn what_is_said_of_a_resource_uses_the_uri_under_which_it_was_asked_for() {
    for revision in BACKEND_REVISIONS {
        let one = Backend::start(
            revision,
            offering("1", json!({"resources": resources(&["doc://a"])})),
        )
        .await;
        let two = Backend::start(
            revision,
            offering("2", json!({"resources": resources(&["doc://a"])})),
        )
        .await;
        let gateway = Gateway::start(&format!(
            "backends:\n{}{}",
            one.entry("one"),
            two.entry("two")
        ));
        let client = Stateful::open(&gateway.url(), "2025-11-25").await;
        client.ask("resources/list", json!({})).await;
        let mut stream = client.listen().await;
        for uri in ["doc://a", "two+doc://a"] {
            let subscribed = client.ask("resources/subscribe", json!({"uri": uri})).await;
            assert_eq!(subscribed["result"], json!({}), "{subscribed}");
        }
        for (backend, expected) in [(&two, "two+doc://a"), (&one, "doc://a")] {
            backend.is_listened_to().await;
            backend
                .announce("notifications/resources/updated", json!({"uri": "doc://a"}))
                .await;
            let heard = stream.notified("notifications/resources/updated").await;
            assert_eq!(heard["params"]["uri"], expected, "{revision}");
        }
    }
}

#[tokio::test]
async fn resources_templates_and_prompts_can_be_described_in_other_words() {
    let lists = json!({
        "resources": [{"uri": "doc://a", "name": "a", "description": "old"}],
        "resourceTemplates": [{"uriTemplate": "doc://{x}", "name": "x", "annotations": {"priority": 0.5}}],
        "prompts": [{"name": "greet", "description": "old"}],
    });
    let backend = Backend::start("2026-07-28", offering("1", lists)).await;
    let gateway = Gateway::start(&format!(
        "routes:
  /mcp:
    resources:
      override:
        doc://a: {{title: A, description: new}}
        'doc://{{x}}': {{annotations: {{audience: [user]}}}}
    prompts:
      rename: {{one__greet: hello}}
      override: {{one__greet: {{description: new}}}}
backends:\n{}",
        backend.entry("one")
    ));
    let client = Stateless::new(&gateway.url());
    let first = async |method: &str, member: &str| {
        client.ask(method, json!({})).await["result"][member][0].clone()
    };
    assert_eq!(
        first("resources/list", "resources").await,
        json!({"uri": "doc://a", "name": "a", "description": "new", "title": "A"})
    );
    assert_eq!(
        first("resources/templates/list", "resourceTemplates").await["annotations"],
        json!({"priority": 0.5, "audience": ["user"]})
    );
    assert_eq!(
        first("prompts/list", "prompts").await,
        json!({"name": "hello", "description": "new"})
    );
    let got = client.ask("prompts/get", json!({"name": "hello"})).await;
    assert_eq!(text(&got), "1: greet");
}
