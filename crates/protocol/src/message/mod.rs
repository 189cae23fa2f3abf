//! The JSON-RPC envelope: what a peer sent, and how we write what we send.
//!
//! Reading checks the whole text once and keeps `params`, `result` and `data` as shared slices of it. A member of the
//! envelope that occurs twice is refused, because two readers could each believe another one. `"id": null` and
//! `"result": null` are not the same as absent; `"params": null`, which some peers write, is.

use std::ops::Range;

use bytes::Bytes;

use crate::scan::{self, Cursor, Elements, Member, Members};
use crate::{Id, InvalidJson, JsonRpcError, Method, RawJson};

/// One JSON-RPC message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Wants a response.
    Request {
        /// Repeated by the response.
        id: Id,
        /// What is asked.
        method: Method,
        /// An object or (not in MCP, but in JSON-RPC) an array.
        params: Option<RawJson>,
    },
    /// Wants none.
    Notification {
        /// What happened.
        method: Method,
        /// An object or (not in MCP, but in JSON-RPC) an array.
        params: Option<RawJson>,
    },
    /// Answers a request.
    Response {
        /// Which request; absent or null only in an error about a request that could not be read.
        id: Option<Id>,
        /// The `result` or the `error`.
        outcome: Result<RawJson, JsonRpcError>,
    },
}

/// What one body, line or event holds.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// One message.
    Single(Message),
    /// A batch, which only 2025-03-26 knows (LS-11, LC-6). Never empty; each member is good or bad on its own.
    Batch(Vec<Result<Message, MessageError>>),
}

/// The text is not a JSON-RPC message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MessageError {
    /// Which of the two JSON-RPC errors it is.
    pub kind: MessageErrorKind,
    /// The id, where one could still be read: an answer repeats it, a waiting call fails by it.
    pub id: Option<Id>,
    /// What is wrong, for the peer.
    pub message: String,
}

/// Which JSON-RPC error a [`MessageError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageErrorKind {
    /// Not JSON, not UTF-8, or nested too deeply: -32700.
    Syntax,
    /// JSON, but not a message: -32600.
    NotAMessage,
}

/// Reads what a body, line or event holds.
///
/// # Errors
///
/// [`MessageError`] if the text is not well-formed, or is neither a message nor a batch with at least one member.
pub fn parse_incoming(text: &Bytes) -> Result<Incoming, MessageError> {
    scan::check_utf8(text)?;
    let mut cursor = Cursor::new(text, 0);
    if cursor.peek() != Some(b'[') {
        return read_whole(text).map(Incoming::Single);
    }
    let Some(mut elements) = Elements::checking(text) else {
        return Err(MessageError::not_a_message(None, "not a batch"));
    };
    let mut batch = Vec::new();
    while let Some(element) = elements.next()? {
        batch.push(match Members::at(text, element.start) {
            Some(mut members) => read_members(text, &mut members),
            None => Err(MessageError::not_a_message(None, "a message is an object")),
        });
    }
    elements.into_cursor().end()?;
    if batch.is_empty() {
        return Err(MessageError::not_a_message(
            None,
            "a batch must not be empty",
        ));
    }
    Ok(Incoming::Batch(batch))
}

/// Reads exactly one message; a batch is refused.
///
/// # Errors
///
/// [`MessageError`] if the text is not well-formed or not a message.
pub fn parse_message(text: &Bytes) -> Result<Message, MessageError> {
    scan::check_utf8(text)?;
    read_whole(text)
}

fn read_whole(text: &Bytes) -> Result<Message, MessageError> {
    let Some(mut members) = Members::checking(text) else {
        // Tells text that is no JSON at all from JSON that is no message.
        scan::check(text)?;
        return Err(MessageError::not_a_message(None, "a message is an object"));
    };
    let message = read_members(text, &mut members);
    // Text that is not well-formed is a syntax error before anything else.
    members.into_cursor().end()?;
    message
}

