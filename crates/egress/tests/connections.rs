//! Which connections requests travel on, and what happens when those break. Servers are bare sockets on port 0.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime, and its own server is trusted"
)]
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use isthmus_egress::{Client, ClientSettings, EgressError, enter_slot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

fn post(address: &str) -> Request<Full<Bytes>> {
    Request::post(address)
        .body(Full::from("{\"a\":1}"))
        .unwrap()
}

/// Reads one request of [`post`] off the socket; `false` when the other side has closed.
async fn read_request(socket: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut chunk = [0; 1024];
    while !seen.ends_with(b"{\"a\":1}") {
        match socket.read(&mut chunk).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => seen.extend_from_slice(&chunk[..count]),
        }
    }
    true
}

/// Answers every request with `body`, and reports the peer of each connection.
async fn serve(listener: TcpListener, body: Vec<u8>, accepted: mpsc::Sender<SocketAddr>) {
    while let Ok((mut socket, peer)) = listener.accept().await {
        accepted.send(peer).await.unwrap();
        let body = body.clone();
        tokio::spawn(async move {
            while read_request(&mut socket).await {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                socket.write_all(head.as_bytes()).await.unwrap();
                socket.write_all(&body).await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn each_slot_reuses_its_own_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let (accepted, mut connections) = mpsc::channel(16);
    tokio::spawn(serve(listener, vec![b'x'; 1 << 20], accepted));
    let client = Client::new(ClientSettings {
        slots: 2,
        ..ClientSettings::default()
    });
    for slot in [0, 1] {
        enter_slot(slot);
        for _ in 0..3 {
            let response = client.send(post(&url)).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), 1 << 20);
        }
    }
    connections.recv().await.unwrap();
    connections.recv().await.unwrap();
    assert!(
        connections.try_recv().is_err(),
        "a third connection was opened"
    );
}

#[tokio::test]
async fn localhost_is_found_on_either_address_family() {
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await;
    // A machine without IPv6 can only show the first half.
    for listener in std::iter::once(v4).chain(v6) {
        let url = format!(
            "http://localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        let (accepted, _connections) = mpsc::channel(16);
        tokio::spawn(serve(listener, b"ok".to_vec(), accepted));
        let response = Client::new(ClientSettings::default())
            .send(post(&url))
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn a_request_that_was_written_is_not_sent_again() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (saw, mut requests) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut answers = 1;
            // The first request of a connection is answered; at the second one the server dies.
            while read_request(&mut socket).await {
                saw.send(()).await.unwrap();
                if answers == 0 {
                    break;
                }
                answers -= 1;
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .await
                    .unwrap();
            }
        }
    });
    let client = Client::new(ClientSettings::default());
    let first = client.send(post(&url)).await.unwrap();
    first.into_body().collect().await.unwrap();
    let error = client.send(post(&url)).await.unwrap_err();
    assert!(matches!(error, EgressError::Broken { .. }), "{error:?}");
    assert!(!error.never_left());
    requests.recv().await.unwrap();
    requests.recv().await.unwrap();
    assert!(requests.try_recv().is_err(), "the request was sent again");
}

#[tokio::test]
async fn a_refused_connection_says_that_nothing_was_sent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::new(ClientSettings::default())
        .send(post(&format!("http://{address}/")))
        .await
        .unwrap_err();
    assert!(error.never_left());
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_handed_back_and_not_followed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
    });
    let response = Client::new(ClientSettings::default())
        .send(post(&url))
        .await
        .unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(response.headers()["location"], "/elsewhere");
}
