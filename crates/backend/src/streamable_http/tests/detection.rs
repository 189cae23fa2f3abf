//! Finding out the era (digest §2E).

use isthmus_exchange::ErrorKind;

use super::*;
use crate::scripted::Received;
use crate::streamable_http::{Detected, detect};

fn begin(backend: &ScriptedBackend) -> JoinHandle<Detected> {
    let endpoint = backend.endpoint();
    tokio::spawn(async move { detect(&endpoint, &json("{}")).await })
}

async fn shake_hands(backend: &mut ScriptedBackend) {
    backend
        .post_of("initialize")
        .await
        .answer_result(r#"{"protocolVersion":"2025-06-18","capabilities":{}}"#);
    backend.post_of("notifications/initialized").await.accept();
}

#[tokio::test]
async fn a_discovery_that_offers_our_revision_is_stateless() {
    let mut backend = ScriptedBackend::start().await;
    let detecting = begin(&backend);
    let discover = backend.post_of("server/discover").await;
    assert_eq!(discover.header("mcp-method"), Some("server/discover"));
    assert_eq!(discover.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(
        discover.json()["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    discover.answer_result(r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"resultType":"complete"}"#);
    let Detected::Stateless(facts) = detecting.await.unwrap() else {
        panic!("not stateless")
    };
    assert_eq!(facts.capabilities.as_str(), r#"{"tools":{}}"#);
}

#[tokio::test]
async fn a_discovery_without_our_revision_leads_to_the_handshake() {
    let mut backend = ScriptedBackend::start().await;
    let detecting = begin(&backend);
    backend
        .post()
        .await
        .answer_result(r#"{"supportedVersions":["2025-11-25"],"capabilities":{}}"#);
    shake_hands(&mut backend).await;
    let Detected::Stateful(session) = detecting.await.unwrap() else {
        panic!("not stateful")
    };
    assert_eq!(session.facts().revision, Revision::V2025_06_18);
}

#[tokio::test]
async fn answers_that_any_old_server_gives_lead_to_the_handshake() {
    for (status, body) in [
        (
            400,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: Server not initialized"}}"#,
        ),
        (
            200,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#,
        ),
        (
            400,
            r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Unsupported protocol version"}}"#,
        ),
        (404, "not found"),
        (405, ""),
        (400, "Missing session"),
    ] {
        let mut backend = ScriptedBackend::start().await;
        let detecting = begin(&backend);
        backend.post().await.answer_json(status, body);
        shake_hands(&mut backend).await;
        assert!(
            matches!(detecting.await.unwrap(), Detected::Stateful(_)),
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn a_session_that_the_probe_left_behind_is_ended() {
    let mut backend = ScriptedBackend::start().await;
    let detecting = begin(&backend);
    let discover = backend.post().await;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32602,"message":"x"}}}}"#,
        discover.id()
    );
    discover.answer(400, &[("mcp-session-id", "stray")], body);
    let delete = backend.delete().await;
    assert_eq!(delete.header("mcp-session-id"), Some("stray"));
    delete.accept();
    shake_hands(&mut backend).await;
    assert!(matches!(detecting.await.unwrap(), Detected::Stateful(_)));
}

#[tokio::test]
async fn after_an_error_of_a_stateless_server_there_is_no_handshake() {
    let mut backend = ScriptedBackend::start().await;
    let detecting = begin(&backend);
    let discover = backend.post().await;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32022,"message":"x","data":{{"supported":["2027-01-01"],"requested":"2026-07-28"}}}}}}"#,
        discover.id()
    );
    discover.answer_json(400, body);
    let Detected::Inconclusive(error) = detecting.await.unwrap() else {
        panic!("a verdict")
    };
    assert!(
        matches!(error.kind(), ErrorKind::Answered { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_refuses_a_revision_and_yet_names_it_is_asked_once_more() {
    let refuse = |discover: Received| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32022,"message":"x","data":{{"supported":["2026-07-28"],"requested":"2026-07-28"}}}}}}"#,
            discover.id()
        );
        discover.answer_json(400, body);
    };
    let mut backend = ScriptedBackend::start().await;
    let detecting = begin(&backend);
    refuse(backend.post_of("server/discover").await);
    backend.post_of("server/discover").await.answer_result(
        r#"{"supportedVersions":["2026-07-28"],"capabilities":{},"resultType":"complete"}"#,
    );
    assert!(matches!(detecting.await.unwrap(), Detected::Stateless(_)));

    let mut backend = ScriptedBackend::start().await;
    let detecting = begin(&backend);
    refuse(backend.post_of("server/discover").await);
    refuse(backend.post_of("server/discover").await);
    assert!(matches!(
        detecting.await.unwrap(),
        Detected::Inconclusive(_)
    ));
}

#[tokio::test]
async fn credentials_overload_and_silence_are_no_evidence() {
    for status in [401, 403, 429, 500, 502, 503] {
        let mut backend = ScriptedBackend::start().await;
        let detecting = begin(&backend);
        backend.post().await.answer(status, &[], "");
        assert!(
            matches!(detecting.await.unwrap(), Detected::Inconclusive(_)),
            "{status}"
        );
    }
    let mut backend = ScriptedBackend::start().await;
    let endpoint = backend.endpoint_with(&[&backend.url], |settings| {
        settings.limits.open = std::time::Duration::from_millis(20);
    });
    let detecting = tokio::spawn(async move { detect(&endpoint, &json("{}")).await });
    let post = backend.post().await;
    let Detected::Inconclusive(error) = detecting.await.unwrap() else {
        panic!("a verdict")
    };
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error:?}");
    post.abandoned().await;
}

#[tokio::test]
async fn a_server_that_takes_no_posts_and_names_an_address_is_http_with_sse() {
    let mut backend = ScriptedBackend::start().await;
    let detecting = begin(&backend);
    backend
        .post_of("server/discover")
        .await
        .answer(405, &[], "");
    backend.post_of("initialize").await.answer(405, &[], "");
    let stream = backend.get().await.open_stream();
    stream
        .write("event: endpoint\ndata: /messages?id=1\n\n")
        .await;
    assert!(matches!(detecting.await.unwrap(), Detected::Sse));
    stream.abandoned().await;
}

#[tokio::test]
async fn a_server_that_refuses_everything_stays_undecided_with_the_first_reason() {
    let mut backend = ScriptedBackend::start().await;
    let detecting = begin(&backend);
    backend.post().await.answer(404, &[], "");
    backend.post().await.answer(404, &[], "");
    backend.get().await.answer(404, &[], "");
    let Detected::Inconclusive(error) = detecting.await.unwrap() else {
        panic!("a verdict")
    };
    assert!(error.message().contains("404"), "{error}");
}
