//! Starts a child and speaks to it over its pipes.
//!
//! A child that crashes is started again after a pause that grows; one that keeps crashing is parked (design §5).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isthmus_config::{EraSetting, StdioWire};
use isthmus_exchange::{BackendName, BoxFuture, Error, ErrorKind, Fault, PeerFacts, Reply};
use isthmus_protocol::{Era, RawJson};
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::verdict::{DatedVerdict, Speech};
use crate::backend::Shared;
use crate::conversation::{Conversation, Outgoing, PeerNotice, Watch};
use crate::duplex::Opening;
use crate::pool::Open;
use crate::questions::Habit;
use crate::stdio::{self, ChildSettings, Phase, Supervisor, chance};

/// A caller waits this long for a child that is about to be started again; beyond, it is told at once.
const WORTH_WAITING: Duration = Duration::from_secs(5);
/// A parked child gets another chance after this time: what broke it may have been mended outside the gateway.
const PARKED: Duration = Duration::from_secs(10 * 60);

/// Opens conversations with a child of its own each.
#[derive(Debug)]
pub(super) struct StdioOpener(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: BackendName,
    child: ChildSettings,
    start: Duration,
    client_info: RawJson,
    most_in_flight: usize,
    background: Handle,
    verdict: DatedVerdict,
    habit: Habit,
    supervisor: Arc<Mutex<Supervisor>>,
    last_failure: Mutex<String>,
}

impl StdioOpener {
    pub(super) fn new(
        name: &BackendName,
        settings: &isthmus_config::Backend,
        wire: &StdioWire,
        shared: &Shared,
    ) -> Self {
        Self(Arc::new(Inner {
            backend: name.clone(),
            child: ChildSettings {
                backend: name.clone(),
                process: wire.process.clone(),
                guard: shared.guard.clone(),
                stop: settings.timeouts.stop,
                longest_line: shared.bounds.line,
            },
            start: settings.timeouts.start,
            client_info: shared.client_info.clone(),
            most_in_flight: settings.bounds.in_flight,
            background: shared.background.clone(),
            verdict: DatedVerdict::new(settings.era),
            habit: Habit::default(),
            supervisor: Arc::new(Mutex::new(Supervisor::new(settings.restart))),
            last_failure: Mutex::default(),
        }))
    }
}

impl Open for StdioOpener {
    fn open(
        &self,
        capabilities: RawJson,
    ) -> BoxFuture<'static, Result<Arc<dyn Conversation>, Error>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.open(capabilities).await })
    }

    fn evidence(&self) -> &'static str {
        self.0.verdict.evidence()
    }

    fn parked(&self) -> Option<String> {
        match lock(&self.0.supervisor).phase() {
            Phase::Parked { .. } => Some(self.0.parked_text()),
            _ => None,
        }
    }

    fn pause(&self) -> Option<Duration> {
        match lock(&self.0.supervisor).phase() {
            Phase::Waiting { until } => Some(until.saturating_duration_since(Instant::now())),
            Phase::Parked { since } => Some(PARKED.saturating_sub(since.elapsed())),
            _ => None,
        }
    }
}

impl Inner {
    async fn open(self: Arc<Self>, capabilities: RawJson) -> Result<Arc<dyn Conversation>, Error> {
        self.may_start().await?;
        lock(&self.supervisor).starting();
        match self.start(capabilities).await {
            Ok(conversation) => {
                lock(&self.supervisor).ready(Instant::now());
                Ok(Supervised::over(
                    conversation,
                    self.supervisor.clone(),
                    &self.background,
                ))
            }
            Err(error) => {
                *lock(&self.last_failure) = error.to_string();
                lock(&self.supervisor).crashed(Instant::now(), chance());
                Err(error)
            }
        }
    }

    /// Waits for the pause after a crash, if that is short.
    async fn may_start(&self) -> Result<(), Error> {
        let phase = lock(&self.supervisor).phase();
        match phase {
            Phase::Waiting { until } => {
                let wait = until.saturating_duration_since(Instant::now());
                if wait > WORTH_WAITING {
                    let seconds = wait.as_secs();
                    return Err(self.unavailable(format!(
                        "`{}` is started again in {seconds} s after a failure: {}",
                        self.backend,
                        lock(&self.last_failure)
                    )));
                }
                tokio::time::sleep_until(until).await;
            }
            Phase::Parked { since } if since.elapsed() < PARKED => {
                return Err(self
                    .unavailable(self.parked_text())
                    .with_fault(Fault::Operator));
            }
            Phase::Parked { .. } => lock(&self.supervisor).forgive(),
            Phase::Idle | Phase::Starting | Phase::Running { .. } => {}
        }
        Ok(())
    }

    async fn start(&self, capabilities: RawJson) -> Result<Arc<dyn Conversation>, Error> {
        let opening = Opening {
            client_info: self.client_info.clone(),
            capabilities,
            deadline: Instant::now() + self.start,
            most_in_flight: self.most_in_flight,
            habit: self.habit.clone(),
        };
        let era = match self.verdict.speech() {
            Some(Speech::Stateless) => EraSetting::Stateless,
            Some(Speech::Stateful | Speech::Sse) => EraSetting::Stateful,
            None => EraSetting::Auto,
        };
        let detected = stdio::open(&self.child, era, &opening, &self.background)
            .await
            .inspect_err(|_| self.verdict.doubt())?;
        if era == EraSetting::Auto {
            let found = match detected.conversation.facts().revision.era() {
                Era::Stateless => Speech::Stateless,
                Era::Stateful => Speech::Stateful,
            };
            self.verdict.found(found, detected.evidence);
        }
        Ok(detected.conversation)
    }

    fn parked_text(&self) -> String {
        format!(
            "`{}` crashed too often and is parked; it is tried again at a reload or in some minutes: {}",
            self.backend,
            lock(&self.last_failure)
        )
    }

    fn unavailable(&self, message: String) -> Error {
        Error::new(ErrorKind::BackendUnavailable(self.backend.clone()), message)
    }
}

/// A conversation whose end, unless we asked for it, counts as a crash.
#[derive(Debug)]
struct Supervised {
    conversation: Arc<dyn Conversation>,
    asked: Arc<CancellationToken>,
}

impl Supervised {
    fn over(
        conversation: Arc<dyn Conversation>,
        supervisor: Arc<Mutex<Supervisor>>,
        background: &Handle,
    ) -> Arc<dyn Conversation> {
        let asked = Arc::new(CancellationToken::new());
        let closed = conversation.closed();
        // Ends with the conversation, which the pool closes if nothing else does.
        background.spawn({
            let asked = asked.clone();
            async move {
                closed.cancelled().await;
                let mut supervisor = lock(&supervisor);
                if asked.is_cancelled() {
                    supervisor.stopped();
                } else {
                    supervisor.crashed(Instant::now(), chance());
                }
            }
        });
        Arc::new(Self {
            conversation,
            asked,
        })
    }
}

impl Conversation for Supervised {
    fn facts(&self) -> &PeerFacts {
        self.conversation.facts()
    }

    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>> {
        self.conversation.clone().request(outgoing)
    }

    fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        self.conversation.notices()
    }

    fn watch(self: Arc<Self>, wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>> {
        self.conversation.clone().watch(wanted)
    }

    fn roots_changed(self: Arc<Self>) -> BoxFuture<'static, Result<(), Error>> {
        self.conversation.clone().roots_changed()
    }

    fn hears(&self) -> bool {
        self.conversation.hears()
    }

    fn closed(&self) -> CancellationToken {
        self.conversation.closed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.asked.cancel();
        self.conversation.close()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
