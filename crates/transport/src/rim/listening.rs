//! What a session hears that belongs to no request, from the core to its client.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use isthmus_exchange::{BoxStage, Event, ItemKind, ListenFilter, Notice, Request, Step};
use isthmus_protocol::{Method, RawJson};
use isthmus_session::Session;

use super::{asking, notice};

/// Keeps one internal listen open for a session and sends on what it hears, until the session ends.
///
/// `stage` gives the route's stage as it is now; `None` once the route is gone. When a listen ends and another one is
/// opened, whatever was missed in between is covered by saying that every list changed (trap 16).
pub(crate) async fn forward<Sent>(
    session: Arc<Session>,
    stage: impl Fn() -> Option<BoxStage> + Send,
    send: impl Fn(Bytes) -> Sent + Send,
) where
    Sent: Future<Output = ()> + Send,
{
    let mut wait = FIRST_WAIT;
    let mut gap = session.is_rebuilt();
    while let Some(stage) = stage() {
        let heard = listen(&session, &stage, gap, &send).await;
        gap = true;
        wait = if heard {
            FIRST_WAIT
        } else {
            (wait * 2).min(LONGEST_WAIT)
        };
        tokio::select! {
            () = session.scope().ended().cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One listen from its beginning to its end; whether it got as far as the acknowledgement.
async fn listen<Sent>(
    session: &Session,
    stage: &BoxStage,
    gap: bool,
    send: &(impl Fn(Bytes) -> Sent + Send),
) -> bool
where
    Sent: Future<Output = ()> + Send,
{
    let request = Request {
        listen: Some(ListenFilter {
            tools: true,
            prompts: true,
            resources: true,
            follow_scope: true,
            ..ListenFilter::default()
        }),
        ..Request::new(
            Method::SubscriptionsListen,
            RawJson::empty_object(),
            session.caller(),
        )
    };
    let mut acknowledged = false;
    let mut reply = match stage.run(request).await {
        Ok(reply) => reply,
        Err(error) => {
            tracing::debug!(%error, "a session cannot listen");
            return acknowledged;
        }
    };
    loop {
        match reply.next().await {
            Step::Event(Event::Acknowledged(_)) => {
                acknowledged = true;
                if gap {
                    for kind in [ItemKind::Tool, ItemKind::Prompt, ItemKind::Resource] {
                        tell(session, &Notice::ListChanged(kind), send).await;
                    }
                }
            }
            Step::Event(Event::Notice(notice)) => tell(session, &notice, send).await,
            Step::Event(Event::Log(record)) => tell(session, &Notice::Log(record), send).await,
            Step::Event(_) => {}
            Step::Done(_) => return acknowledged,
        }
    }
}

async fn tell<Sent>(session: &Session, notice: &Notice, send: &(impl Fn(Bytes) -> Sent + Send))
where
    Sent: Future<Output = ()> + Send,
{
    let message = match notice {
        Notice::ElicitationComplete { id } => {
            let asked = session.questions().complete(id);
            asked.then(|| asking::completed(id))
        }
        notice => notice::write(notice, None, session.scope().log_level()),
    };
    if let Some(message) = message {
        send(message).await;
    }
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
