//! Server-sent events, read and written (HTML living standard, section 9.2).
//!
//! The decoder takes the stream in whatever pieces it arrives and gives events as soon as they are complete. It does no
//! I/O and holds no more than one event's worth of bytes beyond the last piece.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

/// A comment, which keeps a connection from being taken for dead.
pub static KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// One event.
///
/// Unlike a browser we also report events without data: the priming event of 1125:basic/transports has only an id, and
/// `retry` may come alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// Its type; `None` means `message`.
    pub event: Option<String>,
    /// The id it sets as the last event id; may be empty, which takes the last one back.
    pub id: Option<String>,
    /// Its data lines, joined by line feeds. A single line shares the memory of the stream.
    pub data: Bytes,
    /// How long to wait before connecting again.
    pub retry: Option<Duration>,
}

/// The stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event, or a line, is longer than the decoder was allowed to hold.
    #[error("an event is longer than {limit} bytes")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
}

/// Reads a stream of events piece by piece.
#[derive(Debug)]
pub struct SseDecoder {
    limit: usize,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    scanned: usize,
    /// Still before the first byte of the stream, where a byte order mark may stand.
    at_start: bool,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    event: PartialEvent,
    failed: bool,
}

#[derive(Debug, Default)]
struct PartialEvent {
    fields: SseEvent,
    /// Holds the data from its second line on.
    joined: Option<BytesMut>,
    data_seen: bool,
    any: bool,
}

impl SseDecoder {
    /// A decoder before the start of a stream that refuses events and lines of more than `max_event_bytes`.
    #[must_use]
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            limit: max_event_bytes,
            buffer: BytesMut::new(),
            scanned: 0,
            at_start: true,
            after_return: false,
            event: PartialEvent::default(),
            failed: false,
        }
    }

    /// Takes the next piece of the stream. Read all events out before the next push.
    pub fn push(&mut self, piece: Bytes) {
        if self.failed {
            return;
        }
        if self.buffer.is_empty() {
            // Without a copy, if nobody else holds the piece.
            self.buffer = BytesMut::from(piece);
        } else {
            self.buffer.extend_from_slice(&piece);
        }
    }

    /// The next complete event, if there is one. After an error nothing more comes.
    pub fn next_event(&mut self) -> Option<Result<SseEvent, SseError>> {
        if self.failed || !self.pass_byte_order_mark() {
            return None;
        }
        while let Some(line) = self.next_line() {
            if self.event.size() + line.len() > self.limit {
                return self.fail();
            }
            if line.is_empty() {
                if let Some(event) = self.event.take() {
                    return Some(Ok(event));
                }
            } else {
                self.event.field(&line);
            }
        }
        if self.event.size() + self.buffer.len() > self.limit {
            return self.fail();
        }
        None
    }

    fn fail(&mut self) -> Option<Result<SseEvent, SseError>> {
        self.failed = true;
        self.buffer = BytesMut::new();
        self.event = PartialEvent::default();
        Some(Err(SseError::TooLong { limit: self.limit }))
    }

    /// False while it is open whether the stream begins with a byte order mark.
    fn pass_byte_order_mark(&mut self) -> bool {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if self.at_start {
            if self.buffer.len() < MARK.len() && MARK.starts_with(&self.buffer) {
                return false;
            }
            if self.buffer.starts_with(MARK) {
                self.buffer.advance(MARK.len());
            }
            self.at_start = false;
        }
        true
    }

    /// The next complete line without its end, which is a line feed, a carriage return, or both.
    fn next_line(&mut self) -> Option<Bytes> {
        if self.after_return
            && let Some(&first) = self.buffer.first()
        {
            self.after_return = false;
            if first == b'\n' {
                self.buffer.advance(1);
            }
        }
        let Some(end) = memchr::memchr2(b'\n', b'\r', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned + end).freeze();
        self.after_return = self.buffer[0] == b'\r';
        self.buffer.advance(1);
        self.scanned = 0;
        Some(line)
    }
}

impl PartialEvent {
    /// Takes in one line that is not empty.
    fn field(&mut self, line: &Bytes) {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let mut start = (colon + 1).min(line.len());
        if line.get(start) == Some(&b' ') {
            start += 1;
        }
        let value = line.slice(start..);
        let text = || String::from_utf8_lossy(&value).into_owned();
        match &line[..colon] {
            b"data" => self.data(value),
            b"event" => self.fields.event = Some(text()).filter(|name| !name.is_empty()),
            b"id" if !value.contains(&0) => self.fields.id = Some(text()),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.fields.retry = text().parse().ok().map(Duration::from_millis);
            }
            // A comment, or a field nobody knows.
            _ => return,
        }
        self.any = true;
    }

    fn data(&mut self, line: Bytes) {
        if !std::mem::replace(&mut self.data_seen, true) {
            self.fields.data = line;
            return;
        }
        let joined = self
            .joined
            .get_or_insert_with(|| BytesMut::from(&self.fields.data[..]));
        joined.extend_from_slice(b"\n");
        joined.extend_from_slice(&line);
    }

    fn size(&self) -> usize {
        self.joined
            .as_ref()
            .map_or(self.fields.data.len(), BytesMut::len)
    }

    fn take(&mut self) -> Option<SseEvent> {
        let taken = std::mem::take(self);
        let mut event = taken.fields;
        if let Some(joined) = taken.joined {
            event.data = joined.freeze();
        }
        taken.any.then_some(event)
    }
}

/// Writes an event. Data is split into lines; line ends in `event` and `id`, which cannot be told, are left out.
#[must_use]
pub fn encode_event(event: Option<&str>, id: Option<&str>, data: &[u8]) -> Bytes {
    let named = event.map_or(0, |event| event.len() + 8) + id.map_or(0, |id| id.len() + 5);
    let mut text = Vec::with_capacity(named + data.len() + 16);
    for (field, value) in [(b"event: ".as_slice(), event), (b"id: ", id)] {
        if let Some(value) = value {
            text.extend_from_slice(field);
            text.extend(value.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
            text.push(b'\n');
        }
    }
    push_data(&mut text, data);
    text.push(b'\n');
    text.into()
}

/// Writes the request to wait before connecting again, and nothing else.
#[must_use]
pub fn encode_retry(wait: Duration) -> Bytes {
    format!("retry: {}\n\n", wait.as_millis()).into()
}

fn push_data(text: &mut Vec<u8>, mut data: &[u8]) {
    loop {
        let end = memchr::memchr2(b'\n', b'\r', data).unwrap_or(data.len());
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(&data[..end]);
        text.push(b'\n');
        data = match &data[end..] {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => return,
        };
    }
}

#[cfg(test)]
mod tests;
