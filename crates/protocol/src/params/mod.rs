//! The parameters of a request: what belongs to the hop, what routes, and the rest.
//!
//! One pass splits what a caller sent; stamping adds what the next hop needs. Members that nobody here owns, unknown
//! keys of `_meta` among them, keep their bytes (digest §3.0, invariants 3 and 4).

use std::ops::Range;

use bytes::Bytes;

use crate::object::{MemberCutter, Splice, edit_member, prepend};
use crate::scan::{self, Member, Members};
use crate::{LogLevel, Method, RawJson, Revision};

/// Keys of `_meta` that belong to the protocol (digest §1.6).
pub mod meta_key {
    /// The revision of a request.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// What the client can do, for one request.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// Who the client says it is.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// The least severe log message that the request wants to hear.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Who the server says it is, in a result.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// The id of the listen request that a message belongs to.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// By which progress of a request is told.
    pub const PROGRESS_TOKEN: &str = "progressToken";
    /// W3C trace context: `traceparent`.
    pub const TRACE_PARENT: &str = "traceparent";
    /// W3C trace context: `tracestate`.
    pub const TRACE_STATE: &str = "tracestate";
    /// W3C baggage.
    pub const BAGGAGE: &str = "baggage";
}

/// Parameters, taken apart.
#[derive(Debug, Clone)]
pub struct SplitParams {
    /// What the caller said about the hop in `_meta`.
    pub meta: RequestMeta,
    /// The parameters without hop members, always an object. An `_meta` that had nothing else is gone.
    pub params: RawJson,
    /// `name` of a tool call or prompt.
    pub name: Option<String>,
    /// `uri` of a read, a subscription or its end.
    pub uri: Option<String>,
    /// `cursor` of a list. It also stays in `params`.
    pub cursor: Option<String>,
    /// `ref` of a completion.
    pub reference: Option<Reference>,
    /// `taskId` of a task request.
    pub task_id: Option<String>,
    /// `inputResponses` of a retry (26:basic/patterns/mrtr), an object.
    pub input_responses: Option<RawJson>,
    /// `requestState` of a retry.
    pub request_state: Option<String>,
    /// `task` of a call (1125:basic/utilities/tasks), taken out of `params`.
    pub task: Option<RawJson>,
}

/// What a completion completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `ref/prompt` by name.
    Prompt(String),
    /// `ref/resource` by URI or template.
    Resource(String),
}

/// The hop members of `params._meta`, as sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestMeta {
    /// The revision, not yet checked.
    pub protocol_version: Option<String>,
    /// The capability object.
    pub client_capabilities: Option<RawJson>,
    /// The client's name and version.
    pub client_info: Option<RawJson>,
    /// The log level, not yet checked.
    pub log_level: Option<String>,
    /// The progress token, a string or number.
    pub progress_token: Option<RawJson>,
    /// W3C `traceparent`.
    pub traceparent: Option<String>,
    /// W3C `tracestate`.
    pub tracestate: Option<String>,
    /// W3C `baggage`.
    pub baggage: Option<String>,
}

/// The parameters have the wrong shape: -32602.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// Not an object.
    #[error("`params` must be an object")]
    NotAnObject,
    /// A member that the method needs is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A member has the wrong type.
    #[error("`{member}` must be {expected}")]
    WrongType {
        /// Which member.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A member that we route by stands there twice: the backend might read the other one.
    #[error("`{0}` occurs twice")]
    Twice(&'static str),
}

/// W3C trace context to send on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceStamp<'a> {
    /// `traceparent`.
    pub parent: Option<&'a str>,
    /// `tracestate`.
    pub state: Option<&'a str>,
    /// `baggage`.
    pub baggage: Option<&'a str>,
}

/// What a request to a stateless peer says of its hop (MC-1).
#[derive(Debug, Clone, Copy)]
pub struct StatelessStamp<'a> {
    /// The revision spoken.
    pub revision: Revision,
    /// What may be asked of us for this request; an object.
    pub capabilities: &'a RawJson,
    /// Who we are; an object.
    pub client_info: &'a RawJson,
    /// The least severe log message wanted.
    pub log_level: Option<LogLevel>,
    /// Our token, if progress is wanted.
    pub progress_token: Option<&'a RawJson>,
    /// The trace context.
    pub trace: TraceStamp<'a>,
}

