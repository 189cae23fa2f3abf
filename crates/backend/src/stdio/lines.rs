//! Lines of bounded length from a byte stream, without copying them.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at a time at least.
const CHUNK: usize = 64 << 10;
/// A buffer that a long line has made larger than this is given back after it.
const KEPT: usize = 1 << 20;

/// Cuts a byte stream into lines.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    reader: R,
    buffer: BytesMut,
    /// How far the buffer is known to hold no line end.
    searched: usize,
    longest: usize,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The line is longer than allowed. The reader is of no more use.
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
    /// The stream broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of at most `longest` bytes, their ends not counted.
    pub(crate) fn new(reader: R, longest: usize) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
            searched: 0,
            longest,
        }
    }

    /// The next line without its end, `None` at the end of the stream. A last line without an end counts as one.
    ///
    /// Cancelling is safe: what was read stays in the buffer.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, LineError> {
        // One read may bring thousands of lines: without this a child that floods holds its thread for seconds.
        tokio::task::coop::consume_budget().await;
        loop {
            if let Some(line) = self.take_line()? {
                return Ok(Some(line));
            }
            if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
                self.buffer = BytesMut::new();
            }
            self.buffer.reserve(CHUNK);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                let rest = self.buffer.split().freeze();
                self.searched = 0;
                return Ok((!rest.is_empty()).then(|| without_return(rest)));
            }
        }
    }

    /// The stream behind it, without what was read already.
    pub(crate) fn into_inner(self) -> R {
        self.reader
    }

    fn take_line(&mut self) -> Result<Option<Bytes>, LineError> {
        let unseen = &self.buffer[self.searched..];
        // `contains` is many bytes at a time, `position` is one: a long line is mostly chunks without an end.
        let end = unseen
            .contains(&b'\n')
            .then(|| unseen.iter().position(|byte| *byte == b'\n'));
        let Some(end) = end.flatten() else {
            self.searched = self.buffer.len();
            // One more for a carriage return that may belong to the line's end.
            if self.buffer.len() > self.longest + 1 {
                return Err(LineError::TooLong(self.longest));
            }
            return Ok(None);
        };
        let line = self.buffer.split_to(self.searched + end).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        let line = without_return(line);
        if line.len() > self.longest {
            return Err(LineError::TooLong(self.longest));
        }
        Ok(Some(line))
    }
}

fn without_return(mut line: Bytes) -> Bytes {
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8], longest: usize) -> Vec<Result<String, String>> {
        let mut reader = LineReader::new(text, longest);
        let mut lines = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(line)) => lines.push(Ok(String::from_utf8_lossy(&line).into_owned())),
                Ok(None) => return lines,
                Err(error) => {
                    lines.push(Err(error.to_string()));
                    return lines;
                }
            }
        }
    }

    #[tokio::test]
    async fn lines_end_with_a_line_feed_with_or_without_a_carriage_return() {
        let expected = ["a", "", "b", "c\rd"].map(|line| Ok(line.to_owned()));
        assert_eq!(lines(b"a\n\nb\r\nc\rd", 10).await, expected);
    }

    #[tokio::test]
    async fn a_line_of_exactly_the_bound_passes_and_one_more_byte_does_not() {
        assert_eq!(lines(b"1234\r\n", 4).await, [Ok("1234".to_owned())]);
        let refused = Err("a line is longer than 4 bytes".to_owned());
        assert_eq!(lines(b"12345\n", 4).await, std::slice::from_ref(&refused));
        assert_eq!(lines(&[b'x'; 200_000], 4).await, [refused]);
    }

    #[tokio::test]
    async fn a_flood_of_lines_lets_others_run() {
        let flood = b"y\n".repeat(10_000);
        let mut reader = LineReader::new(&flood[..], 10);
        let reading = async { while reader.next().await.unwrap().is_some() {} };
        let mut reading = std::pin::pin!(reading);
        let mut turns = 0;
        std::future::poll_fn(|context| {
            turns += 1;
            reading.as_mut().poll(context)
        })
        .await;
        assert!(turns > 10, "{turns}");
    }
}
