//! Hears what a backend with the extension says of tasks that somebody follows.
//!
//! A listen of its own for each follower: which tasks that is about never changes, and no other listen has to be opened
//! anew for it. What is said comes out where everything comes that a backend says unasked; it is not relied on.

use std::time::Duration;

use isthmus_exchange::ErrorKind;
use isthmus_protocol::object::assemble;
use isthmus_protocol::{Method, RawJson, tasks};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::background::Background;
use super::line::Line;
use crate::conversation::Outgoing;

/// That a backend is listened to about some tasks. Dropping it ends that.
#[derive(Debug)]
pub struct TaskNews {
    _end: DropGuard,
}

impl TaskNews {
    /// Listens to what is said of the tasks `ids`; `None` if the backend has no words for it.
    pub(super) fn of(
        line: Line,
        outgoing: Outgoing,
        ids: &[String],
        background: &Background,
    ) -> Option<Self> {
        if line.is_core() {
            return None;
        }
        let wanted = assemble([("taskIds", RawJson::from_serialize(ids))]);
        let outgoing = Outgoing {
            method: Method::SubscriptionsListen,
            params: assemble([("notifications", wanted)]),
            capabilities: tasks::declare(&outgoing.capabilities),
            ..outgoing
        };
        let end = CancellationToken::new();
        let ended = end.clone();
        background.run(async move {
            tokio::select! {
                () = listen(line, outgoing) => {}
                () = ended.cancelled() => {}
            }
        });
        Some(Self {
            _end: end.drop_guard(),
        })
    }
}

/// Keeps a listen open until the backend refuses it, or ends it too often.
async fn listen(line: Line, outgoing: Outgoing) {
    let mut failures = 0;
    while failures < FAILURES && line.is_open() {
        let begun = Instant::now();
        let listened = async { line.send(outgoing.clone()).await?.outcome().await };
        if let Err(error) = listened.await {
            tracing::debug!(backend = %line.backend(), %error, "a listen to tasks has ended");
            if matches!(error.kind(), ErrorKind::Answered { .. }) {
                return;
            }
        }
        failures = if begun.elapsed() > LONG {
            1
        } else {
            failures + 1
        };
        sleep(PAUSE * failures).await;
    }
}

/// How often in a row a listen may end soon.
const FAILURES: u32 = 5;
/// A listen that lasted as long as this did not fail.
const LONG: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);
