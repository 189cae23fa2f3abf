//! What a stateless request carries, and how it is taken back.

use isthmus_protocol::LogLevel;

use super::*;

#[tokio::test]
async fn a_request_describes_itself_in_its_body_and_headers() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let outgoing = Outgoing {
        method: Method::ToolsCall,
        params: json(r#"{"name":"käse","arguments":{"region":"eu","n":1.0},"_meta":{"vendor":1}}"#),
        wants: Wants {
            progress: true,
            log_level: Some(LogLevel::Info),
        },
        trace: TraceContext {
            parent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            ..TraceContext::default()
        },
        capabilities: json(r#"{"elicitation":{}}"#),
        tool: Some(json(
            r#"{"name":"käse","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}"#,
        )),
        asker: None,
    };
    let calling = send(&conversation, outgoing);
    let post = backend.post().await;
    for (name, value) in [
        ("mcp-protocol-version", Some("2026-07-28")),
        ("mcp-method", Some("tools/call")),
        ("mcp-name", Some("=?base64?a8Okc2U=?=")),
        ("mcp-param-region", Some("eu")),
        ("accept", Some("application/json, text/event-stream")),
        ("content-type", Some("application/json")),
        ("x-key", Some("s3cret")),
        ("mcp-session-id", None),
    ] {
        assert_eq!(post.header(name), value, "{name}");
    }
    let body = post.json();
    assert_eq!(body["params"]["name"], "käse");
    assert!(String::from_utf8_lossy(&post.body).contains(r#""arguments":{"region":"eu","n":1.0}"#));
    let meta = &body["params"]["_meta"];
    assert_eq!(meta["vendor"], 1);
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        serde_json::json!({"elicitation":{}})
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientInfo"]["name"],
        "isthmus"
    );
    assert_eq!(meta["io.modelcontextprotocol/logLevel"], "info");
    assert_eq!(
        meta["progressToken"].to_string(),
        token_of(&body["id"].to_string())
    );
    assert_eq!(
        meta["traceparent"],
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    );
    post.answer_result(r#"{"resultType":"complete"}"#);
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_a_reply_closes_its_stream_and_says_nothing() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let calling = send(&conversation, call_with_progress("a"));
    let post = backend.post().await;
    let token = token_of(&post.id());
    let stream = post.open_stream();
    stream
        .event(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
        ))
        .await;
    drop(calling.await.unwrap().unwrap());
    stream.abandoned().await;
    let calling = send(&conversation, call("b"));
    backend.post_of("tools/call").await.answer_result("{}");
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_a_request_without_an_answer_closes_its_connection() {
    let mut backend = ScriptedBackend::start().await;
    let conversation = stateless(&backend.endpoint());
    let calling = send(&conversation, call("a"));
    let post = backend.post().await;
    calling.abort();
    post.abandoned().await;
}

#[tokio::test]
async fn replicas_take_turns_and_one_that_is_down_is_passed_over() {
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/mcp", listener.local_addr().unwrap())
    };
    let mut one = ScriptedBackend::start().await;
    let mut other = ScriptedBackend::start().await;
    let endpoint = one.endpoint_with(&[&one.url, &dead, &other.url], |_| {});
    let conversation = stateless(&endpoint);
    for expected_at_one in [true, false, false, true] {
        let calling = send(&conversation, call("a"));
        let backend = if expected_at_one {
            &mut one
        } else {
            &mut other
        };
        backend.post().await.answer_result("{}");
        calling.await.unwrap().unwrap();
    }
    assert!(!conversation.closed().is_cancelled());
}
