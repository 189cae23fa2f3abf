//! Messages that tell of a change or of something logged.

use bytes::Bytes;
use isthmus_exchange::{ItemKind, ListenFilter, Notice};
use isthmus_protocol::message::write_notification;
use isthmus_protocol::params::stamp_subscription;
use isthmus_protocol::{LogLevel, Method, RawJson, object, tasks};

/// The notification for `notice`; to a listen stream it carries the id of its listen request (MS-21).
///
/// `log_level` filters log messages; `None` lets all of them pass (LS-15: before a client has said what it wants to
/// hear, the choice is the server's).
pub(crate) fn write(
    notice: &Notice,
    subscription: Option<&RawJson>,
    log_level: Option<LogLevel>,
) -> Option<Bytes> {
    let (method, params) = match notice {
        Notice::ListChanged(kind) => (list_changed(*kind), None),
        Notice::ResourceUpdated { params, .. } => (Method::ResourcesUpdated, Some(params)),
        Notice::Log(record) => {
            if log_level.is_some_and(|least| record.level < least) {
                return None;
            }
            (Method::LogMessage, Some(&record.params))
        }
        // Part of 2025-11-25 only, and told only to a session that was asked.
        Notice::ElicitationComplete { .. } => return None,
        Notice::Task { params, .. } => match subscription {
            Some(_) => (Method::TasksNotification, Some(params)),
            None => return Some(task_status(params)),
        },
    };
    Some(match subscription {
        None => write_notification(&method, params),
        Some(id) => {
            let empty = RawJson::empty_object();
            let params = stamp_subscription(params.unwrap_or(&empty), id);
            write_notification(&method, Some(&params))
        }
    })
}

/// The first message of a listen stream: what of the filter is honoured.
pub(crate) fn acknowledgement(filter: &ListenFilter, subscription: &RawJson) -> Bytes {
    let yes = || RawJson::assembled(&b"true"[..]);
    let mut honoured = Vec::new();
    if filter.tools {
        honoured.push(("toolsListChanged", yes()));
    }
    if filter.prompts {
        honoured.push(("promptsListChanged", yes()));
    }
    if filter.resources {
        honoured.push(("resourcesListChanged", yes()));
    }
    if !filter.uris.is_empty() {
        honoured.push((
            "resourceSubscriptions",
            RawJson::from_serialize(&filter.uris),
        ));
    }
    if !filter.tasks.is_empty() {
        honoured.push(("taskIds", RawJson::from_serialize(&filter.tasks)));
    }
    let params = object::assemble([("notifications", object::assemble(honoured))]);
    write_notification(
        &Method::SubscriptionsAcknowledged,
        Some(&stamp_subscription(&params, subscription)),
    )
}

/// How a session hears of a task: in the words of 2025-11-25, the only revision in which it can have one.
fn task_status(task: &RawJson) -> Bytes {
    write_notification(&Method::TasksStatus, Some(&tasks::to_core(task)))
}

/// Templates are listed beside resources and have no notification of their own.
pub(crate) const fn list_changed(kind: ItemKind) -> Method {
    match kind {
        ItemKind::Tool => Method::ToolsListChanged,
        ItemKind::Prompt => Method::PromptsListChanged,
        ItemKind::Resource | ItemKind::ResourceTemplate => Method::ResourcesListChanged,
    }
}
