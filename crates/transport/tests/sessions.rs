//! Sessions of the stateful revisions: how they open, whom they belong to, how they end.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use isthmus_exchange::{
    Acknowledged, Attachment, Authenticator, BoxFuture, Challenge, Credentials, Error, ErrorKind,
    Event, Field, ListenFilter, Principal,
};
use isthmus_protocol::{LogLevel, Revision};
use isthmus_seal::SealKeys;
use serde_json::json;
use support::{Setup, start, start_with, stateful};

#[tokio::test]
async fn initialize_settles_the_revision_and_opens_a_session() {
    let gateway = start().await;
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let (answer, _) = gateway.client().initialize(revision).await;
        let result = &answer["result"];
        assert_eq!(result["protocolVersion"], revision);
        assert_eq!(result["serverInfo"]["name"], "isthmus");
        assert_eq!(result["instructions"], "be kind");
        assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
        assert!(result.get("resultType").is_none());
    }
    let (answer, _) = gateway.client().initialize("2031-01-01").await;
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn a_call_is_made_in_the_sessions_name_and_answered_in_its_revision() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let asking = client.posting(&stateful(
        "1",
        "tools/call",
        r#"{"name":"x","_meta":{"progressToken":1,"k":2}}"#,
    ));
    let call = gateway.script.call().await;
    assert_eq!(
        call.request.params.as_str(),
        r#"{"name":"x","_meta":{"k":2}}"#
    );
    assert_eq!(call.request.caller.revision, Revision::V2025_06_18);
    assert_eq!(call.request.caller.attachment, Attachment::Live);
    assert!(call.request.caller.scope.is_session());
    assert!(call.request.wants.progress);
    call.complete(r#"{"content":[]}"#);
    let answer = asking.await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json().await,
        json!({"jsonrpc":"2.0","id":1,"result":{"content":[]}})
    );
}

#[tokio::test]
async fn without_a_session_nothing_but_initialize_is_answered() {
    let gateway = start().await;
    let client = gateway.client();
    let answer = client.post(&stateful("4", "tools/list", "{}")).await;
    assert_eq!(answer.status, 400);
    let answer = answer.json().await;
    assert_eq!(answer["id"], 4);
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("initialize")
    );
    assert_eq!(client.get().await.status, 400);
    assert_eq!(client.delete().await.status, 400);
}

