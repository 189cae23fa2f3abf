//! Lines of a bounded length.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Splits what a client writes into lines.
#[derive(Debug)]
pub(super) struct Lines<Reader> {
    reader: Reader,
    limit: usize,
    buffer: BytesMut,
    /// Bytes at the start of `buffer` in which there is no line end.
    searched: usize,
    /// The rest of a line that was too long is still to come.
    skipping: bool,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Bytes),
    /// Longer than allowed; it was thrown away.
    TooLong,
}

impl<Reader: AsyncRead + Unpin> Lines<Reader> {
    pub(super) fn new(reader: Reader, limit: usize) -> Self {
        Self {
            reader,
            limit,
            buffer: BytesMut::new(),
            searched: 0,
            skipping: false,
        }
    }

    /// The next line that is not blank; `None` at the end. A last line without an end counts.
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            while let Some(line) = self.take() {
                match line {
                    Line::Whole(text) if text.trim_ascii().is_empty() => {}
                    line => return Ok(Some(line)),
                }
            }
            self.buffer.reserve(PIECE);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                let rest = std::mem::take(&mut self.buffer).freeze();
                self.searched = 0;
                let blank = rest.trim_ascii().is_empty() || self.skipping;
                return Ok((!blank).then_some(Line::Whole(rest)));
            }
        }
    }

    fn take(&mut self) -> Option<Line> {
        let end = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|place| self.searched + place);
        match end {
            Some(end) => {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                self.searched = 0;
                if std::mem::take(&mut self.skipping) {
                    return Some(Line::Whole(Bytes::new()));
                }
                if line.len() > self.limit {
                    return Some(Line::TooLong);
                }
                Some(Line::Whole(line.freeze()))
            }
            None if self.skipping => {
                self.buffer.clear();
                self.searched = 0;
                None
            }
            None if self.buffer.len() > self.limit => {
                self.buffer = BytesMut::new();
                self.searched = 0;
                self.skipping = true;
                Some(Line::TooLong)
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}

/// Room for each read.
const PIECE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(text: &[u8], limit: usize) -> Vec<Line> {
        let mut lines = Lines::new(text, limit);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(line);
        }
        seen
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_blank_ones_not_at_all() {
        let seen = all(b"one\n\n  \r\ntwo\r\nthree", 100).await;
        assert_eq!(seen, [whole("one"), whole("two\r"), whole("three")]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_reported_once_and_the_next_one_is_read() {
        let long = [vec![b'x'; 10_000], b"\nfine\n".to_vec()].concat();
        assert_eq!(all(&long, 100).await, [Line::TooLong, whole("fine")]);
        let just = [vec![b'x'; 100], b"\n".to_vec()].concat();
        assert!(matches!(&all(&just, 100).await[..], [Line::Whole(line)] if line.len() == 100));
    }
}