/// Where the members of an envelope stand.
#[derive(Default)]
struct Fields {
    jsonrpc: Option<Range<usize>>,
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    params: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

fn read_members(text: &Bytes, members: &mut Members<'_>) -> Result<Message, MessageError> {
    let mut fields = Fields::default();
    let mut twice = None;
    while let Some(member) = members.next()? {
        if fields.store(&member) {
            twice = Some(member.key().into_owned());
        }
    }
    let id = fields.id.clone().map(|range| RawJson::found(text, range));
    let readable_id = id.clone().and_then(Id::from_raw);
    if let Some(key) = twice {
        let message = format!("`{key}` occurs twice");
        return Err(MessageError::not_a_message(readable_id, message));
    }
    fields
        .message(text, id, readable_id.clone())
        .map_err(|message| MessageError::not_a_message(readable_id, message))
}

impl Fields {
    /// Notes where a member stands; true if it is one of the envelope that was there before.
    fn store(&mut self, member: &Member<'_>) -> bool {
        let slot = match &*member.key() {
            "jsonrpc" => &mut self.jsonrpc,
            "id" => &mut self.id,
            "method" => &mut self.method,
            "params" => &mut self.params,
            "result" => &mut self.result,
            "error" => &mut self.error,
            _ => return false,
        };
        slot.replace(member.value.clone()).is_some()
    }

    fn message(
        &self,
        text: &Bytes,
        id: Option<RawJson>,
        readable_id: Option<Id>,
    ) -> Result<Message, String> {
        let take = |range: &Range<usize>| RawJson::found(text, range.clone());
        match self.jsonrpc.clone().map(|range| scan::string(&text[range])) {
            Some(Some(version)) if version == "2.0" => {}
            _ => return Err("`jsonrpc` must be \"2.0\"".to_owned()),
        }
        match (&self.method, &self.result, &self.error) {
            (Some(method), None, None) => {
                let method =
                    scan::string(&text[method.clone()]).ok_or("`method` must be a string")?;
                let method = Method::parse(&method);
                let params = self
                    .params
                    .as_ref()
                    .map(take)
                    .filter(|params| !params.is_null());
                if let Some(params) = &params
                    && !matches!(params.as_bytes().first(), Some(b'{' | b'['))
                {
                    return Err("`params` must be an object".to_owned());
                }
                match (id, readable_id) {
                    (None, _) => Ok(Message::Notification { method, params }),
                    (Some(_), Some(id)) => Ok(Message::Request { id, method, params }),
                    (Some(_), None) => Err("`id` must be a string or a number".to_owned()),
                }
            }
            (None, Some(result), None) => match readable_id {
                Some(id) => Ok(Message::Response {
                    id: Some(id),
                    outcome: Ok(take(result)),
                }),
                None => Err("a result needs the `id` of its request".to_owned()),
            },
            (None, None, Some(error)) => {
                if readable_id.is_none() && id.is_some_and(|id| !id.is_null()) {
                    return Err("`id` must be a string or a number".to_owned());
                }
                let error = read_error(text, error.start)
                    .ok_or("`error` must have an integer `code` and a `message`")?;
                Ok(Message::Response {
                    id: readable_id,
                    outcome: Err(error),
                })
            }
            (Some(_), _, _) => Err("`method` stands beside `result` or `error`".to_owned()),
            (None, Some(_), Some(_)) => Err("`result` stands beside `error`".to_owned()),
            (None, None, None) => Err("neither `method` nor `result` nor `error`".to_owned()),
        }
    }
}

/// Reads an error object. A missing `message` becomes an empty one: the call it ends must end all the same.
fn read_error(text: &Bytes, start: usize) -> Option<JsonRpcError> {
    let mut members = Members::at(text, start)?;
    let mut code = None;
    let mut error = JsonRpcError::new(0, "");
    while let Some(member) = members.next().ok()? {
        let value = &text[member.value.clone()];
        match &*member.key() {
            "code" => code = serde_json::from_slice::<i64>(value).ok(),
            "message" => error.message = scan::string(value).unwrap_or_default().into_owned(),
            "data" => error.data = Some(RawJson::found(text, member.value)),
            _ => {}
        }
    }
    error.code = code?;
    Some(error)
}

impl MessageError {
    fn not_a_message(id: Option<Id>, message: impl Into<String>) -> Self {
        Self {
            kind: MessageErrorKind::NotAMessage,
            id,
            message: message.into(),
        }
    }

