//! Bounds of the whole gateway. That none is zero is the schema's business.

use super::Resolver;
use crate::config::Bounds;
use crate::document::{self, DurationText, SizeText};

impl Resolver<'_> {
    pub(super) fn bounds(&mut self, written: Option<document::Bounds>) -> Bounds {
        let mut bounds = Bounds::default();
        let Some(written) = written else {
            return bounds;
        };
        let size = |place: &mut usize, written: Option<SizeText>| {
            if let Some(written) = written {
                *place = written.bytes();
            }
        };
        let number = |place: &mut usize, written: Option<usize>| {
            if let Some(written) = written {
                *place = written;
            }
        };
        let duration = |place: &mut std::time::Duration, written: Option<DurationText>| {
            if let Some(written) = written {
                *place = written.0;
            }
        };
        let per_principal = written.sessions_per_principal.as_ref();
        let per_session = written.replay_per_session.as_ref();
        size(&mut bounds.body, written.body);
        size(&mut bounds.line, written.line);
        size(&mut bounds.event, written.event);
        size(&mut bounds.header_block, written.header_block);
        number(&mut bounds.json_depth, written.json_depth);
        number(&mut bounds.batch, written.batch);
        number(&mut bounds.connections, written.connections);
        duration(&mut bounds.request_read, written.request_read);
        number(&mut bounds.sessions, written.sessions);
        number(
            &mut bounds.sessions_per_principal,
            per_principal.map(|number| number.value),
        );
        duration(&mut bounds.session_idle, written.session_idle);
        number(&mut bounds.streams_per_session, written.streams_per_session);
        size(
            &mut bounds.replay_per_session,
            per_session.map(|size| size.value),
        );
        size(&mut bounds.replay_total, written.replay_total);
        let parks_per_principal = written.parks_per_principal.as_ref();
        number(&mut bounds.parks, written.parks);
        number(
            &mut bounds.parks_per_principal,
            parks_per_principal.map(|number| number.value),
        );
        duration(&mut bounds.park_lifetime, written.park_lifetime);
        duration(&mut bounds.answer, written.answer);
        bounds.rounds = written.rounds.unwrap_or(bounds.rounds);
        duration(&mut bounds.keep_alive, written.keep_alive);
        duration(&mut bounds.drain, written.drain);

        if let Some(per_principal) = per_principal
            && bounds.sessions_per_principal > bounds.sessions
        {
            let message = format!("more than `sessions` allows in all, {}", bounds.sessions);
            self.complaints
                .add(per_principal.mark, "bounds.sessions_per_principal", message);
        }
        if let Some(per_principal) = parks_per_principal
            && bounds.parks_per_principal > bounds.parks
        {
            let message = format!("more than `parks` allows in all, {}", bounds.parks);
            self.complaints
                .add(per_principal.mark, "bounds.parks_per_principal", message);
        }
        if let Some(per_session) = per_session
            && bounds.replay_per_session > bounds.replay_total
        {
            let message = "more than `replay_total` allows for all sessions";
            self.complaints
                .add(per_session.mark, "bounds.replay_per_session", message);
        }
        bounds.sessions_per_principal = bounds.sessions_per_principal.min(bounds.sessions);
        bounds.parks_per_principal = bounds.parks_per_principal.min(bounds.parks);
        bounds.replay_per_session = bounds.replay_per_session.min(bounds.replay_total);
        bounds
    }
}
