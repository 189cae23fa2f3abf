//! What goes wrong, and that it goes wrong for one call only.

use isthmus_config::Secret;
use isthmus_egress::{Client, ClientSettings};
use isthmus_exchange::{ErrorKind, Fault};

use super::*;
use crate::streamable_http::EndpointSettings;

async fn error_of(reply: JoinHandle<Result<Reply, Error>>) -> Error {
    match reply.await.unwrap() {
        Ok(reply) => reply.outcome().await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_404_means_that_the_session_is_gone_and_the_request_was_not_accepted() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call("a"));
    backend.post().await.answer_json(
        404,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#,
    );
    let error = error_of(calling).await;
    assert_eq!(error.kind(), &ErrorKind::SessionUnknown);
    assert_eq!(error.fault(), Fault::Backend);
    assert!(session.closed().is_cancelled());
    // Whoever comes too late is told the same and sends nothing.
    let error = error_of(send(&session, call("b"))).await;
    assert_eq!(error.kind(), &ErrorKind::SessionUnknown);
}

#[tokio::test]
async fn a_400_about_the_session_means_the_same() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let calling = send(&session, call("a"));
    backend.post().await.answer_json(
        400,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
    );
    assert_eq!(error_of(calling).await.kind(), &ErrorKind::SessionUnknown);
}

#[tokio::test]
async fn without_a_session_id_a_404_is_the_operators_business() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session_with(&mut backend, "2025-11-25", None, "{}").await;
    let calling = send(&session, call("a"));
    backend.post().await.answer(404, &[], "nothing here");
    let error = error_of(calling).await;
    assert!(
        matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
        "{error:?}"
    );
    assert!(error.message().contains("404"), "{error}");
    assert!(!session.closed().is_cancelled());
}

#[tokio::test]
async fn statuses_of_the_backend_become_readable_errors() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    for (status, headers, fault, says) in [
        (
            401,
            &[("www-authenticate", "Bearer")][..],
            Fault::Operator,
            "credentials",
        ),
        (403, &[], Fault::Operator, "credentials"),
        (
            429,
            &[("retry-after", "7")],
            Fault::Backend,
            "try again after 7",
        ),
        (502, &[], Fault::Backend, "502"),
        (
            307,
            &[("location", "https://new.example/mcp")],
            Fault::Operator,
            "https://new.example/mcp",
        ),
    ] {
        let calling = send(&session, call("a"));
        backend
            .post()
            .await
            .answer(status, headers, "<html>no</html>");
        let error = error_of(calling).await;
        assert!(
            matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
            "{status}: {error:?}"
        );
        assert_eq!(error.fault(), fault, "{status}");
        assert!(error.message().contains(says), "{status}: {error}");
    }
    assert!(!session.closed().is_cancelled());
}

#[tokio::test]
async fn answers_that_are_none_fail_their_call_and_no_other() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    for body in [
        "",
        "garbage",
        "{",
        "[]",
        r#"{"jsonrpc":"2.0","id":999,"result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#,
    ] {
        let calling = send(&session, call("a"));
        backend.post().await.answer_json(200, body);
        let error = error_of(calling).await;
        assert!(
            matches!(error.kind(), ErrorKind::BackendMisbehaved(_)),
            "{body}: {error:?}"
        );
        // Whatever the backend understood, nobody waits any more.
        backend.post_of("notifications/cancelled").await.accept();
    }
    let calling = send(&session, call("a"));
    backend.post().await.answer_result("{}");
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_that_is_too_large_fails_its_call_and_no_other() {
    let mut backend = ScriptedBackend::start().await;
    let session = open_session(&mut backend).await;
    let large = format!(r#"{{"x":"{}"}}"#, "y".repeat(2 << 20));

    let calling = send(&session, call("a"));
    backend.post().await.answer_result(&large);
    let error = error_of(calling).await;
    assert!(
        matches!(error.kind(), ErrorKind::BackendMisbehaved(_)),
        "{error:?}"
    );
    backend.post_of("notifications/cancelled").await.accept();

    // The same without a length, as a body in pieces and as an event.
    for content_type in ["application/json", "text/event-stream"] {
        let calling = send(&session, call("a"));
        let stream = backend.post().await.open_stream_as(content_type);
        let begin = if content_type == "application/json" {
            "{\""
        } else {
            "data: {\""
        };
        stream.write(begin).await;
        let writing = tokio::spawn(async move {
            loop {
                if tokio::time::timeout(
                    std::time::Duration::from_secs(20),
                    stream.try_write(&"z".repeat(1 << 16)),
                )
                .await
                .unwrap()
                .is_err()
                {
                    return;
                }
            }
        });
        let error = error_of(calling).await;
        assert!(
            matches!(error.kind(), ErrorKind::BackendMisbehaved(_)),
            "{error:?}"
        );
        writing.await.unwrap();
        backend.post_of("notifications/cancelled").await.accept();
    }
    let calling = send(&session, call("a"));
    backend.post().await.answer_result("{}");
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_unavailable() {
    let backend = ScriptedBackend::start().await;
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/mcp", listener.local_addr().unwrap())
    };
    let endpoint = backend.endpoint_with(&[&dead], |_| {});
    let error = StatefulHttp::open(&endpoint, &json("{}"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
        "{error:?}"
    );
    assert!(error.message().contains("refused"), "{error}");

    let conversation = stateless(&endpoint);
    let error = error_of(send(&conversation, call("a"))).await;
    assert!(
        matches!(error.kind(), ErrorKind::BackendUnavailable(_)),
        "{error:?}"
    );
    assert!(conversation.closed().is_cancelled());
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_the_operators_mistake() {
    let backend = ScriptedBackend::start().await;
    for (name, value) in [
        ("authorization", "two\nlines"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
    ] {
        let settings = EndpointSettings {
            backend: BackendName::parse("b").unwrap(),
            urls: vec![backend.url.parse().unwrap()],
            headers: vec![(http::HeaderName::from_static(name), Secret::new(value))],
            client: Client::new(ClientSettings::default()),
            background: tokio::runtime::Handle::current(),
            client_info: json("{}"),
            limits: backend.endpoint().limits(),
        };
        let error = Endpoint::new(settings).unwrap_err();
        assert_eq!(error.fault(), Fault::Operator);
        assert!(error.message().contains(name), "{error}");
        assert!(!error.message().contains(value), "{error}");
    }
}
