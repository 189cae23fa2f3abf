//! Bytes as no well-behaved client sends them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Gateway, patience};

/// Sends `bytes` over a connection of their own, and reads until the gateway closes it.
pub async fn exchange(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> String {
    let base = gateway.at("");
    let mut stream = TcpStream::connect(base.trim_start_matches("http://"))
        .await
        .unwrap();
    // Who has been refused may find the connection closed before everything is written, and so may who reads.
    let _ = stream.write_all(bytes.as_ref()).await;
    let mut said = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        while let Ok(1..) = stream
            .read(&mut piece)
            .await
            .inspect(|read| said.extend_from_slice(&piece[..*read]))
        {}
    };
    tokio::time::timeout(patience(), reading)
        .await
        .expect("the connection stays open");
    String::from_utf8_lossy(&said).into_owned()
}

/// The statuses of the responses in `said`, in their order.
pub fn statuses(said: &str) -> Vec<u16> {
    said.split("HTTP/1.1 ")
        .skip(1)
        .map(|response| response[..3].parse().unwrap())
        .collect()
}
