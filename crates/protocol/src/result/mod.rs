//! The result of a request: what belongs to the hop, and the rest.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::RawJson;
use crate::object::{MemberCutter, Splice, prepend};
use crate::params::meta_key;
use crate::scan::{self, Members};

/// A result, taken apart.
#[derive(Debug, Clone)]
pub struct SplitResult {
    /// `resultType`; absent in results of older revisions, where it means `complete` (MC-5).
    pub result_type: Option<String>,
    /// `ttlMs`, if it is a whole number of milliseconds. Never of a task, whose `ttlMs` is its own.
    pub ttl_ms: Option<u64>,
    /// `cacheScope`.
    pub cache_scope: Option<String>,
    /// `serverInfo` of `_meta`; untrusted.
    pub server_info: Option<RawJson>,
    /// `subscriptionId` of `_meta`.
    pub subscription_id: Option<RawJson>,
    /// `isError` is true.
    pub is_error: bool,
    /// `inputRequests`: questions by key.
    pub input_requests: Option<RawJson>,
    /// `requestState`.
    pub request_state: Option<String>,
    /// The result without the members above (`isError` stays). An `_meta` that had nothing else is gone.
    pub result: RawJson,
}

/// What a result is: some members mean other things in a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Request,
    Task,
}

/// The result is not an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a result must be an object")]
pub struct InvalidResult;

/// Whether a result certainly has nothing that [`SplitResult`] would take out, so that it may stay as it is.
///
/// Looks for the names as text, which is many times faster than reading members; a name that only occurs somewhere inside,
/// or an escape that could spell one, counts as a maybe and gives `false`.
#[must_use]
pub fn is_bare(result: &RawJson) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"\"resultType",
        b"\"ttlMs",
        b"\"cacheScope",
        b"\"inputRequests",
        b"\"requestState",
        b"serverInfo",
        b"subscriptionId",
        b"\\u00",
    ];
    let text = result.as_bytes();
    result.is_object()
        && NAMES
            .iter()
            .all(|name| memchr::memmem::find(text, name).is_none())
}

impl SplitResult {
    /// Takes a result apart, in one pass. Members of the wrong type count as absent and are taken out all the same.
    ///
    /// # Errors
    ///
    /// [`InvalidResult`] if `result` is not an object.
    pub fn parse(result: &RawJson) -> Result<Self, InvalidResult> {
        let split = Self::read(result, Of::Request)?;
        if split.result_type.as_deref() == Some("task") {
            return Self::parse_task(result);
        }
        Ok(split)
    }

    /// Takes a result apart that is a task, as that of `tasks/get`: its `ttlMs` and `inputRequests` are its own.
    ///
    /// # Errors
    ///
    /// [`InvalidResult`] if `result` is not an object.
    pub fn parse_task(result: &RawJson) -> Result<Self, InvalidResult> {
        Self::read(result, Of::Task)
    }

    fn read(result: &RawJson, of: Of) -> Result<Self, InvalidResult> {
        let mut members = Members::of(result.as_bytes()).ok_or(InvalidResult)?;
        let mut split = Self::empty(result.clone());
        let mut splice = Splice::new(result.bytes());
        let mut cutter = MemberCutter::default();
        while let Some(member) = members.next().map_err(|_| InvalidResult)? {
            let range = member.start..member.value.end;
            let value = &result.as_bytes()[member.value.clone()];
            let text = || scan::string(value).map(std::borrow::Cow::into_owned);
            match &*member.key() {
                "resultType" => split.result_type = text(),
                "ttlMs" if of == Of::Request => split.ttl_ms = milliseconds(value),
                "cacheScope" => split.cache_scope = text(),
                "inputRequests" if of == Of::Request => {
                    split.input_requests = Some(RawJson::found(result.bytes(), member.value))
                        .filter(RawJson::is_object);
                }
                "requestState" => split.request_state = text(),
                "_meta" => {
                    let mut inner = Splice::new(result.bytes());
                    if !split.read_meta(result.bytes(), &member.value, &mut inner)? {
                        cutter.keep(range, &mut splice);
                        splice.append(inner);
                        continue;
                    }
                }
                key => {
                    split.is_error |= key == "isError" && value == b"true";
                    cutter.keep(range, &mut splice);
                    continue;
                }
            }
            cutter.drop(range, &mut splice);
        }
        cutter.finish(std::iter::empty(), 1, &mut splice);
        split.result = splice.finish();
        Ok(split)
    }

