//! The gateway as a server over its own stdin and stdout, so that a desktop client can have it as its only one.
//!
//! One message per line, clients of every era on one pipe (E-1). Nothing but MCP is ever written to the output.

mod lines;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use isthmus_exchange::{Error, ErrorKind, Principal};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::face::RouteFace;
use crate::listener::Clients;
use crate::rim::pipe::Pipe;
use crate::rim::stateless::Sender;
use lines::{Line, Lines};

/// Serves one client over `reader` and `writer` until it closes its end, or `Clients::drain` is called.
///
/// `face` gives the route as it is now, so that a reload reaches the client. When the client closes its end, requests
/// that still run have a moment to answer.
///
/// # Errors
///
/// What reading or writing failed with. A client that stops reading is no error: it is gone.
pub async fn serve_stdio<Reader, Writer>(
    clients: Arc<Clients>,
    face: impl Fn() -> Option<Arc<RouteFace>> + Send + Sync + 'static,
    reader: Reader,
    writer: Writer,
) -> io::Result<()>
where
    Reader: AsyncRead + Unpin + Send,
    Writer: AsyncWrite + Unpin + Send,
{
    let (out, messages) = mpsc::channel(BUFFERED);
    let sender = Sender {
        principal: Principal::anonymous(),
        address: None,
    };
    let pipe = Pipe::new(Arc::clone(&clients), Arc::new(face), sender, out, true);
    let reading = read(Arc::clone(&clients), pipe, reader);
    let writing = write(messages, writer);
    let mut reading = std::pin::pin!(reading);
    let mut writing = std::pin::pin!(writing);
    tokio::select! {
        read = reading.as_mut() => read?,
        written = writing.as_mut() => return gone_is_fine(written),
    }
    // Everything that could still write holds a sender; once they are gone the writer ends.
    match tokio::time::timeout(LAST_WORDS, writing).await {
        Ok(written) => gone_is_fine(written),
        Err(_) => Ok(()),
    }
}

/// Reads until the client closes its end; then waits for what still runs and ends the rest.
async fn read(
    clients: Arc<Clients>,
    pipe: Arc<Pipe>,
    reader: impl AsyncRead + Unpin,
) -> io::Result<()> {
    let pipe = ClosedAtEnd(pipe);
    let limit = clients.bounds().line;
    let mut lines = Lines::new(reader, limit);
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            () = clients.closing().cancelled() => None,
        };
        match line {
            Some(Line::Whole(text)) => pipe.0.receive(&text).await,
            Some(Line::TooLong) => {
                let message = format!("a line may have {limit} bytes");
                let error = Error::new(ErrorKind::InvalidRequest, message);
                pipe.0.complain(&error).await;
            }
            None => break,
        }
    }
    let idle = tokio::time::timeout(LAST_WORDS, pipe.0.idle());
    if idle.await.is_err() {
        tracing::debug!("the client closed its end before everything was answered");
    }
    Ok(())
}

/// Writes messages, one per line, and flushes when there is none left for the moment.
async fn write(
    mut messages: mpsc::Receiver<Bytes>,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    while let Some(message) = messages.recv().await {
        push_line(&mut buffer, &message);
        while buffer.len() < LARGE {
            match messages.try_recv() {
                Ok(message) => push_line(&mut buffer, &message),
                Err(_) => break,
            }
        }
        writer.write_all_buf(&mut buffer).await?;
        writer.flush().await?;
        if buffer.capacity() > LARGE {
            buffer = BytesMut::new();
        }
    }
    Ok(())
}

/// A message may contain line breaks between its tokens, and only there: JSON strings have none. They become spaces.
fn push_line(buffer: &mut BytesMut, message: &Bytes) {
    let start = buffer.len();
    buffer.extend_from_slice(message);
    for byte in &mut buffer[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    buffer.extend_from_slice(b"\n");
}

fn gone_is_fine(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Ends the session and every request when reading stops, for whatever reason.
struct ClosedAtEnd(Arc<Pipe>);

impl Drop for ClosedAtEnd {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Messages that wait for a slow client before their senders have to wait too.
const BUFFERED: usize = 256;
/// How long requests that still run may take to answer when the client has closed its end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Bytes that are written at once, and room that is kept between writes.
const LARGE: usize = 256 << 10;
