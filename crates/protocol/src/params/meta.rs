//! The keys of `_meta` that belong to the hop.

use std::ops::Range;

use bytes::Bytes;

use super::{ParamsError, object, owned_string, store, store_string};
use crate::RawJson;
use crate::object::{MemberCutter, Splice};
use crate::scan::{Member, Members};

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

impl RequestMeta {
    /// Whether the request describes itself, as stateless ones do (E-5): any of the keys that only they have.
    #[must_use]
    pub const fn has_envelope(&self) -> bool {
        self.protocol_version.is_some() || self.client_capabilities.is_some()
    }

    /// Reads the `_meta` that stands at `place` and cuts the hop's keys; true if it had some and nothing else.
    pub(super) fn read(
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