    const fn empty(result: RawJson) -> Self {
        Self {
            result_type: None,
            ttl_ms: None,
            cache_scope: None,
            server_info: None,
            subscription_id: None,
            is_error: false,
            input_requests: None,
            request_state: None,
            result,
        }
    }

    /// Reads the `_meta` that stands at `place` and cuts the hop's keys; true if it had some and nothing else.
    fn read_meta(
        &mut self,
        whole: &Bytes,
        place: &Range<usize>,
        splice: &mut Splice<'_>,
    ) -> Result<bool, InvalidResult> {
        let Some(mut members) = Members::at(whole, place.start) else {
            return Ok(false);
        };
        let mut cutter = MemberCutter::default();
        while let Some(member) = members.next().map_err(|_| InvalidResult)? {
            let range = member.start..member.value.end;
            match &*member.key() {
                meta_key::SERVER_INFO => {
                    self.server_info = Some(RawJson::found(whole, member.value))
                }
                meta_key::SUBSCRIPTION_ID => {
                    self.subscription_id = Some(RawJson::found(whole, member.value))
                }
                _ => {
                    cutter.keep(range, splice);
                    continue;
                }
            }
            cutter.drop(range, splice);
        }
        let emptied = cutter.dropped_all();
        cutter.finish(std::iter::empty(), place.start + 1, splice);
        Ok(emptied)
    }
}

/// Adds what a stateless client needs to know of the hop (MS-10, MS-14): `resultType`, the cache hint (how long, and
/// whether for anyone), our `serverInfo`, and the id of the listen request that the result closes.
///
/// `result` must have none of these members; an object without members is made if it is none.
#[must_use]
pub fn stamp_result_stateless(
    result: &RawJson,
    result_type: &str,
    cache: Option<(Duration, bool)>,
    server_info: &RawJson,
    subscription_id: Option<&RawJson>,
) -> RawJson {
    let mut front = Vec::with_capacity(160);
    front.extend_from_slice(b"\"resultType\":");
    front.extend_from_slice(RawJson::string(result_type).as_bytes());
    if let Some((ttl, public)) = cache {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let scope = if public { "public" } else { "private" };
        front.extend_from_slice(format!(",\"ttlMs\":{ttl},\"cacheScope\":\"{scope}\"").as_bytes());
    }
    let mut meta = Vec::with_capacity(64 + server_info.len());
    push_meta(&mut meta, meta_key::SERVER_INFO, server_info);
    if let Some(id) = subscription_id {
        push_meta(&mut meta, meta_key::SUBSCRIPTION_ID, id);
    }
    prepend(result, front, meta)
}

fn push_meta(meta: &mut Vec<u8>, key: &str, value: &RawJson) {
    if !meta.is_empty() {
        meta.push(b',');
    }
    meta.push(b'"');
    meta.extend_from_slice(key.as_bytes());
    meta.extend_from_slice(b"\":");
    meta.extend_from_slice(value.as_bytes());
}

/// A whole number of milliseconds, however it is spelled.
pub(crate) fn milliseconds(value: &[u8]) -> Option<u64> {
    let text = str::from_utf8(value).ok()?;
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = serde_json::from_slice(value).ok()?;
    // Beyond 2^53 a float is no exact count, and no clock runs that long.
    (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number))
        .then_some(number as u64)
}

#[cfg(test)]
mod tests;