/// Adds what a stateless peer needs to know of the hop.
///
/// The keys stand in front of what `_meta` has already, in one copy of the text.
#[must_use]
pub fn stamp_stateless(params: &RawJson, stamp: &StatelessStamp<'_>) -> RawJson {
    let mut added = Vec::with_capacity(512 + stamp.capabilities.len() + stamp.client_info.len());
    push_quoted(
        &mut added,
        meta_key::PROTOCOL_VERSION,
        stamp.revision.as_str(),
    );
    push_raw(
        &mut added,
        meta_key::CLIENT_CAPABILITIES,
        stamp.capabilities,
    );
    push_raw(&mut added, meta_key::CLIENT_INFO, stamp.client_info);
    if let Some(level) = stamp.log_level {
        push_quoted(&mut added, meta_key::LOG_LEVEL, level.as_str());
    }
    push_token_and_trace(&mut added, stamp.progress_token, stamp.trace);
    prepend(params, Vec::new(), added)
}

/// Adds what a stateful peer needs to know of the hop.
#[must_use]
pub fn stamp_stateful(
    params: &RawJson,
    progress_token: Option<&RawJson>,
    trace: TraceStamp<'_>,
) -> RawJson {
    let mut added = Vec::new();
    push_token_and_trace(&mut added, progress_token, trace);
    prepend(params, Vec::new(), added)
}

/// Tags what a listen stream carries with the id of the listen request (MS-21).
#[must_use]
pub fn stamp_subscription(params: &RawJson, subscription_id: &RawJson) -> RawJson {
    edit_member(params, "_meta", |meta| {
        meta.set(meta_key::SUBSCRIPTION_ID, subscription_id.clone())
    })
}

impl RequestMeta {
    /// Whether the request describes itself, as stateless ones do (E-5): any of the keys that only they have.
    #[must_use]
    pub const fn has_envelope(&self) -> bool {
        self.protocol_version.is_some() || self.client_capabilities.is_some()
    }
}

impl SplitParams {
    /// Takes the parameters of `method` apart, in one pass.
    ///
    /// What is absent or null counts as `{}`. `inputResponses`, `requestState` and `task` belong to the hop for the
    /// three methods that may ask back; for others they are parameters like any other.
    ///
    /// # Errors
    ///
    /// [`ParamsError`] if a member that routes, or one of the hop, has the wrong shape, is missing, or occurs twice.
    pub fn parse(method: &Method, params: Option<&RawJson>) -> Result<Self, ParamsError> {
        let Some(params) = params.filter(|params| !params.is_null()) else {
            let split = Self::empty(RawJson::empty_object());
            split.check_complete(method)?;
            return Ok(split);
        };
        let mut members = Members::of(params.as_bytes()).ok_or(ParamsError::NotAnObject)?;
        let mut split = Self::empty(params.clone());
        let mut splice = Splice::new(params.bytes());
        let mut cutter = MemberCutter::default();
        let mut meta_seen = false;
        while let Some(member) = members.next().map_err(|_| ParamsError::NotAnObject)? {
            let range = member.start..member.value.end;
            let stays = if member.key() == "_meta" {
                if std::mem::replace(&mut meta_seen, true) {
                    return Err(ParamsError::Twice("_meta"));
                }
                // Its own cuts come after the one that may take the whole member away: collect them apart.
                let mut inner = Splice::new(params.bytes());
                let emptied = split.meta.read(params.bytes(), &member.value, &mut inner)?;
                if !emptied {
                    cutter.keep(range, &mut splice);
                    splice.append(inner);
                    continue;
                }
                false
            } else {
                split.read_member(method, params.bytes(), &member)?
            };
            if stays {
                cutter.keep(range, &mut splice);
            } else {
                cutter.drop(range, &mut splice);
            }
        }
        cutter.finish(std::iter::empty(), 1, &mut splice);
        split.params = splice.finish();
        split.check_complete(method)?;
        Ok(split)
    }

    /// Whether the request describes itself, as stateless ones do (E-5).
    #[must_use]
    pub const fn has_envelope(&self) -> bool {
        self.meta.has_envelope()
    }

    fn empty(params: RawJson) -> Self {
        Self {
            meta: RequestMeta::default(),
            params,
            name: None,
            uri: None,
            cursor: None,
            reference: None,
            task_id: None,
            input_responses: None,
            request_state: None,
            task: None,
        }
    }

