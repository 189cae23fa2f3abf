//! Tasks by the ids that clients know them by (digest §3.9).
//!
//! A task's id goes out sealed with its backend and the tool whose call it is, for its principal: that is the way back, the
//! check that the task is this caller's, and what tells whether the caller may still use it. Whoever names a task is answered with the very text it used, so that a client sees one id however
//! often we seal it. Sessions are told of tasks unasked, in lists and notifications: a bounded memory of the texts they
//! were given keeps those one too.

mod follow;
mod ids;
mod known;
mod names;
mod target;

pub(crate) use follow::{Followed, Looking};
pub(crate) use ids::MadeBy;
pub(crate) use known::KnownTasks;
pub(crate) use names::TaskNames;
pub(crate) use target::target;
