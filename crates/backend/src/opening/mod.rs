//! Opens conversations with one backend: starts its child or connects to it, in the era it speaks.
//!
//! The era is found out once and remembered with its date; a failure, or time, makes us look again, so that an upgraded
//! backend is noticed (digest E-4, E-10).

mod http;
mod stdio;
mod verdict;

use std::sync::Arc;

use isthmus_config::Wire;
use isthmus_exchange::{BackendName, Error};

use crate::backend::Shared;
use crate::pool::Open;

/// The opener for the wire that `settings` name.
///
/// # Errors
///
/// An operator's error if a configured header cannot be sent.
pub(crate) fn opener(
    name: &BackendName,
    settings: &isthmus_config::Backend,
    shared: &Shared,
) -> Result<Arc<dyn Open>, Error> {
    Ok(match &settings.wire {
        Wire::Stdio(wire) => Arc::new(stdio::StdioOpener::new(name, settings, wire, shared)),
        Wire::Http(wire) => Arc::new(http::HttpOpener::streamable(name, settings, wire, shared)?),
        Wire::Sse(wire) => Arc::new(http::HttpOpener::sse(name, settings, wire, shared)?),
    })
}
