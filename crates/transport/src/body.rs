//! Bodies: requests read with a limit and a time, responses whole or as streams.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use isthmus_config::Bounds;
use isthmus_exchange::{Error, ErrorKind};
use tokio_util::task::TaskTracker;

/// The body of a response.
pub(crate) enum ResponseBody {
    /// Nothing, or no more.
    Empty,
    /// One piece.
    Whole(Bytes),
    /// Pieces as they come.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

/// Why a request's body could not be read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// Longer than allowed: 413.
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// Not complete in time: 408.
    TooSlow,
    /// The connection broke, or its framing is wrong: 400.
    Broken(hyper::Error),
}

/// Reads a whole request body, within the bounds.
///
/// The rest of one that is too long is taken and thrown away, for a while, by a task of `tracker`: a connection that is
/// closed while its client still writes loses the answer on the way.
///
/// # Errors
///
/// [`BodyError`].
pub(crate) async fn read(
    mut body: Incoming,
    bounds: &Bounds,
    tracker: &TaskTracker,
) -> Result<Bytes, BodyError> {
    let limit = bounds.body;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let read = if announced > limit {
        Ok(Err(BodyError::TooLong { limit }))
    } else {
        tokio::time::timeout(bounds.request_read, read_all(&mut body, announced, limit)).await
    };
    match read {
        Ok(Err(BodyError::TooLong { limit })) => {
            let draining = drain(body, limit.saturating_mul(4));
            let patience = bounds.request_read;
            tracker.spawn(async move { tokio::time::timeout(patience, draining).await });
            Err(BodyError::TooLong { limit })
        }
        Ok(read) => read,
        Err(_) => Err(BodyError::TooSlow),
    }
}

async fn read_all(body: &mut Incoming, announced: usize, limit: usize) -> Result<Bytes, BodyError> {
    // Most bodies come in one piece, which needs no copy.
    let first = next_piece(body).await?.unwrap_or_default();
    if first.len() > limit {
        return Err(BodyError::TooLong { limit });
    }
    let Some(second) = next_piece(body).await? else {
        return Ok(first);
    };
    let mut whole = BytesMut::with_capacity(announced.max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    let mut piece = second;
    loop {
        if whole.len() + piece.len() > limit {
            return Err(BodyError::TooLong { limit });
        }
        whole.extend_from_slice(&piece);
        match next_piece(body).await? {
            Some(next) => piece = next,
            None => return Ok(whole.freeze()),
        }
    }
}

async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that anybody here would read.
        if let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn drain(mut body: Incoming, most: usize) {
    let mut thrown_away = 0;
    while let Ok(Some(piece)) = next_piece(&mut body).await {
        thrown_away += piece.len();
        if thrown_away > most {
            return;
        }
    }
}

impl BodyError {
    /// The status and the error to answer with.
    pub(crate) fn into_parts(self) -> (http::StatusCode, Error) {
        let invalid = |message: String| Error::new(ErrorKind::InvalidRequest, message);
        match self {
            Self::TooLong { limit } => (
                http::StatusCode::PAYLOAD_TOO_LARGE,
                invalid(format!("the body is longer than {limit} bytes")),
            ),
            Self::TooSlow => (
                http::StatusCode::REQUEST_TIMEOUT,
                invalid("the body did not arrive in time".to_owned()),
            ),
            Self::Broken(error) => (
                http::StatusCode::BAD_REQUEST,
                invalid("the body could not be read".to_owned()).caused_by(error),
            ),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) => stream
                .as_mut()
                .poll_next(context)
                .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}
