//! The merged listings of a route's backends: who offers what under which name, as data.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache_hint;
mod cursor;
mod names;
mod remark;
mod uris;

pub use cache_hint::{CachePart, merged_cache_hint};
pub use cursor::InvalidCursor;
pub use names::{SEPARATOR, exposed_name};
pub use remark::{Reason, Remark};
pub use uris::{prefixed_uri, split_prefixed_uri};
