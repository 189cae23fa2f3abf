//! The tokens of one holder for one backend, one after the other.
//!
//! A token is fetched once however many requests wait for it, in a task of its own, so that whoever leaves spoils nothing
//! for the others. It is renewed in the background a while before it ends. A source that fails is asked again after pauses
//! that grow. A token that the backend refuses is replaced once; one that does not reach is replaced by one that also has
//! the scopes which the backend named, and that is tried once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use http::{HeaderValue, StatusCode};
use isthmus_exchange::{BackendName, BoxFuture, CallersToken, Error, ErrorKind, Fault, Principal};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::Holder;
use crate::challenge::Challenge;
use crate::pass::{Shown, Verdict, refusal};
use crate::source::{Source, Token, Want};

/// The tokens of one holder for one backend.
#[derive(Debug)]
pub(crate) struct Tokens {
    backend: BackendName,
    holder: Holder,
    source: Arc<dyn Source>,
    background: Handle,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the holder has shown to us, and when that ends.
    subject: Option<Subject>,
    held: Option<Held>,
    /// Of the token that was held last.
    generation: u64,
    flight: Option<Flight>,
    failed: Option<Failed>,
    /// What the backend said last.
    challenge: Challenge,
    /// The backend refused the token that was held last.
    rejected: bool,
    /// Scopes to ask for because the backend named them.
    further: Vec<String>,
    /// Scopes that were asked for in vain, and until when that counts.
    denied: Option<(Vec<String>, Instant)>,
}

#[derive(Debug)]
struct Subject {
    token: CallersToken,
    ends: Option<Instant>,
}

/// A token at hand.
#[derive(Debug)]
struct Held {
    value: HeaderValue,
    scopes: Vec<String>,
    /// It replaced one that the backend refused.
    replaces: bool,
    since: Instant,
    renew: Instant,
    ends: Option<Instant>,
}

/// A source that gave nothing.
#[derive(Debug)]
struct Failed {
    error: Error,
    times: u32,
    until: Instant,
}

type Flight = Shared<BoxFuture<'static, Result<Shown, Error>>>;

