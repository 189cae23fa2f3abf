//! The official Rust SDK on both sides: its clients, of both eras and over both faces, in front of servers written with it.

use std::time::Duration;

use rmcp::ServiceError;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ContentBlock, GetPromptRequestParams,
    ServerNotification, SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::PeerRequestOptions;
use serde_json::{Value, json};

use crate::support::inquiry::{Rounds, all_between, all_told};
use crate::support::rust_sdk::{Heard, SdkClient, for_every_client, for_every_client_of};
use crate::support::rust_sdk_server::Asker;
use crate::support::scene::{Scene, Way};

fn text(content: &[ContentBlock]) -> &str {
    &content[0].as_text().unwrap().text
}

fn arguments(value: Value) -> rmcp::model::JsonObject {
    let Value::Object(arguments) = value else {
        panic!("not an object: {value}");
    };
    arguments
}

#[tokio::test]
async fn the_merged_lists_are_those_of_both_servers() {
    for_every_client(async |client| {
        let shown = &client.shown;
        let tools = client.sdk.list_all_tools().await.unwrap();
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(
            names,
            [
                "notes__add_note",
                "weather__current_weather",
                "weather__measure"
            ],
            "{shown}"
        );
        assert!(
            tools[1].output_schema.is_some() && tools[1].annotations.is_some(),
            "{shown}"
        );
        let resources = client.sdk.list_all_resources().await.unwrap();
        let uris: Vec<_> = resources
            .iter()
            .map(|resource| resource.uri.as_str())
            .collect();
        assert_eq!(uris, ["note://welcome", "weather://station"], "{shown}");
        let templates = client.sdk.list_all_resource_templates().await.unwrap();
        let templates: Vec<_> = templates
            .iter()
            .map(|template| template.uri_template.as_str())
            .collect();
        assert_eq!(
            templates,
            ["note://{title}", "weather://{city}/today"],
            "{shown}"
        );
        let prompts = client.sdk.list_all_prompts().await.unwrap();
        let prompts: Vec<_> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
        assert_eq!(
            prompts,
            ["notes__summarize_note", "weather__packing_list"],
            "{shown}"
        );
        let info = client.sdk.peer_info().unwrap();
        assert_eq!(info.server_info.as_ref().unwrap().name, "isthmus");
    })
    .await;
}

#[tokio::test]
async fn calls_reads_prompts_and_completions_reach_the_right_server() {
    for_every_client(async |client| {
        let shown = &client.shown;
        client.sdk.list_all_tools().await.unwrap();
        let oslo = json!({"city": "Oslo", "sky": "snowing", "temperature": -3.0});
        let told = client
            .call("weather__current_weather", json!({"city": "Oslo"}))
            .await
            .unwrap();
        assert_eq!(told.structured_content.unwrap(), oslo, "{shown}");
        let wrong = client
            .call("weather__current_weather", json!({"city": "Atlantis"}))
            .await
            .unwrap();
        assert_eq!(wrong.is_error, Some(true), "{shown}");
        assert!(text(&wrong.content).contains("Atlantis"), "{shown}");
        let unknown = client.call("weather__nothing", json!({})).await;
        assert!(
            matches!(unknown, Err(ServiceError::McpError(error)) if error.code.0 == -32602),
            "{shown}"
        );
        assert_eq!(
            client.read("note://welcome").await,
            "Ask me to remember something.",
            "{shown}"
        );
        let today: Value =
            serde_json::from_str(&client.read("weather://Oslo/today").await).unwrap();
        assert_eq!(today, oslo, "{shown}");
        let params = GetPromptRequestParams::new("weather__packing_list")
            .with_arguments(arguments(json!({"city": "Lima"})));
        let prompt = client.sdk.get_prompt(params).await.unwrap();
        assert!(
            format!("{:?}", prompt.messages[0].content).contains("In Lima it is foggy"),
            "{shown}"
        );
        let cities = client
            .sdk
            .complete_prompt_simple("weather__packing_list", "city", "L")
            .await
            .unwrap();
        assert_eq!(cities, ["Lima", "Lisbon"], "{shown}");
        let titles = client
            .sdk
            .complete_resource_simple("note://{title}", "title", "w")
            .await
            .unwrap();
        assert_eq!(titles, ["welcome"], "{shown}");
    })
    .await;
}

