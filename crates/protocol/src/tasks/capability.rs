//! Who can follow tasks, and which tools take them.

use super::EXTENSION;
use crate::object::{self, edit_member, member, member_at, string_member};
use crate::{JsonRpcError, RawJson, code};

/// What a server of 2025-11-25 declares of tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoreTasks {
    /// Tools may be called as tasks.
    pub calls: bool,
    /// Tasks can be listed.
    pub list: bool,
    /// Tasks can be cancelled.
    pub cancel: bool,
}

/// Whether a tool runs as a task: `execution.taskSupport` of 2025-11-25.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Support {
    /// Never; also of tools that say nothing.
    #[default]
    Forbidden,
    /// If the caller wants it.
    Optional,
    /// Always.
    Required,
}

impl CoreTasks {
    /// Reads the `capabilities` of a server.
    #[must_use]
    pub fn of_server(capabilities: &RawJson) -> Self {
        let declares = |path: &[&str]| {
            member_at(capabilities, path)
                .is_some_and(|value| !matches!(value.as_bytes(), b"null" | b"false"))
        };
        Self {
            calls: declares(&["tasks", "requests", "tools", "call"]),
            list: declares(&["tasks", "list"]),
            cancel: declares(&["tasks", "cancel"]),
        }
    }

    /// The `tasks` member that declares this.
    #[must_use]
    pub fn declaration(self) -> RawJson {
        let empty = RawJson::empty_object;
        let calls = || object::assemble([("tools", object::assemble([("call", empty())]))]);
        let members = [
            ("list", self.list.then(empty)),
            ("cancel", self.cancel.then(empty)),
            ("requests", self.calls.then(calls)),
        ];
        object::assemble(
            members
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?))),
        )
    }
}

impl Support {
    /// Reads the definition of a tool.
    #[must_use]
    pub fn of_tool(definition: &RawJson) -> Self {
        // Most tools have no such member, and some definitions are long.
        if memchr::memmem::find(definition.as_bytes(), b"taskSupport").is_none() {
            return Self::Forbidden;
        }
        let support = member(definition, "execution")
            .and_then(|execution| string_member(&execution, "taskSupport"));
        match support.as_deref() {
            Some("required") => Self::Required,
            Some("optional") => Self::Optional,
            _ => Self::Forbidden,
        }
    }
}

/// A client's capabilities with the extension declared.
#[must_use]
pub fn declare(capabilities: &RawJson) -> RawJson {
    edit_member(capabilities, "extensions", |extensions| {
        extensions.set(EXTENSION, RawJson::empty_object())
    })
}

/// What a client without the extension would have to declare: a `ClientCapabilities` object.
#[must_use]
pub fn missing_extension() -> RawJson {
    declare(&RawJson::empty_object())
}

/// Whether a server refused because the client did not declare the extension.
#[must_use]
pub fn needs_extension(error: &JsonRpcError) -> bool {
    error.code == code::MISSING_REQUIRED_CLIENT_CAPABILITY
        && error.data.as_ref().is_some_and(|data| {
            member_at(data, &["requiredCapabilities", "extensions", EXTENSION]).is_some()
        })
}
