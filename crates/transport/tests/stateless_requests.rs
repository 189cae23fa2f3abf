//! Requests of revision 2026-07-28: every one describes itself, and is checked before it goes anywhere.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{
    Attachment, CacheHint, Caller, Complete, Continuation, Error, ErrorKind, InputRequired,
    Outcome, Reply, Subject,
};
use isthmus_protocol::{JsonRpcError, LogLevel, Method, RawJson, Revision};
use isthmus_transport::ToolDefinitions;
use serde_json::json;
use support::{Setup, script::raw, start, start_with, stateless};

#[tokio::test]
async fn a_call_reaches_the_stage_without_what_belongs_to_the_hop_and_comes_back_with_our_stamp() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "files__read");
    let body = r#"{"jsonrpc":"2.0","id":"\u0061","method":"tools/call","params":{"name":"files__read","arguments":{ "n": 1.0 },"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"io.modelcontextprotocol/logLevel":"warning","progressToken":7,"traceparent":"00-x","mine":1},"requestState":"s","inputResponses":{"a":{}}}}"#;
    let asking = client.posting(body);
    let call = gateway.script.call().await;
    assert_eq!(call.request.method, Method::ToolsCall);
    assert_eq!(
        call.request.params.as_str(),
        r#"{"name":"files__read","arguments":{ "n": 1.0 },"_meta":{"mine":1}}"#
    );
    assert_eq!(call.request.subject, Subject::Name("files__read".into()));
    assert_eq!(call.request.caller.revision, Revision::V2026_07_28);
    assert_eq!(call.request.caller.attachment, Attachment::Detached);
    assert!(call.request.caller.capabilities.sampling());
    assert!(!call.request.caller.scope.is_session());
    assert!(call.request.wants.progress);
    assert_eq!(call.request.wants.log_level, Some(LogLevel::Warning));
    assert_eq!(call.request.trace.parent.as_deref(), Some("00-x"));
    let retry = call.request.retry.clone().unwrap();
    assert_eq!(retry.state, Some(Continuation::Opaque("s".to_owned())));
    assert_eq!(retry.responses.unwrap().as_str(), r#"{"a":{}}"#);
    call.complete(r#"{"content":[],"structuredContent":{"big":12345678901234567890123}}"#);
    let answer = asking.await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("mcp-session-id"), None);
    let text = answer.text().await;
    assert!(text.contains(r#""id":"\u0061""#), "{text}");
    assert!(text.contains("12345678901234567890123"), "{text}");
    let result = &serde_json::from_str::<serde_json::Value>(&text).unwrap()["result"];
    assert_eq!(result["resultType"], "complete");
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "isthmus"
    );
    assert!(result.get("ttlMs").is_none());
}

#[tokio::test]
async fn discover_names_every_revision_that_is_served_here() {
    let gateway = start().await;
    let client = gateway.client().stateless("server/discover", "");
    let answer = client.post(&stateless("1", "server/discover", "{}")).await;
    assert_eq!(answer.status, 200);
    let result = answer.json().await["result"].clone();
    assert_eq!(
        result["supportedVersions"],
        json!([
            "2026-07-28",
            "2025-11-25",
            "2025-06-18",
            "2025-03-26",
            "2024-11-05"
        ])
    );
    assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
    assert_eq!(result["instructions"], "be kind");
    assert_eq!(result["ttlMs"], 0);
    assert_eq!(result["cacheScope"], "private");
}

#[tokio::test]
async fn lists_say_how_long_they_may_be_kept() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/list", "");
    let asking = client.posting(&stateless("1", "tools/list", "{}"));
    let complete = Complete {
        result: raw(r#"{"tools":[]}"#),
        cache: Some(CacheHint {
            ttl: Duration::from_millis(1500),
            public: true,
        }),
    };
    let call = gateway.script.call().await;
    call.reply(Ok(Reply::ready(Outcome::Complete(complete))));
    let result = asking.await.unwrap().json().await["result"].clone();
    assert_eq!(result["ttlMs"], 1500);
    assert_eq!(result["cacheScope"], "public");
}

#[tokio::test]
async fn questions_are_handed_through_as_an_outcome() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "x");
    let asking = client.posting(&stateless("1", "tools/call", r#"{"name":"x"}"#));
    let required = InputRequired {
        requests: Some(raw(r#"{"a":{"method":"roots/list"}}"#)),
        state: Some(Continuation::Opaque("opaque".to_owned())),
    };
    let call = gateway.script.call().await;
    call.reply(Ok(Reply::ready(Outcome::InputRequired(required))));
    let result = asking.await.unwrap().json().await["result"].clone();
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result["inputRequests"]["a"]["method"], "roots/list");
    assert_eq!(result["requestState"], "opaque");
}

#[tokio::test]
async fn headers_that_are_missing_or_disagree_with_the_body_are_refused() {
    let gateway = start().await;
    let good = gateway.client().stateless("tools/call", "x");
    let body = stateless("5", "tools/call", r#"{"name":"x"}"#);
    for (name, value) in [
        ("mcp-protocol-version", ""),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-method", ""),
        ("mcp-method", "tools/list"),
        ("mcp-method", "Tools/Call"),
        ("mcp-name", ""),
        ("mcp-name", "X"),
        ("mcp-name", "=?base64?!!?="),
    ] {
        let answer = good.with(name, value).post(&body).await;
        assert_eq!(answer.status, 400, "{name}: {value}");
        let answer = answer.json().await;
        assert_eq!(answer["error"]["code"], -32020, "{name}: {value}");
        assert_eq!(answer["id"], 5);
    }
}

#[tokio::test]
async fn an_encoded_name_is_decoded_before_it_is_compared() {
    let mut gateway = start().await;
    let uri = "file:///ä";
    let client = gateway
        .client()
        .stateless("resources/read", "=?base64?ZmlsZTovLy/DpA==?=");
    let body = stateless("1", "resources/read", &format!(r#"{{"uri":"{uri}"}}"#));
    let asking = client.posting(&body);
    let call = gateway.script.call().await;
    assert_eq!(call.request.subject, Subject::Uri(uri.into()));
    call.complete(r#"{"contents":[]}"#);
    assert_eq!(asking.await.unwrap().status, 200);
}

#[tokio::test]
async fn an_incomplete_envelope_is_refused_and_is_not_taken_for_a_session() {
    let gateway = start().await;
    let client = gateway.client().stateless("server/discover", "");
    for meta in [
        r#"{}"#,
        r#"{"_meta":{}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":7,"io.modelcontextprotocol/clientCapabilities":{}}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":[]}}"#,
        r#"{"_meta":[]}"#,
    ] {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":9,"method":"server/discover","params":{meta}}}"#);
        let answer = client.post(&body).await;
        assert_eq!(answer.status, 400, "{meta}");
        let answer = answer.json().await;
        assert_eq!(answer["error"]["code"], -32602, "{meta}");
        assert_eq!(answer["id"], 9);
    }
}

#[tokio::test]
async fn a_revision_that_is_not_served_is_answered_with_those_that_are() {
    let gateway = start().await;
    for version in ["v999", "2025-06-18"] {
        let client = gateway
            .client()
            .stateless("server/discover", "")
            .with("mcp-protocol-version", version);
        let body = stateless("1", "server/discover", "{}").replace("2026-07-28", version);
        let answer = client.post(&body).await;
        assert_eq!(answer.status, 400);
        let error = answer.json().await["error"].clone();
        assert_eq!(error["code"], -32022);
        assert_eq!(error["data"]["requested"], version);
        assert_eq!(error["data"]["supported"][0], "2026-07-28");
    }
}

#[tokio::test]
async fn methods_of_sessions_are_unknown_here() {
    let gateway = start().await;
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
        "unknown/method",
    ] {
        let client = gateway.client().stateless(method, "");
        for params in ["{}", r#"{"uri":"x:y","level":"info"}"#] {
            let answer = client.post(&stateless("3", method, params)).await;
            assert_eq!(answer.status, 404, "{method}");
            let answer = answer.json().await;
            assert_eq!(answer["error"]["code"], -32601, "{method}");
            assert_eq!(answer["id"], 3);
        }
    }
}

#[tokio::test]
async fn a_session_header_means_nothing_here_and_none_is_ever_sent() {
    let mut gateway = start().await;
    let client = gateway
        .client()
        .stateless("tools/list", "")
        .with("mcp-session-id", "whatever");
    let asking = client.posting(&stateless("1", "tools/list", "{}"));
    gateway.script.call().await.complete(r#"{"tools":[]}"#);
    let answer = asking.await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("mcp-session-id"), None);
}

#[tokio::test]
async fn failures_get_their_own_status() {
    let mut gateway = start().await;
    let backend = || isthmus_exchange::BackendName::parse("files").unwrap();
    let roots = || raw(r#"{"roots":{}}"#);
    let soon = Duration::from_millis(1500);
    for (kind, status, code) in [
        (ErrorKind::InvalidParams, 200, -32602),
        (ErrorKind::MissingCapability(roots()), 400, -32021),
        (ErrorKind::MethodNotFound, 404, -32601),
        (ErrorKind::Limited { retry_after: soon }, 429, -32603),
        (ErrorKind::Internal, 500, -32603),
        (ErrorKind::BackendUnavailable(backend()), 200, -32603),
        (
            ErrorKind::Answered {
                backend: backend(),
                error: JsonRpcError::new(-32002, "gone"),
            },
            200,
            -32602,
        ),
    ] {
        let client = gateway.client().stateless("prompts/get", "x");
        let asking = client.posting(&stateless("1", "prompts/get", r#"{"name":"x"}"#));
        let call = gateway.script.call().await;
        call.fail(Error::new(kind.clone(), "no"));
        let answer = asking.await.unwrap();
        assert_eq!(answer.status, status, "{kind:?}");
        if status == 429 {
            assert_eq!(answer.header("retry-after"), Some("2"));
        }
        assert_eq!(answer.code().await, code, "{kind:?}");
    }
}

#[tokio::test]
async fn a_backend_that_is_down_makes_a_tool_result_that_a_model_can_read() {
    let mut gateway = start().await;
    let client = gateway.client().stateless("tools/call", "x");
    let asking = client.posting(&stateless("1", "tools/call", r#"{"name":"x"}"#));
    let backend = isthmus_exchange::BackendName::parse("files").unwrap();
    let call = gateway.script.call().await;
    call.fail(Error::new(
        ErrorKind::BackendUnavailable(backend),
        "it is not running",
    ));
    let answer = asking.await.unwrap();
    assert_eq!(answer.status, 200);
    let result = answer.json().await["result"].clone();
    assert_eq!(result["isError"], true);
    assert_eq!(result["resultType"], "complete");
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("`files`") && text.contains("try again"),
        "{text}"
    );
}

#[derive(Debug)]
struct OneTool;

impl ToolDefinitions for OneTool {
    fn definition(&self, name: &str, _caller: &Caller) -> Option<RawJson> {
        (name == "deploy").then(|| {
            raw(r#"{"name":"deploy","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}"#)
        })
    }
}

#[tokio::test]
async fn mirrored_parameters_must_say_what_the_arguments_say() {
    let mut gateway = start_with(Setup {
        face: Box::new(|mut face| {
            face.tools = Arc::new(OneTool);
            face
        }),
        ..Setup::default()
    })
    .await;
    let client = gateway.client().stateless("tools/call", "deploy");
    let params = r#"{"name":"deploy","arguments":{"region":"eu"}}"#;
    let body = stateless("1", "tools/call", params);
    for wrong in ["", "us"] {
        let answer = client.with("mcp-param-region", wrong).post(&body).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.code().await, -32020);
    }
    let asking = client.with("mcp-param-region", "eu").posting(&body);
    gateway.script.call().await.complete(r#"{"content":[]}"#);
    assert_eq!(asking.await.unwrap().status, 200);
}

#[tokio::test]
async fn notifications_are_accepted_and_have_no_answer() {
    let gateway = start().await;
    let client = gateway.client().stateless("notifications/cancelled", "");
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let answer = client.post(body).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.text().await, "");
}
