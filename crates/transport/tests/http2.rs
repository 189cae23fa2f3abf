//! The same over HTTP/2, with many requests on one connection.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_methods,
    reason = "bodies of our own server, a connection that ends with the test"
)]

mod support;

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{start, stateless};
use tokio::net::TcpStream;

fn request(gateway: &support::Gateway, id: &str) -> Request<Full<bytes::Bytes>> {
    let body = stateless(id, "tools/call", r#"{"name":"x"}"#);
    Request::post(format!("http://{}/mcp", gateway.address))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "x")
        .body(Full::new(body.into()))
        .unwrap()
}

#[tokio::test]
async fn a_stream_that_is_reset_cancels_its_request_and_no_other() {
    let mut gateway = start().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let one = tokio::spawn(sender.send_request(request(&gateway, "1")));
    let first = gateway.script.call().await.begin();
    let two = tokio::spawn(sender.send_request(request(&gateway, "2")));
    let second = gateway.script.call().await;
    one.abort();
    first.cancelled().await;
    second.complete(r#"{"content":[]}"#);
    let answer = two.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["id"], 2);
}
