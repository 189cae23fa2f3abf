//! `io.modelcontextprotocol/related-task`: with which task a message of 2025-11-25 has to do.

use crate::RawJson;
use crate::object::{assemble, edit_member, member_at, string_member};

const KEY: &str = "io.modelcontextprotocol/related-task";

/// The id of the task that parameters or a result belong to.
#[must_use]
pub fn related_task(value: &RawJson) -> Option<String> {
    string_member(&member_at(value, &["_meta", KEY])?, "taskId")
}

/// Parameters, or a result, that say to which task they belong.
#[must_use]
pub fn with_related_task(value: &RawJson, id: &str) -> RawJson {
    edit_member(value, "_meta", |meta| {
        meta.set(KEY, assemble([("taskId", RawJson::string(id))]))
    })
}

/// The same without saying so.
#[must_use]
pub fn without_related_task(value: &RawJson) -> RawJson {
    if memchr::memmem::find(value.as_bytes(), b"related-task").is_none() {
        return value.clone();
    }
    edit_member(value, "_meta", |meta| meta.remove(KEY))
}
