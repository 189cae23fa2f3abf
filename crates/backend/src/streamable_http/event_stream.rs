//! An event stream while it arrives.

use std::time::Duration;

use futures_util::FutureExt;
use http_body_util::BodyExt;
use isthmus_egress::ResponseBody;
use isthmus_protocol::sse::{SseDecoder, SseError, SseEvent};

/// The events of one response body, each available as soon as it has arrived.
#[derive(Debug)]
pub(crate) struct EventStream {
    body: ResponseBody,
    decoder: SseDecoder,
}

/// Why there are no more events.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamEnd {
    /// The backend ended the stream.
    #[error("the stream ended")]
    Closed,
    /// The connection broke.
    #[error("the stream broke")]
    Broken(#[source] hyper::Error),
    /// What arrived is no event stream, or an event is too large.
    #[error("the stream cannot be read")]
    Unreadable(#[source] SseError),
}

impl EventStream {
    /// Reads events of at most `limit` bytes from `body`.
    pub(crate) fn new(body: ResponseBody, limit: usize) -> Self {
        Self {
            body,
            decoder: SseDecoder::new(limit),
        }
    }

    /// The same stream when its `beginning` was read already.
    pub(crate) fn resumed_after(mut self, beginning: bytes::Bytes) -> Self {
        self.decoder.push(beginning);
        self
    }

    /// The next event. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<SseEvent, StreamEnd> {
        loop {
            if let Some(event) = self.decoder.next_event() {
                return event.map_err(StreamEnd::Unreadable);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.decoder.push(data);
                    }
                }
                Some(Err(error)) => return Err(StreamEnd::Broken(error)),
                None => return Err(StreamEnd::Closed),
            }
        }
    }

    /// Reads on to the end, which is near once the response has come: a connection is used again only if its last body
    /// was read to the end.
    ///
    /// Gives up after [`DRAIN_TIME`] or [`DRAIN_BYTES`], which closes the connection instead.
    pub(crate) fn finish(self) {
        let mut draining = Box::pin(tokio::time::timeout(DRAIN_TIME, drain(self.body)));
        if draining.as_mut().now_or_never().is_none() {
            #[expect(
                clippy::disallowed_methods,
                reason = "its time limit ends it soon, and it holds nothing but the body"
            )]
            tokio::spawn(draining);
        }
    }
}

async fn drain(mut body: ResponseBody) {
    let mut left = DRAIN_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, |data| data.len())) else {
            return;
        };
        left = rest;
    }
}

const DRAIN_TIME: Duration = Duration::from_secs(1);
const DRAIN_BYTES: usize = 64 * 1024;
