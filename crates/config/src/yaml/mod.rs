//! YAML as a tree in which everything knows where it stands.
//!
//! Reading goes in steps that each report all they find: text to tree ([`parse`]), `${X}` to values
//! ([`interpolate`]), tree against schema ([`check`]), and what is left into the document's types through serde
//! ([`from_node`]). Knows nothing of what the keys mean.

mod check;
mod deserialize;
mod interpolate;
mod node;
mod parse;
mod shape;
mod spanned;
mod suggest;

pub(crate) use check::check;
pub(crate) use deserialize::from_node;
pub(crate) use interpolate::{interpolate, is_variable};
pub(crate) use node::{Node, at};
pub(crate) use parse::parse;
pub(crate) use spanned::{Entries, Spanned};
pub(crate) use suggest::suggest;
