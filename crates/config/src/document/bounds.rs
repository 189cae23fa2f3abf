//! `bounds`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, SizeText};
use crate::config::Bounds as Defaults;
use crate::yaml::Spanned;

/// What limits everything that comes from the network.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bounds {
    /// The body of a request or response.
    #[schemars(extend("default" = SizeText::of(Defaults::default().body)))]
    pub(crate) body: Option<SizeText>,
    /// A line of a program's output, and of a client on stdin.
    #[schemars(extend("default" = SizeText::of(Defaults::default().line)))]
    pub(crate) line: Option<SizeText>,
    /// One event of an event stream.
    #[schemars(extend("default" = SizeText::of(Defaults::default().event)))]
    pub(crate) event: Option<SizeText>,
    /// All headers of a request or response together.
    #[schemars(extend("default" = SizeText::of(Defaults::default().header_block)))]
    pub(crate) header_block: Option<SizeText>,
    /// How deep JSON may be nested.
    #[schemars(range(min = 8, max = 128), extend("default" = Defaults::default().json_depth))]
    pub(crate) json_depth: Option<usize>,
    /// Messages in one batch (2025-03-26).
    #[schemars(range(min = 1), extend("default" = Defaults::default().batch))]
    pub(crate) batch: Option<usize>,
    /// Open connections of clients, all listeners together.
    #[schemars(range(min = 1), extend("default" = Defaults::default().connections))]
    pub(crate) connections: Option<usize>,
    /// How long a client may take to send the head of a request, and as long again for its body.
    #[schemars(extend("default" = DurationText(Defaults::default().request_read)))]
    pub(crate) request_read: Option<DurationText>,
    /// Sessions of stateful clients.
    #[schemars(range(min = 1), extend("default" = Defaults::default().sessions))]
    pub(crate) sessions: Option<usize>,
    /// Sessions of one principal.
    #[schemars(range(min = 1), extend("default" = Defaults::default().sessions_per_principal))]
    pub(crate) sessions_per_principal: Option<Spanned<usize>>,
    /// After which time without a request or an open stream a session ends.
    #[schemars(extend("default" = DurationText(Defaults::default().session_idle)))]
    pub(crate) session_idle: Option<DurationText>,
    /// Streams that one session may have open.
    #[schemars(range(min = 1), extend("default" = Defaults::default().streams_per_session))]
    pub(crate) streams_per_session: Option<usize>,
    /// What one session keeps for a client that comes back to a broken stream.
    #[schemars(extend("default" = SizeText::of(Defaults::default().replay_per_session)))]
    pub(crate) replay_per_session: Option<Spanned<SizeText>>,
    /// What all sessions together keep for that.
    #[schemars(extend("default" = SizeText::of(Defaults::default().replay_total)))]
    pub(crate) replay_total: Option<SizeText>,
    /// Calls of stateless clients that wait for an answer of their user.
    #[schemars(range(min = 1), extend("default" = Defaults::default().parks))]
    pub(crate) parks: Option<usize>,
    /// Calls of one principal that wait for an answer.
    #[schemars(range(min = 1), extend("default" = Defaults::default().parks_per_principal))]
    pub(crate) parks_per_principal: Option<Spanned<usize>>,
    /// How long such a call waits for its client to come back with the answer.
    #[schemars(extend("default" = DurationText(Defaults::default().park_lifetime)))]
    pub(crate) park_lifetime: Option<DurationText>,
    /// How long a stateful client may take to answer one question.
    #[schemars(extend("default" = DurationText(Defaults::default().answer)))]
    pub(crate) answer: Option<DurationText>,
    /// How often a stateless backend may ask in the course of one call of a stateful client.
    #[schemars(range(min = 1), extend("default" = Defaults::default().rounds))]
    pub(crate) rounds: Option<u32>,
    /// After which silence a comment keeps an event stream alive.
    #[schemars(extend("default" = DurationText(Defaults::default().keep_alive)))]
    pub(crate) keep_alive: Option<DurationText>,
    /// How long a shutdown waits for what is in flight.
    #[schemars(extend("default" = DurationText(Defaults::default().drain)))]
    pub(crate) drain: Option<DurationText>,
}
