//! Streamable HTTP towards a backend, in both eras.
//!
//! A [`StatefulHttp`] is one session (2025-03-26 to 2025-11-25), a [`StatelessHttp`] needs none (2026-07-28); [`detect`]
//! finds out which one a backend wants. Statuses, headers, session ids and event ids end here: what leaves is an outcome
//! or an error of the core.

mod answer;
mod call;
mod detect;
mod endpoint;
mod event_stream;
mod failure;
mod get_stream;
mod listen;
mod pause;
mod request_headers;
mod session;
mod stateful;
mod stateless;

#[cfg(test)]
mod tests;

pub(crate) use answer::is_event_stream;
pub(crate) use detect::{Detected, detect};
pub(crate) use endpoint::{Endpoint, EndpointSettings, Limits};
pub(crate) use event_stream::{EventStream, StreamEnd};
pub(crate) use failure::{Failure, misbehaved, session_gone, status, timed_out, unavailable};
pub(crate) use pause::after_failures;
pub(crate) use stateful::StatefulHttp;
pub(crate) use stateless::StatelessHttp;
