//! Streamable HTTP: one path for the stateful revisions from 2025-03-26 on and for the stateless one.
//!
//! POST decides by the body which of the two it is (E-5). GET and DELETE belong to sessions.

mod accept;
mod batch;
mod get;
pub(crate) mod keep_alive;
mod post;
mod session_header;
mod stateful;
mod stateless;
mod stream;

pub(crate) use get::{delete, get};
pub(crate) use post::post;