#[tokio::test]
async fn a_slow_tool_reports_progress_on_the_way() {
    for_every_client(async |client| {
        let measured = client
            .call("weather__measure", json!({"samples": 4}))
            .await
            .unwrap();
        assert_eq!(
            measured.structured_content.unwrap()["samples"],
            4,
            "{}",
            client.shown
        );
        let progress: Vec<_> = client
            .all_heard()
            .into_iter()
            .filter_map(|heard| match heard {
                Heard::Progress(progress) => {
                    Some((progress.progress, progress.total, progress.message.unwrap()))
                }
                _ => None,
            })
            .collect();
        let expected = [1, 2, 3, 4].map(|sample| {
            (
                f64::from(sample),
                Some(4.0),
                format!("sample {sample} of 4"),
            )
        });
        assert_eq!(progress, expected, "{}", client.shown);
    })
    .await;
}

#[tokio::test]
async fn cancelling_a_slow_tool_stops_it_at_its_server() {
    for_every_client(async |client| {
        let call = CallToolRequestParams::new("weather__measure")
            .with_arguments(arguments(json!({"samples": 600})));
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(call));
        let running = client
            .sdk
            .send_cancellable_request(request, PeerRequestOptions::no_options())
            .await
            .unwrap();
        client
            .hears(|heard| matches!(heard, Heard::Progress(_)))
            .await;
        running.cancel(Some("enough".to_owned())).await.unwrap();
        // The server counts what became of its measurements.
        let expected = json!({"running": 0, "finished": 0, "cancelled": 1});
        for _ in 0..1000 {
            if serde_json::from_str::<Value>(&client.read("weather://station").await).unwrap()
                == expected
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{}: {}",
            client.shown,
            client.read("weather://station").await
        );
    })
    .await;
}

/// Writes a note that changes both lists.
async fn write_note(client: &SdkClient) {
    let stored = client
        .call(
            "notes__add_note",
            json!({"title": "milk", "text": "two bottles"}),
        )
        .await
        .unwrap();
    assert_eq!(
        stored.structured_content.unwrap(),
        json!({"uri": "note://milk", "notes": 2}),
        "{}",
        client.shown
    );
}

#[tokio::test]
async fn changes_of_lists_are_heard_and_the_lists_then_have_them() {
    for_every_client(async |client| {
        let before = client.sdk.list_all_tools().await.unwrap().len();
        client.sdk.list_all_resources().await.unwrap();
        if client.stateless {
            let filter = SubscriptionFilter::builder()
                .tools_list_changed()
                .resources_list_changed()
                .build();
            let mut listen = client.sdk.listen(filter.clone()).await.unwrap();
            assert_eq!(*listen.acknowledged(), filter, "{}", client.shown);
            write_note(client).await;
            let (mut tools, mut resources) = (false, false);
            while !(tools && resources) {
                match listen.next().await.unwrap().unwrap() {
                    ServerNotification::ToolListChangedNotification(_) => tools = true,
                    ServerNotification::ResourceListChangedNotification(_) => resources = true,
                    other => panic!("{}: {other:?}", client.shown),
                }
            }
            listen.cancel().await.unwrap();
        } else {
            write_note(client).await;
            client.hears(|heard| *heard == Heard::Tools).await;
            client.hears(|heard| *heard == Heard::Resources).await;
        }
        assert_eq!(
            client.sdk.list_all_tools().await.unwrap().len(),
            before + 1,
            "{}",
            client.shown
        );
        let resources = client.sdk.list_all_resources().await.unwrap();
        assert!(
            resources
                .iter()
                .any(|resource| resource.uri == "note://milk"),
            "{}",
            client.shown
        );
        assert_eq!(client.read("note://milk").await, "two bottles");
    })
    .await;
}