    /// Notes a member; false if it belongs to the hop and is to be taken out.
    fn read_member(
        &mut self,
        method: &Method,
        whole: &Bytes,
        member: &Member<'_>,
    ) -> Result<bool, ParamsError> {
        use Method as M;
        let value = &whole[member.value.clone()];
        let may_ask = matches!(method, M::ToolsCall | M::PromptsGet | M::ResourcesRead);
        match (&*member.key(), method) {
            ("name", M::ToolsCall | M::PromptsGet) => store_string(&mut self.name, "name", value)?,
            ("uri", M::ResourcesRead | M::ResourcesSubscribe | M::ResourcesUnsubscribe) => {
                store_string(&mut self.uri, "uri", value)?;
            }
            (
                "cursor",
                M::ToolsList | M::PromptsList | M::ResourcesList | M::ResourcesTemplatesList,
            ) if value != b"null" => {
                store_string(&mut self.cursor, "cursor", value)?;
            }
            ("ref", M::CompletionComplete) => {
                let reference = Reference::read(whole, &member.value)?;
                store(&mut self.reference, "ref", reference)?;
            }
            ("taskId", M::TasksGet | M::TasksResult | M::TasksCancel | M::TasksUpdate) => {
                store_string(&mut self.task_id, "taskId", value)?;
            }
            ("inputResponses", _) if may_ask => {
                store(
                    &mut self.input_responses,
                    "inputResponses",
                    object(whole, member, "inputResponses")?,
                )?;
                return Ok(false);
            }
            ("requestState", _) if may_ask => {
                store_string(&mut self.request_state, "requestState", value)?;
                return Ok(false);
            }
            ("task", _) if may_ask => {
                store(
                    &mut self.task,
                    "task",
                    RawJson::found(whole, member.value.clone()),
                )?;
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    fn check_complete(&self, method: &Method) -> Result<(), ParamsError> {
        use Method as M;
        let missing = match method {
            M::ToolsCall | M::PromptsGet if self.name.is_none() => "name",
            M::ResourcesRead | M::ResourcesSubscribe | M::ResourcesUnsubscribe
                if self.uri.is_none() =>
            {
                "uri"
            }
            M::CompletionComplete if self.reference.is_none() => "ref",
            _ => return Ok(()),
        };
        Err(ParamsError::Missing(missing))
    }
}

impl RequestMeta {
    /// Reads the `_meta` that stands at `place` and cuts the hop's keys; true if it had some and nothing else.
    fn read(
        &mut self,
        whole: &Bytes,
        place: &Range<usize>,
        splice: &mut Splice<'_>,
    ) -> Result<bool, ParamsError> {
        let not_an_object = ParamsError::WrongType {
            member: "_meta",
            expected: "an object",
        };
        let Some(mut members) = Members::at(whole, place.start) else {
            return Err(not_an_object);
        };
        let mut cutter = MemberCutter::default();
        while let Some(member) = members.next().map_err(|_| not_an_object.clone())? {
            let range = member.start..member.value.end;
            if self.read_member(whole, &member)? {
                cutter.drop(range, splice);
            } else {
                cutter.keep(range, splice);
            }
        }
        let emptied = cutter.dropped_all();
        cutter.finish(std::iter::empty(), place.start + 1, splice);
        Ok(emptied)
    }

    /// Notes a member; true if it belongs to the hop.
    fn read_member(&mut self, whole: &Bytes, member: &Member<'_>) -> Result<bool, ParamsError> {
        let value = &whole[member.value.clone()];
        match &*member.key() {
            meta_key::PROTOCOL_VERSION => {
                store_string(
                    &mut self.protocol_version,
                    meta_key::PROTOCOL_VERSION,
                    value,
                )?;
            }
            meta_key::CLIENT_CAPABILITIES => {
                let capabilities = object(whole, member, meta_key::CLIENT_CAPABILITIES)?;
                store(
                    &mut self.client_capabilities,
                    meta_key::CLIENT_CAPABILITIES,
                    capabilities,
                )?;
            }
            meta_key::CLIENT_INFO => {
                let info = object(whole, member, meta_key::CLIENT_INFO)?;
                store(&mut self.client_info, meta_key::CLIENT_INFO, info)?;
            }
            meta_key::LOG_LEVEL => store_string(&mut self.log_level, meta_key::LOG_LEVEL, value)?,
            meta_key::PROGRESS_TOKEN => {
                // Some clients send null for "none".
                if value != b"null" {
                    if !matches!(value.first(), Some(b'"' | b'-' | b'0'..=b'9')) {
                        let expected = "a string or a number";
                        return Err(ParamsError::WrongType {
                            member: meta_key::PROGRESS_TOKEN,
                            expected,
                        });
                    }
                    let token = RawJson::found(whole, member.value.clone());
                    store(&mut self.progress_token, meta_key::PROGRESS_TOKEN, token)?;
                }
            }
            // A trace context that is no string is not worth an error: it is only dropped.
            meta_key::TRACE_PARENT => self.traceparent = owned_string(value),
            meta_key::TRACE_STATE => self.tracestate = owned_string(value),
            meta_key::BAGGAGE => self.baggage = owned_string(value),
            // Says of a request what only its answers may say.
            meta_key::SUBSCRIPTION_ID | meta_key::SERVER_INFO => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Reference {
    fn read(whole: &Bytes, place: &Range<usize>) -> Result<Self, ParamsError> {
        let wrong = ParamsError::WrongType {
            member: "ref",
            expected: "`ref/prompt` with a `name`, or `ref/resource` with a `uri`",
        };
        let Some(mut members) = Members::at(whole, place.start) else {
            return Err(wrong);
        };
        let (mut kind, mut name, mut uri) = (None, None, None);
        while let Ok(Some(member)) = members.next() {
            let value = &whole[member.value.clone()];
            match &*member.key() {
                "type" => store_string(&mut kind, "ref.type", value)?,
                "name" => store_string(&mut name, "ref.name", value)?,
                "uri" => store_string(&mut uri, "ref.uri", value)?,
                _ => {}
            }
        }
        match (kind.as_deref(), name, uri) {
            (Some("ref/prompt"), Some(name), _) => Ok(Self::Prompt(name)),
            (Some("ref/resource"), _, Some(uri)) => Ok(Self::Resource(uri)),
            _ => Err(wrong),
        }
    }
}

fn store<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), ParamsError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ParamsError::Twice(name)),
    }
}

fn store_string(
    slot: &mut Option<String>,
    name: &'static str,
    value: &[u8],
) -> Result<(), ParamsError> {
    let text = owned_string(value).ok_or(ParamsError::WrongType {
        member: name,
        expected: "a string",
    })?;
    store(slot, name, text)
}

fn owned_string(value: &[u8]) -> Option<String> {
    scan::string(value).map(std::borrow::Cow::into_owned)
}

fn object(whole: &Bytes, member: &Member<'_>, name: &'static str) -> Result<RawJson, ParamsError> {
    let value = RawJson::found(whole, member.value.clone());
    if value.is_object() {
        Ok(value)
    } else {
        Err(ParamsError::WrongType {
            member: name,
            expected: "an object",
        })
    }
}

fn push_token_and_trace(
    added: &mut Vec<u8>,
    progress_token: Option<&RawJson>,
    trace: TraceStamp<'_>,
) {
    if let Some(token) = progress_token {
        push_raw(added, meta_key::PROGRESS_TOKEN, token);
    }
    let trace = [
        (meta_key::TRACE_PARENT, trace.parent),
        (meta_key::TRACE_STATE, trace.state),
        (meta_key::BAGGAGE, trace.baggage),
    ];
    for (key, value) in trace {
        if let Some(value) = value {
            push_raw(added, key, &RawJson::string(value));
        }
    }
}

/// Appends a member; `key` needs no escapes.
fn push_raw(added: &mut Vec<u8>, key: &str, value: &RawJson) {
    push_key(added, key);
    added.extend_from_slice(value.as_bytes());
}

/// Appends a member; neither `key` nor `value` needs escapes.
fn push_quoted(added: &mut Vec<u8>, key: &str, value: &str) {
    push_key(added, key);
    added.push(b'"');
    added.extend_from_slice(value.as_bytes());
    added.push(b'"');
}

fn push_key(added: &mut Vec<u8>, key: &str) {
    if !added.is_empty() {
        added.push(b',');
    }
    added.push(b'"');
    added.extend_from_slice(key.as_bytes());
    added.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests;
