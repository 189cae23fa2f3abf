//! MCP Apps: a tool and its page stay together whatever had to be renamed on the way.

use serde_json::{Value, json};

use crate::support::{BACKEND_REVISIONS, Backend, Gateway, Reaction, Stateful, Stateless};

const EXTENSION: &str = "io.modelcontextprotocol/ui";
const PAGE: &str = "ui://board/view";

/// A backend with an app: a tool that shows a page which no list has, and a tool for that page alone.
async fn app(revision: &'static str, label: &'static str) -> Backend {
    Backend::start(revision, move |method, params| match method {
        "tools/list" => Some(Reaction::Result(json!({"ttlMs": 60_000, "cacheScope": "public", "tools": [
            {"name": "show", "inputSchema": {"type": "object"},
                "_meta": {"ui": {"resourceUri": PAGE}, "ui/resourceUri": PAGE}},
            {"name": format!("refresh_{label}"), "inputSchema": {"type": "object"},
                "_meta": {"ui": {"resourceUri": PAGE, "visibility": ["app"]}}},
        ]}))),
        "tools/call" => Some(Reaction::Result(json!({
            "content": [{"type": "text", "text": format!("{label}: {}", params["name"].as_str().unwrap())}],
        }))),
        "resources/read" => Some(Reaction::Result(json!({"ttlMs": 0, "cacheScope": "private", "contents": [{
            "uri": params["uri"], "mimeType": "text/html;profile=mcp-app", "text": label,
            "_meta": {"ui": {"domain": "0123.example", "csp": {"connectDomains": ["https://api.example"]}}},
        }]}))),
        _ => None,
    })
    .await
}

fn shows_pages() -> Value {
    json!({"extensions": {EXTENSION: {"mimeTypes": ["text/html;profile=mcp-app"]}}})
}

fn envelope(capabilities: &Value) -> Value {
    json!({"io.modelcontextprotocol/clientCapabilities": capabilities})
}

async fn ask(client: &Stateless, capabilities: &Value, method: &str, params: Value) -> Value {
    let answer = client.post(method, params, envelope(capabilities)).await;
    answer.json().await
}

fn names(listed: &Value) -> Vec<&str> {
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect()
}

async fn two_apps(revision: &'static str) -> (Backend, Backend, Gateway) {
    let (one, two) = (app(revision, "one").await, app(revision, "two").await);
    let fleet = format!("backends:\n{}{}", one.entry("one"), two.entry("two"));
    let gateway = Gateway::start(&fleet);
    (one, two, gateway)
}

#[tokio::test]
async fn every_tool_leads_to_the_page_of_its_own_backend() {
    for revision in BACKEND_REVISIONS {
        let (_one, _two, gateway) = two_apps(revision).await;
        let client = Stateless::new(&gateway.url());
        let listed = ask(&client, &shows_pages(), "tools/list", json!({})).await;
        let tools = listed["result"]["tools"].as_array().unwrap().clone();
        for (name, uri, text) in [
            ("one__show", PAGE, "one"),
            ("two__show", "ui://two/board/view", "two"),
        ] {
            let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
            assert_eq!(tool["_meta"]["ui"]["resourceUri"], uri, "{tool}");
            assert_eq!(tool["_meta"]["ui/resourceUri"], uri, "{tool}");
            let read = client.ask("resources/read", json!({"uri": uri})).await;
            let contents = &read["result"]["contents"][0];
            assert_eq!(contents["uri"], uri, "{read}");
            assert_eq!(contents["text"], text, "{read}");
            let settings = &contents["_meta"]["ui"];
            assert!(settings.get("domain").is_none(), "{read}");
            let allowed = &settings["csp"]["connectDomains"];
            assert_eq!(*allowed, json!(["https://api.example"]), "{read}");
        }
    }
}

#[tokio::test]
async fn tools_for_pages_alone_are_for_clients_that_show_pages() {
    for revision in BACKEND_REVISIONS {
        let (_one, _two, gateway) = two_apps(revision).await;
        let all = [
            "one__show",
            "one__refresh_one",
            "two__show",
            "two__refresh_two",
        ];
        let without = ["one__show", "two__show"];

        let client = Stateless::new(&gateway.url());
        let host = ask(&client, &shows_pages(), "tools/list", json!({})).await;
        assert_eq!(names(&host), all);
        assert_eq!(host["result"]["cacheScope"], "private", "{host}");
        let plain = ask(&client, &json!({}), "tools/list", json!({})).await;
        assert_eq!(names(&plain), without);
        assert_eq!(plain["result"]["cacheScope"], "private", "{plain}");

        let host = Stateful::open_with(&gateway.url(), "2025-11-25", shows_pages()).await;
        assert_eq!(names(&host.ask("tools/list", json!({})).await), all);
        let plain = Stateful::open(&gateway.url(), "2025-11-25").await;
        assert_eq!(names(&plain.ask("tools/list", json!({})).await), without);
    }
}

#[tokio::test]
async fn a_page_calls_its_tools_by_the_names_that_are_written_into_it() {
    let (_one, _two, gateway) = two_apps("2025-11-25").await;
    let client = Stateless::new(&gateway.url());
    let call = async |name: &str| {
        let params = json!({"name": name, "arguments": {}});
        ask(&client, &shows_pages(), "tools/call", params).await
    };
    for (name, expected) in [
        ("refresh_one", "one: refresh_one"),
        ("refresh_two", "two: refresh_two"),
        ("two__show", "two: show"),
    ] {
        let answer = call(name).await;
        assert_eq!(answer["result"]["content"][0]["text"], expected, "{answer}");
    }
    let both = call("show").await;
    assert_eq!(both["error"]["code"], -32602, "{both}");
}

#[tokio::test]
async fn clients_of_both_eras_learn_that_there_are_apps() {
    for revision in BACKEND_REVISIONS {
        let (_one, _two, gateway) = two_apps(revision).await;
        let client = Stateless::new(&gateway.url());
        client.ask("tools/list", json!({})).await;
        let offered = client.ask("server/discover", json!({})).await;
        let extensions = &offered["result"]["capabilities"]["extensions"];
        assert!(extensions.get(EXTENSION).is_some(), "{offered}");
        let stateful = Stateful::open(&gateway.url(), "2025-11-25").await;
        let capabilities = &stateful.initialized["result"]["capabilities"];
        assert!(
            capabilities["extensions"].get(EXTENSION).is_some(),
            "{capabilities}"
        );
    }
}