#[tokio::test]
#[expect(deprecated, reason = "revisions before 2026-07-28 subscribe so")]
async fn a_resource_that_is_watched_is_heard_when_it_changes() {
    for_every_client(async |client| {
        const WATCHED: &str = "note://welcome";
        let rewrite = async |client: &SdkClient| {
            client
                .call(
                    "notes__add_note",
                    json!({"title": "welcome", "text": "changed"}),
                )
                .await
                .unwrap();
        };
        client.sdk.list_all_resources().await.unwrap();
        if client.stateless {
            let filter = SubscriptionFilter::builder()
                .resource_subscription(WATCHED)
                .build();
            let mut listen = client.sdk.listen(filter.clone()).await.unwrap();
            assert_eq!(*listen.acknowledged(), filter, "{}", client.shown);
            rewrite(client).await;
            let heard = listen.next().await.unwrap().unwrap();
            let ServerNotification::ResourceUpdatedNotification(updated) = heard else {
                panic!("{}: {heard:?}", client.shown);
            };
            assert_eq!(updated.params.uri, WATCHED);
        } else {
            client
                .sdk
                .subscribe(SubscribeRequestParams::new(WATCHED))
                .await
                .unwrap();
            rewrite(client).await;
            client
                .hears(|heard| *heard == Heard::Updated(WATCHED.to_owned()))
                .await;
            client
                .sdk
                .unsubscribe(UnsubscribeRequestParams::new(WATCHED))
                .await
                .unwrap();
        }
        assert_eq!(client.read(WATCHED).await, "changed", "{}", client.shown);
    })
    .await;
}

/// What a backend of this revision may ask a client of the SDK.
fn rounds(client: &SdkClient) -> Rounds {
    let client = client.shown.split_whitespace().next().unwrap();
    all_between(client, "2025-11-25")
}

#[tokio::test]
async fn clients_of_the_sdk_answer_whatever_backends_of_every_kind_ask() {
    for (way, revision) in [
        (Way::Http, "2025-11-25"),
        (Way::Beside, "2025-11-25"),
        (Way::Pipe, "2025-11-25"),
        (Way::Http, "2026-07-28"),
        (Way::Pipe, "2026-07-28"),
    ] {
        let choose = move |params: &Value| {
            all_between(
                params["arguments"]["client"].as_str().unwrap(),
                "2025-11-25",
            )
        };
        let scene = Scene::choosing(way, revision, choose).await;
        for_every_client_of(&scene.fleet(), async |client| {
            let shown = format!("{}, {}", client.shown, scene.shown);
            let rounds = rounds(client);
            let version = client.shown.split_whitespace().next().unwrap().to_owned();
            let result = client
                .call("b__ask", json!({"client": version}))
                .await
                .unwrap();
            let told: Value = serde_json::from_str(text(&result.content)).unwrap();
            assert_eq!(told, all_told(&rounds), "{shown}");
            let asked = client.all_heard();
            let asked = asked
                .iter()
                .filter(|heard| matches!(heard, Heard::Asked(_)));
            assert_eq!(asked.count(), rounds.iter().flatten().count(), "{shown}");
        })
        .await;
    }
}

#[tokio::test]
async fn servers_of_the_sdk_are_answered_by_clients_of_every_kind() {
    let server = Asker::start().await;
    // The same server, asked in the words of each era.
    for era in ["stateful", "stateless"] {
        let fleet = format!(
            "backends:\n  b:\n    http: {{urls: [{}]}}\n    era: {era}\n",
            server.url
        );
        for_every_client_of(&fleet, async |client| {
            let shown = format!("{}, {era}", client.shown);
            let result = client.call("b__ask", json!({})).await.unwrap();
            assert_eq!(text(&result.content), "my name", "{shown}");
            client
                .hears(|heard| matches!(heard, Heard::Asked(asked) if asked["method"] == "elicitation/create"))
                .await;
        })
        .await;
    }
}
