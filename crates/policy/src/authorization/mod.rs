//! Which callers may see and use which items: rules in an expression language (CEL).
//!
//! [`compile_authorization`] makes of a config's rules what a route decides by, and complains, at the place of the
//! expression, about everything that can be known to be wrong: syntax, names, types. What can only be known with a request
//! at hand denies. The first rule that is true decides. The language has no loops but over the values at hand, and no side
//! effects; who writes rules is the operator, never a peer.

mod compile;
mod inputs;
mod json;
mod language;
mod remembered;
mod rule;
mod rules;
mod types;
mod vocabulary;

pub use compile::{Authorizations, compile_authorization};
pub use rules::Rules;

#[cfg(test)]
mod tests;
