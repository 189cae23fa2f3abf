//! Bodies of a scripted backend's answers: whole, or event streams that a test feeds.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use tokio::sync::mpsc;

pub fn whole(status: u16, kind: &str, body: Vec<u8>) -> Response<Fed> {
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(Fed::Whole(Some(body.into())))
        .unwrap()
}

pub fn stream(body: Fed) -> Response<Fed> {
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(body)
        .unwrap()
}

/// A body: whole, or fed by the test.
pub enum Fed {
    Whole(Option<Bytes>),
    Events {
        fed: mpsc::Receiver<String>,
        id: String,
        gone: Option<Arc<dyn Gone>>,
    },
    /// The stream of HTTP+SSE, which begins with where to post to.
    Opened {
        endpoint: Option<Bytes>,
        fed: mpsc::Receiver<String>,
        gone: Option<Arc<dyn Gone>>,
    },
}

/// Hears that the gateway closed a reply stream before its end.
pub trait Gone: Send + Sync {
    fn gone(&self);
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Opened {
                endpoint,
                fed,
                gone,
            } => {
                if let Some(endpoint) = endpoint.take() {
                    return Poll::Ready(Some(Ok(Frame::data(endpoint))));
                }
                let message = std::task::ready!(fed.poll_recv(context));
                if message.is_none() {
                    *gone = None;
                }
                Poll::Ready(message.map(|message| Ok(event(&message, "$id"))))
            }
            Self::Events { fed, id, gone } => match std::task::ready!(fed.poll_recv(context)) {
                Some(message) => Poll::Ready(Some(Ok(event(&message, id)))),
                None => {
                    *gone = None;
                    Poll::Ready(None)
                }
            },
        }
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        if let Self::Events { gone, .. } | Self::Opened { gone, .. } = self
            && let Some(gone) = gone
        {
            gone.gone();
        }
    }
}

/// One message as an event; a text that begins with a field of an event (`id:`) is one already.
pub fn event(message: &str, id: &str) -> Frame<Bytes> {
    if message.starts_with("id:") || message.starts_with("retry:") {
        return Frame::data(message.replace("$id", id).into());
    }
    Frame::data(format!("event: message\ndata: {}\n\n", message.replace("$id", id)).into())
}
