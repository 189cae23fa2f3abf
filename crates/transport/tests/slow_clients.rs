//! Clients that send nothing, or stop half-way: they cost a connection for a while, and no more.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use isthmus_config::Bounds;
use isthmus_seal::SealKeys;
use isthmus_transport::{Listener, serve_connection};
use support::script::{Script, scripted};
use support::stateless;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

struct Connection {
    stream: DuplexStream,
    script: Script,
    served: JoinHandle<()>,
}

fn connect() -> Connection {
    let (stage, script) = scripted();
    let clients = support::clients(&Bounds::default(), Arc::new(SealKeys::generate()));
    let settings = isthmus_config::Listener::new("main", ([127, 0, 0, 1], 80).into());
    let listener = Listener::new(clients, settings, vec![support::face(stage)]);
    let (stream, theirs) = tokio::io::duplex(64 << 10);
    #[expect(clippy::disallowed_methods, reason = "awaited by the test")]
    let served = tokio::spawn(serve_connection(theirs, None, listener));
    Connection {
        stream,
        script,
        served,
    }
}

impl Connection {
    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything the gateway says until it closes the connection.
    async fn hear_all(mut self) -> String {
        let mut text = String::new();
        self.stream.read_to_string(&mut text).await.unwrap();
        self.served.await.unwrap();
        text
    }

    /// What the gateway says up to and with `end`.
    async fn hear_until(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            heard.push(self.stream.read_u8().await.unwrap());
        }
        String::from_utf8(heard).unwrap()
    }
}

fn head(length: usize) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: */*\r\n\
         mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: x\r\ncontent-length: {length}\r\n\r\n"
    )
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let connection = connect();
    assert_eq!(connection.hear_all().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let mut connection = connect();
    connection
        .say("POST /mcp HTTP/1.1\r\nhost: localhost\r\n")
        .await;
    let answer = connection.hear_all().await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_not_waited_for() {
    let mut connection = connect();
    connection.say(&head(1000)).await;
    connection.say("{").await;
    let answer = connection.hear_all().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("-32600"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_long_becomes_a_stream_that_is_kept_alive() {
    let mut connection = connect();
    let body = stateless("1", "tools/call", r#"{"name":"x"}"#);
    connection.say(&head(body.len())).await;
    connection.say(&body).await;
    let steps = connection.script.call().await.begin();
    let asked = tokio::time::Instant::now();
    let answer = connection.hear_until("\r\n\r\n").await;
    assert!(answer.contains("text/event-stream"), "{answer}");
    let held = asked.elapsed();
    assert!(
        held >= Duration::from_secs(5) && held < Duration::from_secs(6),
        "{held:?}"
    );
    for _ in 0..3 {
        let comment = connection.hear_until(":\n\n").await;
        assert!(comment.ends_with("\r\n:\n\n"), "{comment}");
    }
    steps.finish(r#"{"content":[]}"#).await;
    let answer = connection.hear_until("\n\n").await;
    assert!(answer.contains(r#""resultType":"complete""#), "{answer}");
}
