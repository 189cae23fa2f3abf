//! The keys of one issuer, at hand.
//!
//! One task fetches them: at the start, every few minutes, and when a token names a key that is not known, though not
//! more often than once in ten seconds, so that made-up tokens do not make us flood the issuer. Requests take what is
//! there and wait only if a fetch may bring what they lack. While an issuer cannot be reached its last keys are used, for
//! a day.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use isthmus_egress::{FetchError, Fetcher, NamedBy};
use jsonwebtoken::Algorithm;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::jwt::discovery;
use crate::jwt::key_set::{KeySet, KeySetError};

/// Where the keys of an issuer come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Where the issuer's metadata says.
    Discovered(String),
    /// From a URL that the operator wrote.
    Url(Uri),
}

/// The keys of one issuer. Fetching ends when this is dropped.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    state: watch::Receiver<State>,
    wanted: Option<mpsc::Sender<()>>,
    _task: Option<AbortOnDropHandle<()>>,
}

/// What is known at a moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) keys: Option<Arc<KeySet>>,
    /// Grows when the keys become others.
    pub(crate) generation: u64,
    /// How often keys were wanted and fetched, or wanted too soon.
    attempts: u64,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The issuer has none that fits.
    Unknown,
    /// It cannot be known: the issuer's keys could not be fetched.
    Unreachable,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchFailure {
    /// The document did not come.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It came with another status.
    #[error("the status was {0}")]
    Status(StatusCode),
    /// The keys are none.
    #[error(transparent)]
    Keys(#[from] KeySetError),
    /// No metadata says where the keys are.
    #[error("there is no metadata that says where the keys are")]
    NoMetadata,
    /// The metadata is another issuer's.
    #[error("the metadata names another issuer")]
    OtherIssuer,
}

impl IssuerKeys {
    /// Keys that stay as they are.
    pub(crate) fn fixed(keys: KeySet) -> Self {
        let state = State {
            keys: Some(Arc::new(keys)),
            generation: 1,
            attempts: 1,
        };
        Self {
            state: watch::channel(state).1,
            wanted: None,
            _task: None,
        }
    }

    /// Begins to fetch keys, on `background`.
    pub(crate) fn fetched(source: Source, fetcher: Fetcher, background: &Handle) -> Self {
        let name = source.to_string();
        let fetch = move || -> Fetching { Box::pin(fetch(source.clone(), fetcher.clone())) };
        Self::kept(name, Box::new(fetch), background)
    }

    fn kept(source: String, fetch: Fetch, background: &Handle) -> Self {
        let (publish, state) = watch::channel(State::default());
        let (wanted, asked) = mpsc::channel(1);
        let keeper = Keeper {
            source,
            fetch,
            publish,
            asked,
            text: None,
            fetched: None,
        };
        Self {
            state,
            wanted: Some(wanted),
            _task: Some(AbortOnDropHandle::new(background.spawn(keeper.keep()))),
        }
    }

    /// What is known now.
    pub(crate) fn now(&self) -> State {
        self.state.borrow().clone()
    }

    /// Keys among which is one for a token with this `kid` and `alg`, fetched anew if that may help.
    pub(crate) async fn with(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<State, NoKey> {
        let state = self.now();
        if state.has(id, algorithm) {
            return Ok(state);
        }
        let Some(wanted) = &self.wanted else {
            return Err(NoKey::Unknown);
        };
        // A full channel means that somebody has asked already.
        let _ = wanted.try_send(());
        let mut following = self.state.clone();
        let newer = following.wait_for(|later| later.attempts > state.attempts);
        let state = match tokio::time::timeout(PATIENCE, newer).await {
            Ok(Ok(state)) => state.clone(),
            _ => return Err(NoKey::Unreachable),
        };
        if state.has(id, algorithm) {
            Ok(state)
        } else if state.keys.is_some() {
            Err(NoKey::Unknown)
        } else {
            Err(NoKey::Unreachable)
        }
    }
}

impl State {
    fn has(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.keys
            .as_ref()
            .is_some_and(|keys| !keys.candidates(id, algorithm).is_empty())
    }
}

type Fetching = Pin<Box<dyn Future<Output = Result<Bytes, FetchFailure>> + Send>>;
type Fetch = Box<dyn FnMut() -> Fetching + Send>;

/// Fetches the key set that `source` leads to. A wrong one counts as none, so that the old one stays.
async fn fetch(source: Source, fetcher: Fetcher) -> Result<Bytes, FetchFailure> {
    let (url, named_by) = match &source {
        Source::Url(url) => (url.clone(), NamedBy::Operator),
        Source::Discovered(issuer) => discovery::discover(&fetcher, issuer).await?,
    };
    let accept = "application/jwk-set+json, application/json";
    let fetched = fetcher.get(&url, named_by, accept).await?;
    if !fetched.status.is_success() {
        return Err(FetchFailure::Status(fetched.status));
    }
    Ok(fetched.body)
}

/// The task that fetches.
struct Keeper {
    /// For the log.
    source: String,
    fetch: Fetch,
    publish: watch::Sender<State>,
    asked: mpsc::Receiver<()>,
    /// The key set as it came last.
    text: Option<Bytes>,
    /// When it came.
    fetched: Option<Instant>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut failures = 0_u32;
        loop {
            let begun = Instant::now();
            let fetched = (self.fetch)().await;
            let wait = match fetched.and_then(|text| self.take(text)) {
                Ok(()) => {
                    failures = 0;
                    REFRESH
                }
                Err(failure) => {
                    failures += 1;
                    self.complain(&failure, failures);
                    self.forget_the_old();
                    (TOO_SOON * failures).min(LONGEST_RETRY)
                }
            };
            self.publish.send_modify(|state| state.attempts += 1);
            if !self.rest(begun, wait).await {
                return;
            }
        }
    }

    /// Waits until it is time to fetch again; `false` once nobody has use for the keys.
    async fn rest(&mut self, begun: Instant, wait: Duration) -> bool {
        let time = tokio::time::sleep(wait);
        let mut time = std::pin::pin!(time);
        loop {
            tokio::select! {
                () = time.as_mut() => return true,
                asked = self.asked.recv() => match asked {
                    None => return false,
                    Some(()) if begun.elapsed() >= TOO_SOON => return true,
                    // Whoever asked need not wait: there is nothing new.
                    Some(()) => self.publish.send_modify(|state| state.attempts += 1),
                },
            }
        }
    }

    fn take(&mut self, text: Bytes) -> Result<(), FetchFailure> {
        if self.text.as_ref() == Some(&text) {
            self.fetched = Some(Instant::now());
            return Ok(());
        }
        let keys = KeySet::parse(&text)?;
        self.fetched = Some(Instant::now());
        if self.text.is_some() {
            tracing::info!(source = %self.source, "an issuer has other keys now");
        }
        self.text = Some(text);
        self.publish.send_modify(|state| {
            state.keys = Some(Arc::new(keys));
            state.generation += 1;
        });
        Ok(())
    }

    fn complain(&self, failure: &FetchFailure, failures: u32) {
        // The first one is worth an operator's look; a hundred more of them are not.
        if failures == 1 {
            tracing::error!(source = %self.source, error = %failure, "cannot fetch the keys of an issuer");
        } else {
            tracing::debug!(source = %self.source, error = %failure, failures, "still no keys of an issuer");
        }
    }

    /// Keys that nobody has confirmed for a day may have been withdrawn.
    fn forget_the_old(&mut self) {
        if self.fetched.is_some_and(|at| at.elapsed() > LONGEST_USE) {
            self.fetched = None;
            self.text = None;
            self.publish.send_modify(|state| {
                state.keys = None;
                state.generation += 1;
            });
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Discovered(issuer) => f.write_str(issuer),
            // Queries hold keys sometimes.
            Self::Url(url) => write!(
                f,
                "{}://{}{}",
                url.scheme_str().unwrap_or_default(),
                url.host().unwrap_or_default(),
                url.path()
            ),
        }
    }
}

/// How often keys are fetched that nobody misses.
const REFRESH: Duration = Duration::from_secs(600);
/// How long after a fetch nobody can cause another one; also the first wait after a failure.
const TOO_SOON: Duration = Duration::from_secs(10);
/// The longest wait after failures.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How long keys are used that could not be fetched again.
const LONGEST_USE: Duration = Duration::from_secs(24 * 3600);
/// How long a request waits for keys.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
