//! Keeps a session's GET stream open, on which a stateful backend says what belongs to no request (LC-9).

use std::sync::Arc;

use isthmus_protocol::message::{Incoming, parse_incoming};

use super::call::{Hop, Place};
use super::event_stream::{EventStream, StreamEnd};
use super::pause;
use super::session::{Session, Unopened};

/// Reads the stream for as long as the session lives, opening it again where it broke off (LC-7).
///
/// Ends when the backend offers no such stream, and ends the session when the backend has ended it or stays out of reach.
pub(super) async fn listen(session: Arc<Session>) {
    let mut place = Place::default();
    let mut failures = 0;
    let mut heard_before = false;
    loop {
        let resumed = place.last_event_id.is_some();
        let pause = match session.open_stream(place.last_event_id.as_deref()).await {
            Ok(stream) => {
                session.hears.send_replace(Some(true));
                if heard_before && place.last_event_id.is_none() {
                    session.announce_gap();
                }
                heard_before = true;
                failures = 0;
                place.fruitless += 1;
                let end = read(&session, stream, &mut place, resumed).await;
                tracing::debug!(backend = %session.backend(), %end, "the GET stream ended");
                pause::before_resuming(session.first_pause(), &place)
            }
            Err(Unopened::NotOffered(error)) if place.last_event_id.is_none() => {
                tracing::debug!(backend = %session.backend(), %error, "offers no GET stream");
                session.hears.send_replace(Some(false));
                return;
            }
            Err(Unopened::NotOffered(error)) => {
                // The backend forgot the id: begin anew.
                tracing::debug!(backend = %session.backend(), %error, "cannot resume the GET stream");
                place = Place::default();
                continue;
            }
            Err(Unopened::SessionGone) => {
                session.closed.cancel();
                return;
            }
            Err(Unopened::Later { error, unreachable }) => {
                session.hears.send_replace(Some(false));
                failures += 1;
                tracing::debug!(backend = %session.backend(), %error, failures, "cannot open the GET stream");
                if unreachable && failures >= OUT_OF_REACH {
                    session.closed.cancel();
                    return;
                }
                pause::after_failures(session.first_pause(), failures)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn read(
    session: &Arc<Session>,
    mut stream: EventStream,
    place: &mut Place,
    resumed: bool,
) -> StreamEnd {
    loop {
        let event = match stream.next().await {
            Ok(event) => event,
            Err(end) => return end,
        };
        place.pass(&event);
        if event.data.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse_incoming(&event.data) {
            Ok(Incoming::Single(message)) => session.take(message, resumed),
            Ok(Incoming::Batch(messages)) => {
                for message in messages.into_iter().flatten() {
                    session.take(message, resumed);
                }
            }
            Err(error) => {
                tracing::debug!(backend = %session.backend(), %error, "ignored what is not a message");
            }
        }
    }
}

/// So many refused connections in a row (half a minute) mean that whatever held the session is gone.
const OUT_OF_REACH: u32 = 5;
