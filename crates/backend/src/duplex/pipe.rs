//! Two directions of whole JSON-RPC messages, whatever carries them.
//!
//! stdio and HTTP+SSE both make one. The maker bounds the size of a message, runs the tasks that move bytes, and does
//! the orderly shutdown; correlation and eras are the conversation's business.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;
use isthmus_exchange::{BackendName, Error};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Two directions of whole JSON-RPC messages.
pub(crate) struct Pipe {
    /// Whose pipe it is.
    pub(crate) backend: BackendName,
    /// Messages to the backend, in order. A full queue makes senders wait; it closes when the pipe is broken.
    pub(crate) outgoing: mpsc::Sender<OutgoingMessage>,
    /// Messages from the backend. An `Err` says why the pipe broke and is the last item; an end without one is an end
    /// that we asked for, or one that nothing is known about.
    pub(crate) incoming: Pin<Box<dyn Stream<Item = Result<PipeEvent, Error>> + Send>>,
    /// Its end.
    pub(crate) end: PipeEnd,
}

/// One message to the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutgoingMessage {
    /// The JSON text. May contain insignificant line breaks.
    pub(crate) text: Bytes,
    /// The id, if it is a request: to say which one could not be delivered.
    pub(crate) request: Option<u64>,
}

/// What comes out of a pipe.
#[derive(Debug)]
pub(crate) enum PipeEvent {
    /// The text of one message or batch, not looked at yet.
    Message(Bytes),
    /// The backend did not take a request; others are not affected.
    Undelivered {
        /// Which request.
        request: u64,
        /// Why. `SessionUnknown` if that is because the pipe has no other end any more, which its own end follows.
        error: Error,
    },
}

/// How a pipe is ended, and how its end is heard of. Dropping it begins the end.
#[derive(Debug)]
pub(crate) struct PipeEnd {
    closing: CancellationToken,
    ended: CancellationToken,
}

/// The maker's side of a [`PipeEnd`].
#[derive(Debug, Clone)]
pub(crate) struct PipeMaker {
    /// Fires when the pipe is to end in an orderly way. The maker may fire it too.
    pub(crate) closing: CancellationToken,
    /// To be fired when nothing is left: no process, no stream.
    pub(crate) ended: CancellationToken,
}

impl PipeEnd {
    /// An end and the side of it that the maker of the pipe keeps.
    pub(crate) fn new() -> (Self, PipeMaker) {
        let (closing, ended) = (CancellationToken::new(), CancellationToken::new());
        let maker = PipeMaker {
            closing: closing.clone(),
            ended: ended.clone(),
        };
        (Self { closing, ended }, maker)
    }

    /// Begins the orderly end.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Fires when the end has begun.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// Fires when nothing is left.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}
