//! The merged listings of a route's backends: who offers what under which name, as data.
//!
//! Takes what every backend listed and gives an immutable [`Catalog`]: lists are served from it, calls are routed by
//! looking names up in it. Pure: no clock, no network, no tasks; whoever owns a live catalog builds a new one when
//! something changed and compares the digests.
//!
//! Invariant: a name or URI that a client was shown leads back to the item it was shown for, as long as that item exists.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod apps;
mod build;
mod cache_hint;
mod catalog;
mod cursor;
mod item_list;
mod names;
mod offer;
mod remark;
mod tasks;
mod uri_map;
mod uris;
mod words;

#[cfg(test)]
mod fixture;

pub use build::{Member, Standing};
pub use cache_hint::{CachePart, merged_cache_hint};
pub use catalog::{Catalog, Unresolved, View};
pub use cursor::InvalidCursor;
pub use item_list::ListDigest;
pub use names::{SEPARATOR, exposed_name};
pub use remark::{Reason, Remark};
pub use tasks::TaskOffer;
pub use uri_map::UriForm;
pub use uris::{prefixed_uri, split_prefixed_uri};
