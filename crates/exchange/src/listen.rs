//! Unsolicited traffic: the endless reply of a listen request.

use std::collections::BTreeSet;

use isthmus_protocol::RawJson;

use crate::{ItemKind, LogRecord};

/// What a listener wants to hear.
///
/// A `subscriptions/listen` fixes it once. The listen that each stateful session opens sets `follow_scope`: it also
/// hears updates of what its scope subscribes to later, and log messages that belong to no request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenFilter {
    /// `toolsListChanged`.
    pub tools: bool,
    /// `promptsListChanged`.
    pub prompts: bool,
    /// `resourcesListChanged` (resources and templates).
    pub resources: bool,
    /// `resourceSubscriptions`, exposed URIs.
    pub uris: BTreeSet<String>,
    /// `taskIds` of the tasks extension.
    pub tasks: BTreeSet<String>,
    /// Hear also what the caller's scope subscribes to, and its log messages.
    pub follow_scope: bool,
}

/// The part of a filter that is honoured (MS-21).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// The honoured subset.
    pub filter: ListenFilter,
}

/// Something a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The list of items of a kind changed; templates count as resources.
    ListChanged(ItemKind),
    /// A resource changed.
    ResourceUpdated {
        /// Its URI; may be a sub-resource of what was subscribed.
        uri: String,
        /// The whole `params` object, with `uri` as above.
        params: RawJson,
    },
    /// A log message outside any request.
    Log(LogRecord),
    /// What a user was sent to a URL for is done (2025-11-25). Only to whoever was asked.
    ElicitationComplete {
        /// The id that went with the question, see [`crate::Question::elicitation_id`].
        id: String,
    },
    /// A task has come further.
    Task {
        /// Its id: the backend's own below the router, ours above it.
        id: String,
        /// The whole `params` object of `notifications/tasks`, in the shape of the extension.
        params: RawJson,
    },
}
