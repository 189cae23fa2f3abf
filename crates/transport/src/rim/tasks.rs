//! Requests about tasks, as either kind of client makes them.
//!
//! A stateless client may do so if it declares the extension with that very request (MS-25); the client of a session if
//! its revision is the one that had tasks in its core. What a task is called here, and whose it is, the router knows.

use std::collections::BTreeSet;

use isthmus_exchange::{ClientCapabilities, CreatedTask, Error, ErrorKind};
use isthmus_protocol::tasks::{self, EXTENSION};
use isthmus_protocol::{Method, RawJson, Revision, object};

/// Whether stateless clients may ask this about tasks.
pub(super) const fn is_of_extension(method: &Method) -> bool {
    matches!(
        method,
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel
    )
}

/// Whether a session of `revision` may ask this about tasks.
pub(super) fn is_of_session(method: &Method, revision: Revision) -> bool {
    let core = matches!(
        method,
        Method::TasksGet | Method::TasksResult | Method::TasksList | Method::TasksCancel
    );
    core && revision == Revision::V2025_11_25
}

/// Refuses who did not declare that it can follow tasks.
pub(super) fn check_declared(capabilities: &ClientCapabilities) -> Result<(), Error> {
    if capabilities.extension(EXTENSION).is_some() {
        return Ok(());
    }
    let missing = ErrorKind::MissingCapability(tasks::missing_extension());
    let text = format!("requests about tasks need the extension `{EXTENSION}`");
    Err(Error::new(missing, text))
}

/// The tasks that a listen wants to hear of: `taskIds` of its filter.
///
/// # Errors
///
/// Wrong parameters, or a client that did not declare the extension and asks for some.
pub(super) fn listened_to(
    wanted: &RawJson,
    capabilities: &ClientCapabilities,
) -> Result<BTreeSet<String>, Error> {
    let Some(ids) = object::member(wanted, "taskIds") else {
        return Ok(BTreeSet::new());
    };
    let ids: BTreeSet<String> = ids.read().map_err(|error| {
        Error::invalid_params("`taskIds` must be a list of task ids").caused_by(error)
    })?;
    if ids.len() > MOST_TASKS {
        let text = format!("`taskIds` may have {MOST_TASKS} entries");
        return Err(Error::invalid_params(text));
    }
    if !ids.is_empty() {
        check_declared(capabilities)?;
    }
    Ok(ids)
}

/// The result that tells a session of its new task.
pub(super) fn created(task: &CreatedTask) -> RawJson {
    tasks::created_to_core(&task.task)
}

/// Tasks that one listen stream may follow.
const MOST_TASKS: usize = 100;
