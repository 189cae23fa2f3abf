//! Bodies: requests read with a limit and a time, responses whole or as streams.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use isthmus_config::Bounds;
use isthmus_exchange::{Error, ErrorKind};

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
/// # Errors
///
/// [`BodyError`].
pub(crate) async fn read<B>(body: B, bounds: &Bounds) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    let limit = bounds.body;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(BodyError::TooLong { limit });
    }
    #[expect(clippy::disallowed_methods, reason = "`Limited` to `bounds.body`")]
    let whole = Limited::new(body, limit).collect();
    match tokio::time::timeout(bounds.request_read, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLong { limit }),
        Ok(Err(error)) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(BodyError::Broken(*error)),
            Err(_) => Err(BodyError::TooLong { limit }),
        },
        Err(_) => Err(BodyError::TooSlow),
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
