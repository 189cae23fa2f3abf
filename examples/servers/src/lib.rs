//! What the two example servers share: telling their clients what changed, and what they log.
//!
//! The servers themselves are `src/bin/notes.rs` (over stdio) and `src/bin/weather.rs` (over Streamable HTTP). Both are
//! written with the official Rust SDK and know nothing of isthmus.

mod changes;
mod log;

pub use changes::{Change, Changes, Watched};
pub use log::Log;