impl Tokens {
    pub(crate) fn new(
        backend: BackendName,
        holder: Holder,
        source: Arc<dyn Source>,
        background: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            backend,
            holder,
            source,
            background,
            state: Mutex::default(),
        })
    }

    /// Whose they are.
    pub(crate) const fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Takes note of the token that the holder shows to us now. One that lasts longer counts.
    pub(crate) fn renew(&self, principal: &Principal) {
        let Some(token) = principal.token() else {
            return;
        };
        let mut state = self.lock();
        if state
            .subject
            .as_ref()
            .is_some_and(|known| known.token == *token)
        {
            return;
        }
        let left = principal.expires().map(|expires| {
            let left = expires.duration_since(SystemTime::now());
            left.unwrap_or_default().min(LONGEST_LIFE)
        });
        let ends = left.map(|left| Instant::now() + left);
        let older = state.subject.as_ref().is_some_and(|known| {
            known
                .ends
                .is_none_or(|known| ends.is_some_and(|ends| ends < known))
        });
        if older {
            return;
        }
        // What failed with the one before may go well with this one.
        state.failed = None;
        state.subject = Some(Subject {
            token: token.clone(),
            ends,
        });
    }

    /// A token that is still good.
    pub(crate) async fn show(self: &Arc<Self>) -> Result<Shown, Error> {
        let flight = {
            let mut state = self.lock();
            let now = Instant::now();
            state.drop_ended(now);
            if let Some(held) = &state.held {
                let shown = Shown::token(held.value.clone(), state.generation);
                let resting = state
                    .failed
                    .as_ref()
                    .is_some_and(|failed| failed.until > now);
                if held.renew <= now && !resting {
                    // Nobody waits for it: what there is will do for now.
                    drop(self.fly(&mut state));
                }
                return Ok(shown);
            }
            self.begin(&mut state, now)?
        };
        self.land_with(flight).await
    }

    /// A token other than the one that was refused.
    pub(crate) async fn show_instead(self: &Arc<Self>, refused: &Shown) -> Result<Shown, Error> {
        let flight = {
            let mut state = self.lock();
            let now = Instant::now();
            state.drop_ended(now);
            match &state.held {
                Some(held) if state.generation != refused.generation => {
                    return Ok(Shown::token(held.value.clone(), state.generation));
                }
                _ => self.begin(&mut state, now)?,
            }
        };
        self.land_with(flight).await
    }

    /// What to do about a refusal of what was shown.
    pub(crate) fn refused(
        &self,
        shown: &Shown,
        status: StatusCode,
        challenge: Challenge,
        again: bool,
    ) -> Verdict {
        let mut state = self.lock();
        match status {
            StatusCode::UNAUTHORIZED => self.unauthorized(&mut state, shown, challenge, again),
            StatusCode::FORBIDDEN if challenge.is_about_scope() => {
                self.does_not_reach(&mut state, shown, challenge, again)
            }
            _ => Verdict::Stands,
        }
    }

    /// Whether what is known here can be had again at no cost.
    pub(crate) fn is_stale(&self) -> bool {
        let mut state = self.lock();
        state.drop_ended(Instant::now());
        state.held.is_none() && state.flight.is_none()
    }

    fn unauthorized(
        &self,
        state: &mut State,
        shown: &Shown,
        challenge: Challenge,
        again: bool,
    ) -> Verdict {
        if again {
            let backend = &self.backend;
            let text = format!("`{backend}` refuses the gateway's token, although it is fresh");
            return Verdict::GiveUp(refusal(backend, text));
        }
        // Somebody else was refused before and has seen to it.
        if state.generation != shown.generation || state.held.is_none() {
            return Verdict::Retry;
        }
        let fresh = |held: &Held| held.replaces && held.since.elapsed() < REPLACED_LATELY;
        if state.held.as_ref().is_some_and(fresh) {
            let backend = &self.backend;
            let text = format!("`{backend}` refuses one token of the gateway after the other");
            return Verdict::GiveUp(refusal(backend, text));
        }
        tracing::debug!(backend = %self.backend, "a token was refused and is replaced");
        state.held = None;
        state.rejected = true;
        state.challenge = challenge;
        Verdict::Retry
    }

    fn does_not_reach(
        &self,
        state: &mut State,
        shown: &Shown,
        challenge: Challenge,
        again: bool,
    ) -> Verdict {
        let names = challenge.scopes.join(" ");
        let backend = &self.backend;
        let out_of_reach = || {
            let text =
                format!("`{backend}` wants scopes that the gateway's token does not have: {names}");
            Verdict::GiveUp(refusal(backend, text))
        };
        let now = Instant::now();
        if again {
            state.denied = Some((challenge.scopes, now + DENIED));
            return out_of_reach();
        }
        if state.generation != shown.generation || state.held.is_none() {
            return Verdict::Retry;
        }
        let denied = state.denied.as_ref();
        let denied =
            denied.is_some_and(|(scopes, until)| *until > now && *scopes == challenge.scopes);
        let granted = state.held.as_ref().map_or(&[][..], |held| &held.scopes);
        let lacks = challenge
            .scopes
            .iter()
            .any(|scope| !granted.contains(scope));
        if denied || !lacks {
            return out_of_reach();
        }
        for scope in &challenge.scopes {
            if !state.further.contains(scope) && state.further.len() < MOST_SCOPES {
                state.further.push(scope.clone());
            }
        }
        // What there is stays: it does for requests that need less.
        state.challenge = challenge;
        Verdict::Retry
    }

    /// Begins to fetch a token unless the source has just failed.
    fn begin(self: &Arc<Self>, state: &mut State, now: Instant) -> Result<Flight, Error> {
        if let Some(failed) = state.failed.as_ref().filter(|failed| failed.until > now) {
            return Err(failed.error.clone());
        }
        if let Some(subject) = &state.subject
            && subject.ends.is_some_and(|ends| ends <= now)
        {
            let backend = &self.backend;
            let text = format!(
                "the token that you showed has expired, and with it what was got for it at `{backend}`"
            );
            let kind = ErrorKind::BackendUnavailable(backend.clone());
            return Err(Error::new(kind, text).with_fault(Fault::Client));
        }
        Ok(self.fly(state))
    }

    /// The flight that is on its way, or a new one.
    fn fly(self: &Arc<Self>, state: &mut State) -> Flight {
        if let Some(flight) = &state.flight {
            return flight.clone();
        }
        let want = Want {
            holder: self.holder.clone(),
            subject: state.subject.as_ref().map(|subject| subject.token.clone()),
            further_scopes: state.further.clone(),
            challenge: state.challenge.clone(),
            rejected: state.rejected,
        };
        let subject_ends = state.subject.as_ref().and_then(|subject| subject.ends);
        let obtaining = self.source.obtain(want);
        let tokens = Arc::downgrade(self);
        let backend = self.backend.clone();
        let task = self.background.spawn(async move {
            let obtained = tokio::time::timeout(LONGEST_FLIGHT, obtaining).await;
            let obtained = obtained.unwrap_or_else(|_| {
                let text = format!("no token for `{backend}` came in time");
                Err(Error::new(ErrorKind::TimedOut(Some(backend)), text))
            });
            match tokens.upgrade() {
                Some(tokens) => tokens.landed(obtained, subject_ends),
                None => Err(Error::internal("nobody wants the token any more")),
            }
        });
        // Owned by whoever waits, and by the state: it ends with them.
        let task = AbortOnDropHandle::new(task);
        let flight = async move {
            task.await
                .unwrap_or_else(|error| Err(Error::internal(error)))
        };
        let flight = flight.boxed().shared();
        state.flight = Some(flight.clone());
        flight
    }

    async fn land_with(&self, flight: Flight) -> Result<Shown, Error> {
        let landed = flight.clone().await;
        // A task that broke down has not tidied up after itself.
        let mut state = self.lock();
        if state.flight.as_ref().is_some_and(|own| own.ptr_eq(&flight)) {
            state.flight = None;
        }
        drop(state);
        landed
    }

    fn landed(
        &self,
        obtained: Result<Token, Error>,
        subject_ends: Option<Instant>,
    ) -> Result<Shown, Error> {
        let mut state = self.lock();
        state.flight = None;
        let now = Instant::now();
        match obtained {
            Ok(token) => {
                let own = token.lifetime.map(|life| now + life.min(LONGEST_LIFE));
                let ends = match (own, subject_ends) {
                    (Some(own), Some(subject)) => Some(own.min(subject)),
                    (own, subject) => own.or(subject),
                };
                let life = ends.map_or(UNKNOWN_LIFE, |ends| ends.saturating_duration_since(now));
                let value = token.authorization();
                state.generation += 1;
                state.failed = None;
                state.held = Some(Held {
                    value: value.clone(),
                    scopes: token.scopes,
                    replaces: std::mem::take(&mut state.rejected),
                    since: now,
                    renew: now + life - (life / 5).min(EARLY),
                    ends,
                });
                Ok(Shown::token(value, state.generation))
            }
            Err(error) => {
                let times = state.failed.as_ref().map_or(0, |failed| failed.times) + 1;
                let longest = self.source.longest_pause();
                let pause = (FIRST_PAUSE * 2_u32.saturating_pow(times - 1)).min(longest);
                if times == 1 && error.fault() != Fault::Client {
                    tracing::warn!(backend = %self.backend, %error, cause = error.source_text(), "there is no token for a backend");
                } else {
                    tracing::debug!(backend = %self.backend, %error, times, "there is no token for a backend");
                }
                if state.held.is_some() && !state.further.is_empty() {
                    // It was asked for more than before: that is what is not to be had.
                    let further = std::mem::take(&mut state.further);
                    state.denied = Some((further, now + DENIED));
                    return Err(error);
                }
                state.failed = Some(Failed {
                    error: error.clone(),
                    times,
                    until: now + pause,
                });
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A token is dropped a moment before it ends, so that it does not end on its way.
    fn drop_ended(&mut self, now: Instant) {
        let ended = |held: &Held| held.ends.is_some_and(|ends| ends <= now + ON_ITS_WAY);
        if self.held.as_ref().is_some_and(ended) {
            self.held = None;
        }
    }
}

/// What stands behind an error, for the log.
trait SourceText {
    fn source_text(&self) -> String;
}

impl SourceText for Error {
    fn source_text(&self) -> String {
        let mut text = String::new();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// How long before its end a token is renewed, unless a fifth of its life is less.
const EARLY: Duration = Duration::from_secs(60);
/// How long before its end a token is not shown any more.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// After which time a token of unknown life is renewed.
const UNKNOWN_LIFE: Duration = Duration::from_secs(3600);
/// Nobody means a longer life.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// A token that replaced a refused one is not replaced itself for so long.
const REPLACED_LATELY: Duration = Duration::from_secs(10);
/// How long scopes are not asked for again that were not given.
const DENIED: Duration = Duration::from_secs(300);
/// The wait after the first failure; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long a token may take, discovery included.
const LONGEST_FLIGHT: Duration = Duration::from_secs(30);
/// Scopes asked for because a backend named them.
const MOST_SCOPES: usize = 64;

#[cfg(test)]
mod tests;
