//! Writes one message per line, and knows of each whether the other side can have seen any of it.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::duplex::OutgoingMessage;

/// Gathers lines and writes them together.
pub(super) struct LineWriter<W> {
    out: W,
    buffer: Vec<u8>,
    /// How much of the buffer the operating system has taken.
    written: usize,
    /// The requests in the buffer, and where they begin.
    requests: Vec<(u64, usize)>,
}

impl<W: AsyncWrite + Unpin> LineWriter<W> {
    pub(super) const fn new(out: W) -> Self {
        Self {
            out,
            buffer: Vec::new(),
            written: 0,
            requests: Vec::new(),
        }
    }

    /// Adds a message, and writes if there is enough to write.
    pub(super) async fn push(&mut self, message: OutgoingMessage) -> io::Result<()> {
        let begin = self.buffer.len();
        self.requests.extend(message.request.map(|id| (id, begin)));
        self.buffer.extend_from_slice(&on_one_line(message.text));
        self.buffer.push(b'\n');
        if self.buffer.len() >= ENOUGH {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes everything. Dropping the future loses nothing.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while self.written < self.buffer.len() {
            match self.out.write(&self.buffer[self.written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.written += written,
            }
        }
        self.out.flush().await?;
        self.written = 0;
        self.requests.clear();
        self.buffer.clear();
        self.buffer.shrink_to(ENOUGH);
        Ok(())
    }

    /// The requests of which not a byte was written.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = u64> {
        let unwritten = self
            .requests
            .iter()
            .filter(|(_, begin)| *begin >= self.written);
        unwritten.map(|(id, _)| *id)
    }
}

/// A line break inside a JSON text can only be white space between its parts: it becomes a space.
fn on_one_line(text: Bytes) -> Bytes {
    if !text.contains(&b'\n') && !text.contains(&b'\r') {
        return text;
    }
    text.iter()
        .map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            other => *other,
        })
        .collect()
}

/// So many bytes are worth writing although more may follow at once.
const ENOUGH: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn request(id: u64, text: impl Into<Bytes>) -> OutgoingMessage {
        OutgoingMessage {
            text: text.into(),
            request: Some(id),
        }
    }

    #[tokio::test]
    async fn a_message_with_line_breaks_between_its_parts_is_written_on_one_line() {
        let mut writer = LineWriter::new(Vec::new());
        writer.push(request(1, "{\"a\":\r\n1}")).await.unwrap();
        writer.push(request(2, "{}")).await.unwrap();
        writer.flush().await.unwrap();
        assert_eq!(writer.out, b"{\"a\":  1}\n{}\n");
        assert_eq!(writer.unwritten().count(), 0);
    }

    #[tokio::test]
    async fn what_was_not_written_at_all_is_known_and_half_a_message_is_not_part_of_it() {
        let (out, mut other) = tokio::io::duplex(6);
        let mut writer = LineWriter::new(out);
        for id in 1..=3 {
            writer.push(request(id, "{\"\":0}")).await.unwrap();
        }
        // Six bytes fit; nobody reads for a while.
        let stalled = std::time::Duration::from_millis(10);
        assert!(tokio::time::timeout(stalled, writer.flush()).await.is_err());
        assert_eq!(writer.unwritten().collect::<Vec<_>>(), [2, 3]);
        let mut read = [0; 6];
        other.read_exact(&mut read).await.unwrap();
        drop(other);
        assert!(writer.flush().await.is_err());
        assert_eq!(writer.unwritten().collect::<Vec<_>>(), [2, 3]);
    }
}
