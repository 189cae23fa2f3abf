//! What came back: nothing, one text, or a stream.
//!
//! The label is not trusted: some servers call event streams JSON and the other way round (digest trap 19), so the first
//! byte decides.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use isthmus_egress::ResponseBody;
use isthmus_exchange::BackendName;
use isthmus_protocol::message::{Incoming, Message, parse_incoming};
use isthmus_protocol::{JsonRpcError, RawJson};

use super::endpoint::Limits;
use super::event_stream::{EventStream, StreamEnd};
use super::failure::{self, Failure};

/// A response whose head has arrived, and of whose body is known what it is.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
}

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing, or nothing worth reading.
    Nothing,
    /// All of it, not yet parsed.
    Whole(Bytes),
    /// Events that are still arriving.
    Stream(EventStream),
}

impl Content {
    /// The response to the request `id`, for exchanges of which nothing else is of interest; `None` if there is no
    /// JSON-RPC response at all.
    ///
    /// # Errors
    ///
    /// The stream broke, or cannot be read.
    pub(crate) async fn response(
        self,
        backend: &BackendName,
        id: u64,
    ) -> Result<Option<Result<RawJson, JsonRpcError>>, Failure> {
        let mut stream = match self {
            Self::Nothing => return Ok(None),
            Self::Whole(text) => return Ok(response_in(&text, id)),
            Self::Stream(stream) => stream,
        };
        loop {
            match stream.next().await {
                Ok(event) => {
                    if let Some(response) = response_in(&event.data, id) {
                        stream.finish();
                        return Ok(Some(response));
                    }
                }
                Err(StreamEnd::Closed) => return Ok(None),
                Err(error) => {
                    let text = format!("the answer of `{backend}` broke off");
                    return Err(Failure::lost(
                        failure::unavailable(backend, text).caused_by(error),
                    ));
                }
            }
        }
    }
}

/// An error without an id is about the only request of the exchange.
fn response_in(text: &Bytes, id: u64) -> Option<Result<RawJson, JsonRpcError>> {
    let messages = match parse_incoming(text).ok()? {
        Incoming::Single(message) => vec![message],
        Incoming::Batch(messages) => messages.into_iter().flatten().collect(),
    };
    messages.into_iter().find_map(|message| match message {
        Message::Response { id: of, outcome }
            if of.as_ref().is_none_or(|of| of.as_number() == Some(id)) =>
        {
            Some(outcome)
        }
        _ => None,
    })
}

/// Reads as much of `response` as is needed to know what it is; a body that is no stream is read to its end.
///
/// # Errors
///
/// The body broke off or is larger than `limits.body`. The backend may have acted on the request.
pub(crate) async fn read(
    backend: &BackendName,
    response: Response<ResponseBody>,
    limits: Limits,
) -> Result<Answered, Failure> {
    let (parts, mut body) = response.into_parts();
    let labelled_stream = is_event_stream(&parts.headers);
    let limit = if parts.status.is_success() {
        limits.body
    } else {
        limits.body.min(ERROR_BODY)
    };
    let content = match read_content(&mut body, labelled_stream, limit).await {
        Ok(Beginning::Text(text)) if text.is_empty() => Content::Nothing,
        Ok(Beginning::Text(text)) => Content::Whole(text),
        Ok(Beginning::Events(beginning)) => {
            Content::Stream(EventStream::new(body, limits.event).resumed_after(beginning))
        }
        Err(_) if !parts.status.is_success() => Content::Nothing,
        Err(Unread::TooLarge) => {
            let text = format!("`{backend}` answered with more than {limit} bytes");
            return Err(Failure::lost(failure::misbehaved(backend, text)));
        }
        Err(Unread::Broken(error)) => {
            let text = format!("the connection to `{backend}` broke in the middle of its answer");
            return Err(Failure::lost(
                failure::unavailable(backend, text).caused_by(error),
            ));
        }
    };
    Ok(Answered {
        status: parts.status,
        headers: parts.headers,
        content,
    })
}

/// Whether the head announces an event stream.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let Some(Ok(label)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = label.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/event-stream")
}

enum Beginning {
    Text(Bytes),
    Events(Bytes),
}

enum Unread {
    TooLarge,
    Broken(hyper::Error),
}

/// What a body turns out to be by its first byte.
#[derive(Debug, PartialEq, Eq)]
enum Nature {
    Text,
    Events,
}

async fn read_content(
    body: &mut ResponseBody,
    labelled_stream: bool,
    limit: usize,
) -> Result<Beginning, Unread> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 && !labelled_stream {
        return Err(Unread::TooLarge);
    }
    let mut gathered = Gathered::default();
    let mut decided = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Unread::Broken)?.into_data() else {
            continue;
        };
        gathered.push(data, usize::try_from(announced).unwrap_or(limit).min(limit));
        if !decided {
            match nature(gathered.so_far(), labelled_stream) {
                Some(Nature::Events) => return Ok(Beginning::Events(gathered.into_bytes())),
                Some(Nature::Text) => decided = true,
                None => {}
            }
        }
        if gathered.so_far().len() > limit {
            return Err(Unread::TooLarge);
        }
    }
    Ok(Beginning::Text(gathered.into_bytes()))
}

/// Decides by the first byte that is no white space; `None` before there is one.
///
/// JSON-RPC begins with `{` or `[`. A line of an event stream begins with a colon or the name of a field, of which those
/// that mean something begin with one of `deir`; no JSON message does.
fn nature(text: &[u8], labelled_stream: bool) -> Option<Nature> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    match text.iter().find(|byte| !byte.is_ascii_whitespace())? {
        b'{' | b'[' => Some(Nature::Text),
        b':' | b'd' | b'e' | b'i' | b'r' => Some(Nature::Events),
        _ if labelled_stream => Some(Nature::Events),
        _ => Some(Nature::Text),
    }
}

/// A body in one piece, copied only if it arrived in several.
#[derive(Default)]
struct Gathered {
    only: Bytes,
    several: BytesMut,
}

impl Gathered {
    fn push(&mut self, data: Bytes, announced: usize) {
        if self.several.is_empty() && self.only.is_empty() {
            self.only = data;
            return;
        }
        if self.several.is_empty() {
            self.several
                .reserve(announced.max(self.only.len() + data.len()));
            self.several.extend_from_slice(&self.only);
        }
        self.several.extend_from_slice(&data);
    }

    fn so_far(&self) -> &[u8] {
        if self.several.is_empty() {
            &self.only
        } else {
            &self.several
        }
    }

    fn into_bytes(self) -> Bytes {
        if self.several.is_empty() {
            self.only
        } else {
            self.several.freeze()
        }
    }
}

/// How much is read of a body with an error status.
const ERROR_BODY: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_decides_and_not_the_label() {
        for (text, labelled, expected) in [
            ("{\"jsonrpc\"", true, Some(Nature::Text)),
            (" \n[", true, Some(Nature::Text)),
            ("data: {}", false, Some(Nature::Events)),
            ("\u{feff}id", false, Some(Nature::Events)),
            (": ", false, Some(Nature::Events)),
            ("x-unknown: 1", true, Some(Nature::Events)),
            ("<html>", false, Some(Nature::Text)),
            ("\n\n", true, None),
        ] {
            assert_eq!(nature(text.as_bytes(), labelled), expected, "{text:?}");
        }
    }

    #[test]
    fn a_body_in_pieces_comes_out_whole() {
        let mut gathered = Gathered::default();
        for piece in ["a", "", "bc", "d"] {
            gathered.push(Bytes::from_static(piece.as_bytes()), 4);
        }
        assert_eq!(gathered.into_bytes(), "abcd");
    }
}
