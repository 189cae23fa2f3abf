//! What a child writes to stderr: into the log with the backend's name, the last lines kept.
//!
//! stderr is free text and no sign of failure (digest §1.4). It is always read, so that a chatty child never blocks;
//! what exceeds the bounds is counted and left out.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use isthmus_exchange::BackendName;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Bytes of a line that are kept.
const LINE: usize = 4 << 10;
/// Lines that are kept for messages.
const KEPT: usize = 10;
/// Lines that are logged in one period.
const BURST: u32 = 200;
const PERIOD: Duration = Duration::from_secs(1);
/// How long text may take from the child to the log.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// Where a child's free text goes: into our log, and the last lines into memory. Clones share it.
///
/// Quiet (debug level) until [`TextLog::raise`], then at info: a stateful server may complain at length about being
/// probed, which is our doing and nothing to an operator.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextLog {
    last: Arc<Mutex<VecDeque<String>>>,
    loud: Arc<OnceLock<Instant>>,
}

/// Reads free text from a child and logs it.
#[derive(Debug)]
pub(crate) struct FreeText {
    backend: BackendName,
    stream: &'static str,
    log: TextLog,
    line: Vec<u8>,
    cut: bool,
    period: Instant,
    logged: u32,
    dropped: u64,
}

impl TextLog {
    /// One that is loud from the start.
    pub(crate) fn loud() -> Self {
        Self {
            last: Arc::default(),
            loud: Arc::new(Instant::now().into()),
        }
    }

    /// Makes it loud for what is written from now on; what is on its way to us stays quiet.
    pub(crate) fn raise(&self) {
        // Raised twice is raised.
        let _ = self.loud.set(Instant::now() + ON_ITS_WAY);
    }

    /// The last lines, oldest first, joined by `|`.
    pub(crate) fn last_words(&self) -> String {
        let lines = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        Vec::from_iter(lines.iter().map(String::as_str)).join(" | ")
    }

    fn is_loud(&self) -> bool {
        self.loud
            .get()
            .is_some_and(|since| Instant::now() >= *since)
    }

    fn keep(&self, line: String) {
        let mut lines = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

impl FreeText {
    /// Text of `stream` (`stderr`, or `stdout` of a child that does not speak over it).
    pub(crate) fn new(backend: BackendName, stream: &'static str, log: TextLog) -> Self {
        Self {
            backend,
            stream,
            log,
            line: Vec::new(),
            cut: false,
            period: Instant::now(),
            logged: 0,
            dropped: 0,
        }
    }

    /// Reads until the end.
    pub(crate) async fn listen(mut self, mut reader: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; 8 << 10];
        // An error ends it like an end does: there is nothing to save.
        while let Ok(count @ 1..) = reader.read(&mut chunk).await {
            for piece in chunk[..count].split_inclusive(|byte| *byte == b'\n') {
                // One read may bring thousands of lines: a child that floods must not keep others from their turn.
                tokio::task::coop::consume_budget().await;
                self.take(piece);
            }
        }
        self.end_of_line();
        self.report_dropped();
    }

    /// Reads until the end of a stream that may be missing.
    pub(crate) async fn listen_to(self, reader: Option<impl AsyncRead + Unpin>) {
        if let Some(reader) = reader {
            self.listen(reader).await;
        }
    }

    fn take(&mut self, piece: &[u8]) {
        let (text, ends) = match piece.split_last() {
            Some((b'\n', text)) => (text, true),
            _ => (piece, false),
        };
        let room = LINE - self.line.len();
        self.cut |= text.len() > room;
        self.line.extend_from_slice(&text[..text.len().min(room)]);
        if ends {
            self.end_of_line();
        }
    }

    fn end_of_line(&mut self) {
        let raw = mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&raw).trim_end().to_owned();
        // A terminal that shows the log must not obey the child.
        line.retain(|character| !character.is_control() || character == '\t');
        if mem::take(&mut self.cut) {
            line.push('…');
        }
        if line.is_empty() {
            return;
        }
        if self.period.elapsed() >= PERIOD {
            self.report_dropped();
            self.period = Instant::now();
            self.logged = 0;
        }
        if self.logged < BURST {
            self.logged += 1;
            let (backend, stream) = (&self.backend, self.stream);
            if self.log.is_loud() {
                tracing::info!(%backend, stream, "{line}");
            } else {
                tracing::debug!(%backend, stream, "{line}");
            }
        } else {
            self.dropped += 1;
        }
        self.log.keep(line);
    }

    fn report_dropped(&mut self) {
        let dropped = mem::take(&mut self.dropped);
        if dropped > 0 {
            let (backend, stream) = (&self.backend, self.stream);
            tracing::warn!(%backend, stream, dropped, "the child writes faster than its text is logged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_lines_are_kept_cut_and_without_control_characters() {
        let log = TextLog::default();
        let text = FreeText::new(BackendName::parse("b").unwrap(), "stderr", log.clone());
        let mut input = b"lost\n".repeat(10_000);
        for number in 0..8 {
            input.extend_from_slice(format!("line {number}\r\n\n").as_bytes());
        }
        input.extend_from_slice(b"\x1b[31mred\xff\n");
        input.extend_from_slice(&[b'x'; 100_000]);
        text.listen(&input[..]).await;
        let expected = (0..8)
            .map(|number| format!("line {number} | "))
            .collect::<String>();
        let long = "x".repeat(LINE);
        assert_eq!(
            log.last_words(),
            format!("{expected}[31mred\u{fffd} | {long}…")
        );
    }
}
