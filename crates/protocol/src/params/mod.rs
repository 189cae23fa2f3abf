//! The parameters of a request: what belongs to the hop, what routes, and the rest.
//!
//! One pass splits what a caller sent; stamping adds what the next hop needs. Members that nobody here owns, unknown
//! keys of `_meta` among them, keep their bytes (digest §3.0, invariants 3 and 4).

mod meta;
mod stamp;

use std::ops::Range;

use bytes::Bytes;

pub use meta::{RequestMeta, meta_key};
pub use stamp::{StatelessStamp, TraceStamp, stamp_stateful, stamp_stateless, stamp_subscription};

use crate::object::{MemberCutter, Splice};
use crate::scan::{self, Member, Members};
use crate::{Method, RawJson};

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
            M::TasksGet | M::TasksResult | M::TasksCancel | M::TasksUpdate
                if self.task_id.is_none() =>
            {
                "taskId"
            }
            _ => return Ok(()),
        };
        Err(ParamsError::Missing(missing))
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

#[cfg(test)]
mod tests;