#[tokio::test]
async fn an_unknown_session_is_404_everywhere() {
    let gateway = start().await;
    let client = gateway.client().with("mcp-session-id", "made-up");
    let answer = client.post(&stateful("4", "tools/list", "{}")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json().await["id"], 4);
    assert_eq!(
        client
            .post(r#"{"jsonrpc":"2.0","method":"x"}"#)
            .await
            .status,
        404
    );
    assert_eq!(client.get().await.status, 404);
    assert_eq!(client.delete().await.status, 404);
}

#[tokio::test]
async fn delete_ends_a_session_and_cancels_its_requests() {
    let mut gateway = start().await;
    let client = gateway.session("2025-11-25").await;
    let asking = client.posting(&stateful("1", "tools/call", r#"{"name":"x"}"#));
    let call = gateway.script.call().await;
    let scope = Arc::clone(&call.request.caller.scope);
    let steps = call.begin();
    assert_eq!(client.delete().await.status, 204);
    steps.cancelled().await;
    assert!(scope.ended().is_cancelled());
    assert!(asking.await.unwrap().is_stream());
    let answer = client.post(&stateful("2", "ping", "{}")).await;
    assert_eq!(answer.status, 404);
    assert!(gateway.clients.sessions().is_empty());
}

#[tokio::test]
async fn the_revision_header_may_be_absent_but_not_nonsense() {
    let gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let ping = stateful("1", "ping", "{}");
    for (version, status) in [
        ("", 200),
        ("2025-06-18", 200),
        ("2025-03-26", 200),
        ("1999-01-01", 400),
        ("latest", 400),
    ] {
        let answer = client
            .with("mcp-protocol-version", version)
            .post(&ping)
            .await;
        assert_eq!(answer.status, status, "{version}");
    }
    let get = client.with("mcp-protocol-version", "latest").get().await;
    assert_eq!(get.status, 400);
}

#[tokio::test]
async fn the_rim_answers_ping_and_keeps_the_log_level() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let answer = client.post(&stateful("1", "ping", "{}")).await;
    assert_eq!(answer.json().await["result"], json!({}));
    let level = stateful("2", "logging/setLevel", r#"{"level":"error"}"#);
    assert_eq!(client.post(&level).await.json().await["result"], json!({}));
    let asking = client.posting(&stateful("3", "tools/call", r#"{"name":"x"}"#));
    let call = gateway.script.call().await;
    assert_eq!(call.request.wants.log_level, Some(LogLevel::Error));
    let steps = call.begin();
    steps.log("warning").await;
    steps.log("critical").await;
    let message = asking.await.unwrap().message().await.unwrap();
    assert_eq!(message["params"]["level"], "critical");
    let wrong = stateful("4", "logging/setLevel", r#"{"level":"loud"}"#);
    assert_eq!(client.post(&wrong).await.code().await, -32602);
}

#[tokio::test]
async fn what_only_stateless_clients_know_is_unknown_in_a_session() {
    let gateway = start().await;
    let client = gateway.session("2025-11-25").await;
    for method in [
        "server/discover",
        "subscriptions/listen",
        "tasks/update",
        "x/y",
    ] {
        let answer = client.post(&stateful("1", method, "{}")).await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.code().await, -32601, "{method}");
    }
    let again = client
        .post(&stateful(
            "1",
            "initialize",
            r#"{"protocolVersion":"2025-06-18"}"#,
        ))
        .await;
    assert_eq!(again.status, 200);
    assert!(again.header("mcp-session-id").is_some());
}

#[tokio::test]
async fn an_id_that_is_still_in_flight_is_refused() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let asking = client.posting(&stateful("1", "tools/call", r#"{"name":"x"}"#));
    let call = gateway.script.call().await;
    let twin = client
        .post(&stateful("1", "tools/call", r#"{"name":"y"}"#))
        .await;
    assert_eq!(twin.code().await, -32600);
    call.complete(r#"{"content":[]}"#);
    assert_eq!(asking.await.unwrap().json().await["id"], 1);
}

#[tokio::test]
async fn errors_travel_at_200_with_the_codes_that_the_revision_knows() {
    let mut gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    for (kind, code) in [
        (ErrorKind::ResourceNotFound { uri: "x:y".into() }, -32002),
        (ErrorKind::MethodNotFound, -32601),
        (ErrorKind::Internal, -32603),
        (ErrorKind::InvalidParams, -32602),
    ] {
        let asking = client.posting(&stateful("1", "resources/read", r#"{"uri":"x:y"}"#));
        let call = gateway.script.call().await;
        call.fail(Error::new(kind.clone(), "no"));
        let answer = asking.await.unwrap();
        assert_eq!(answer.status, 200, "{kind:?}");
        assert_eq!(answer.code().await, code, "{kind:?}");
    }
}

#[tokio::test]
async fn a_response_to_nothing_is_ignored() {
    let gateway = start().await;
    let client = gateway.session("2025-06-18").await;
    let answer = client
        .post(r#"{"jsonrpc":"2.0","id":99,"result":{}}"#)
        .await;
    assert_eq!(answer.status, 202);
    let answer = client
        .post(r#"{"jsonrpc":"2.0","id":99,"error":{"code":1,"message":"x"}}"#)
        .await;
    assert_eq!(answer.status, 202);
}

#[derive(Debug)]
struct ByToken;

impl Authenticator for ByToken {
    fn authenticate<'a>(
        &'a self,
        credentials: Credentials<'a>,
    ) -> BoxFuture<'a, Result<Principal, Challenge>> {
        Box::pin(async move {
            match credentials.headers.field("authorization") {
                Field::Text(token) => Ok(Principal::authenticated("token", "", token, "")),
                _ => Err(Challenge {
                    status: 401,
                    headers: vec!["Bearer realm=\"test\"".into()],
                    retry_after: None,
                    message: "who are you?".into(),
                }),
            }
        })
    }
}

fn with_tokens(keys: Arc<SealKeys>) -> Setup {
    Setup {
        keys,
        face: Box::new(|mut face| {
            face.authenticator = Some(Arc::new(ByToken));
            face
        }),
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_session_belongs_to_who_opened_it() {
    let gateway = start_with(with_tokens(Arc::new(SealKeys::generate()))).await;
    let nobody = gateway.client().post(&stateful("1", "ping", "{}")).await;
    assert_eq!(nobody.status, 401);
    assert_eq!(
        nobody.header("www-authenticate"),
        Some("Bearer realm=\"test\"")
    );
    let alice = gateway.client().with("authorization", "alice");
    let (_, alice) = alice.initialize("2025-06-18").await;
    let ping = stateful("1", "ping", "{}");
    assert_eq!(alice.post(&ping).await.status, 200);
    assert_eq!(
        alice.with("authorization", "bob").post(&ping).await.status,
        404
    );
}

#[tokio::test]
async fn a_restarted_gateway_goes_on_with_the_session_and_says_that_anything_may_have_changed() {
    let keys = Arc::new(SealKeys::generate());
    let before = start_with(with_tokens(Arc::clone(&keys))).await;
    let alice = before.client().with("authorization", "alice");
    let (_, alice) = alice.initialize("2025-06-18").await;
    let mut after = start_with(with_tokens(keys)).await;
    let moved = after
        .client()
        .with("authorization", "alice")
        .with("mcp-session-id", &alice.header("mcp-session-id"));
    let answer = moved.post(&stateful("1", "ping", "{}")).await;
    assert_eq!(answer.status, 200);
    let mut stream = moved.get().await;
    let steps = after.script.listen().await.begin();
    let filter = ListenFilter::default();
    steps
        .event(Event::Acknowledged(Acknowledged { filter }))
        .await;
    for method in ["tools", "prompts", "resources"] {
        let expected = format!("notifications/{method}/list_changed");
        assert_eq!(stream.message().await.unwrap()["method"], expected);
    }
}
