//! Who calls a route: the methods of its config, one after the other, and what callers are told who are not let in.

mod assemble;
mod bearer;
mod challenge;
mod metadata;
mod route;

pub use assemble::{AuthenticationError, Authenticators, Door, Doors, check};
