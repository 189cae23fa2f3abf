//! The HTTP headers of MCP: their names, the encoding of their values, and the tool parameters that they mirror.

mod base64;
mod parameters;
mod schema;
mod value;

use http::HeaderName;

pub use parameters::{HeaderParameters, InvalidHeaderParameter, Mismatch};
pub use value::{InvalidEncoding, decode_value, encode_value};

/// The session of a stateful conversation (LS-6).
pub const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// The revision spoken (LS-9, MS-2).
pub const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The method of a stateless request (MS-2).
pub const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// The name, URI or task id that a stateless request is about (MS-2); encoded.
pub const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
/// The event after which a stream is resumed (1125:basic/transports).
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells proxies not to hold an event stream back (MS-5).
pub const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// What the names of mirrored tool parameters begin with (digest §1.13).
pub const MCP_PARAM_PREFIX: &str = "mcp-param-";
