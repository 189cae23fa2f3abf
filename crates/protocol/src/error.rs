//! JSON-RPC errors and the codes the specification gives them (digest §1.5).

use serde::{Deserialize, Serialize};

use crate::RawJson;

/// The `error` member of a JSON-RPC response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct JsonRpcError {
    /// One of [`code`], or a peer's own.
    pub code: i64,
    /// A short sentence.
    pub message: String,
    /// Whatever the peer added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson>,
}

/// Error codes by the names the specification uses.
pub mod code {
    /// The text is not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// The JSON is not a JSON-RPC message that may stand here.
    pub const INVALID_REQUEST: i64 = -32600;
    /// Nobody here implements the method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters are wrong: also an unknown tool, prompt, cursor or task.
    pub const INVALID_PARAMS: i64 = -32602;
    /// Something broke on this side.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// No such resource; stateful revisions only (MS-12).
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// A header and the body disagree, or a required header is missing; 2026-07-28.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The request did not declare a capability it needs; 2026-07-28.
    pub const MISSING_REQUIRED_CLIENT_CAPABILITY: i64 = -32021;
    /// The revision asked for is not served; 2026-07-28.
    pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;
    /// The user has to visit a URL first; 2025-11-25 only.
    pub const URL_ELICITATION_REQUIRED: i64 = -32042;
}

impl JsonRpcError {
    /// An error without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The same error with `data`.
    #[must_use]
    pub fn with_data<T: Serialize + ?Sized>(mut self, data: &T) -> Self {
        self.data = Some(RawJson::from_serialize(data));
        self
    }
}