    /// The JSON-RPC error that tells the peer.
    #[must_use]
    pub fn to_json_rpc(&self) -> JsonRpcError {
        let code = match self.kind {
            MessageErrorKind::Syntax => crate::code::PARSE_ERROR,
            MessageErrorKind::NotAMessage => crate::code::INVALID_REQUEST,
        };
        JsonRpcError::new(code, self.message.clone())
    }
}

impl From<InvalidJson> for MessageError {
    fn from(error: InvalidJson) -> Self {
        Self {
            kind: MessageErrorKind::Syntax,
            id: None,
            message: error.to_string(),
        }
    }
}

/// A request as one line of JSON, if `params` is one.
#[must_use]
pub fn write_request(id: &Id, method: &Method, params: &RawJson) -> Bytes {
    let mut text = head(
        Some(id.raw().as_bytes()),
        48 + method.as_str().len() + params.len(),
    );
    push_method(&mut text, method);
    text.extend_from_slice(b",\"params\":");
    close(text, params)
}

/// A notification as one line of JSON, if `params` is one.
#[must_use]
pub fn write_notification(method: &Method, params: Option<&RawJson>) -> Bytes {
    let size = 48 + method.as_str().len() + params.map_or(0, RawJson::len);
    let mut text = head(None, size);
    push_method(&mut text, method);
    let Some(params) = params else {
        text.push(b'}');
        return text.into();
    };
    text.extend_from_slice(b",\"params\":");
    close(text, params)
}

/// A response with a result.
#[must_use]
pub fn write_result(id: &Id, result: &RawJson) -> Bytes {
    let mut text = head(Some(id.raw().as_bytes()), 48 + result.len());
    text.extend_from_slice(b",\"result\":");
    close(text, result)
}

/// The same response as [`write_result`] in three pieces, so that a large result is sent without being copied.
#[must_use]
pub fn write_result_pieces(id: &Id, result: &RawJson) -> [Bytes; 3] {
    let mut text = head(Some(id.raw().as_bytes()), 48);
    text.extend_from_slice(b",\"result\":");
    [
        text.into(),
        result.bytes().clone(),
        Bytes::from_static(b"}"),
    ]
}

/// A response with an error; without an id if the request's could not be read (written as null).
#[must_use]
pub fn write_error(id: Option<&Id>, error: &JsonRpcError) -> Bytes {
    let id = id.map_or(b"null".as_slice(), |id| id.raw().as_bytes());
    let data = error.data.as_ref().map_or(0, RawJson::len);
    let mut text = head(Some(id), 96 + error.message.len() + data);
    text.extend_from_slice(b",\"error\":{\"code\":");
    text.extend_from_slice(error.code.to_string().as_bytes());
    text.extend_from_slice(b",\"message\":");
    text.extend_from_slice(RawJson::string(&error.message).as_bytes());
    if let Some(data) = &error.data {
        text.extend_from_slice(b",\"data\":");
        text.extend_from_slice(data.as_bytes());
    }
    text.extend_from_slice(b"}}");
    text.into()
}

/// A batch of messages that are already written (LS-11).
#[must_use]
pub fn write_batch(messages: &[Bytes]) -> Bytes {
    let mut text = Vec::with_capacity(
        2 + messages
            .iter()
            .map(|message| message.len() + 1)
            .sum::<usize>(),
    );
    text.push(b'[');
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(message);
    }
    text.push(b']');
    text.into()
}

fn head(id: Option<&[u8]>, size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + id.map_or(0, <[u8]>::len));
    text.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    if let Some(id) = id {
        text.extend_from_slice(b",\"id\":");
        text.extend_from_slice(id);
    }
    text
}

fn push_method(text: &mut Vec<u8>, method: &Method) {
    text.extend_from_slice(b",\"method\":");
    match method {
        Method::Other(name) => text.extend_from_slice(RawJson::string(name).as_bytes()),
        known => {
            text.push(b'"');
            text.extend_from_slice(known.as_str().as_bytes());
            text.push(b'"');
        }
    }
}

fn close(mut text: Vec<u8>, value: &RawJson) -> Bytes {
    text.extend_from_slice(value.as_bytes());
    text.push(b'}');
    text.into()
}

#[cfg(test)]
mod tests;
