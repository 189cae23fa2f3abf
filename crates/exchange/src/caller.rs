//! Who a request comes from, and how it can be reached.

use std::net::SocketAddr;
use std::sync::Arc;

use isthmus_protocol::{RawJson, Revision};

use crate::{ClientCapabilities, Principal, Scope};

/// Who a request comes from: identity, capabilities, revision.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The authenticated identity.
    pub principal: Principal,
    /// The revision spoken on the caller's hop.
    pub revision: Revision,
    /// What the caller declared: for this request (stateless) or for its session (stateful).
    pub capabilities: Arc<ClientCapabilities>,
    /// The caller's `clientInfo`: self-reported, never for behaviour or security (26:basic/index).
    pub client_info: Option<RawJson>,
    /// The life that things made for this caller belong to.
    pub scope: Arc<Scope>,
    /// Whether questions can be asked in place.
    pub attachment: Attachment,
    /// Where the caller connects from; `None` on stdio.
    pub address: Option<SocketAddr>,
}

/// Whether the rim that made a request can still ask its client while the request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// It can: questions are sent as events on the open reply.
    Live,
    /// It cannot: a question parks the call, which answers `input_required`.
    Detached,
}
