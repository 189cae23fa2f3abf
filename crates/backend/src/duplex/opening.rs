//! The handshakes of both eras over a pipe, and finding out which one to use (digest §2E).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{Error, ErrorKind, PeerFacts, Wants};
use isthmus_protocol::object::{elements, member, text};
use isthmus_protocol::params::{StatelessStamp, TraceStamp, stamp_stateless};
use isthmus_protocol::{Era, JsonRpcError, Method, RawJson, Revision, code};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::call::Call;
use super::link::{Link, Sending};
use super::pipe::Pipe;
use super::{StatefulDuplex, StatelessDuplex};
use crate::conversation::Conversation;
use crate::greeting::{self, Discovered};
use crate::questions::Habit;

/// After a ping was answered and a probe was not, the probe will not be either: the server ignores unknown methods.
const PROBE_AFTER_PING: Duration = Duration::from_millis(250);
/// How long a silent server is waited for before `initialize` follows the probe (E-6). It may still be starting.
const PROBE: Duration = Duration::from_secs(10);

/// What every conversation over a pipe is opened with.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    /// Our `Implementation` object.
    pub(crate) client_info: RawJson,
    /// The capabilities that a session declares; an object. Stateless conversations declare them per request.
    pub(crate) capabilities: RawJson,
    /// When to give up.
    pub(crate) deadline: Instant,
    /// Calls in flight at most.
    pub(crate) most_in_flight: usize,
    /// How the server is known to ask.
    pub(crate) habit: Habit,
}

/// A conversation and how its era was found out.
#[derive(Debug)]
pub(crate) struct Detected {
    /// The conversation.
    pub(crate) conversation: Arc<dyn Conversation>,
    /// What the verdict rests on, for people.
    pub(crate) evidence: &'static str,
}

/// Why detecting the era failed.
#[derive(Debug)]
pub(crate) enum DetectError {
    /// The pipe ended while the server was being probed: some stateful ones do not survive an unexpected first message
    /// (E-9). To be tried again with [`StatefulDuplex::open`]; not a crash.
    DiedOnProbe(Error),
    /// Anything else.
    Failed(Error),
}

/// Finds out the era of the server behind `pipe` and opens a conversation in it.
pub(crate) async fn open_detecting(
    pipe: Pipe,
    opening: &Opening,
    background: &Handle,
) -> Result<Detected, DetectError> {
    let link = Link::start(pipe, opening, background);
    let verdict = within(&link, opening.deadline, detect(&link, opening)).await;
    let verdict = verdict.map_err(|error| match error.kind() {
        ErrorKind::BackendUnavailable(_) => DetectError::DiedOnProbe(error),
        _ => DetectError::Failed(error),
    })?;
    let (conversation, evidence): (Arc<dyn Conversation>, _) = match verdict {
        Verdict::Stateless(facts) => {
            let conversation = StatelessDuplex::new(link, facts, opening);
            (Arc::new(conversation), "answered server/discover")
        }
        Verdict::Stateful(facts, evidence) => {
            (Arc::new(StatefulDuplex::new(link, facts)), evidence)
        }
    };
    Ok(Detected {
        conversation,
        evidence,
    })
}

/// Opens a stateful conversation: `initialize`, then `notifications/initialized` (LC-1).
pub(super) async fn open_stateful(
    pipe: Pipe,
    opening: &Opening,
    background: &Handle,
) -> Result<(Arc<Link>, PeerFacts), Error> {
    let link = Link::start(pipe, opening, background);
    let opened = async {
        let answer = initialize(&link, opening).await?.answer().await?;
        settle_stateful(&link, &answer).await
    };
    let facts = within(&link, opening.deadline, opened).await?;
    Ok((link, facts))
}

/// Opens a stateless conversation: only `server/discover`, for the facts.
pub(super) async fn open_stateless(
    pipe: Pipe,
    opening: &Opening,
    background: &Handle,
) -> Result<(Arc<Link>, PeerFacts), Error> {
    let link = Link::start(pipe, opening, background);
    link.shared.set_era(Era::Stateless);
    let opened = async {
        let answer = probe(&link, &Method::ServerDiscover, opening)
            .await?
            .answer()
            .await?;
        match greeting::read_discovered(&link.shared.backend, &answer)? {
            Discovered::Stateless(facts) => Ok(facts),
            Discovered::Stateful => Err(link.shared.misbehaved("speaks stateful revisions only")),
        }
    };
    let facts = within(&link, opening.deadline, opened).await?;
    Ok((link, facts))
}

enum Verdict {
    Stateless(PeerFacts),
    Stateful(PeerFacts, &'static str),
}

async fn detect(link: &Arc<Link>, opening: &Opening) -> Result<Verdict, Error> {
    let begun = Instant::now();
    let mut discover = probe(link, &Method::ServerDiscover, opening).await?;
    // Allowed before `initialize` (1125:basic/lifecycle): it tells a server that ignores unknown methods from one that
    // has not started to read yet.
    let mut ping = probe(link, &Method::Ping, opening).await?;
    let mut silence_ends = begun + PROBE;
    let mut pinged = false;
    let (evidence, mut probing) = loop {
        tokio::select! {
            biased;
            answer = discover.answer() => match read_probe(link, answer)? {
                Some(facts) => return Ok(stateless(link, facts)),
                None => break ("refused server/discover", false),
            },
            answer = ping.answer(), if !pinged => {
                alive(answer)?;
                pinged = true;
                silence_ends = silence_ends.min(Instant::now() + PROBE_AFTER_PING);
            }
            () = sleep_until(silence_ends) => break ("did not answer server/discover", true),
        }
    };
    // If the probe is still open, whichever answers wins; an error from one leaves it to the other.
    let mut initializing = initialize(link, opening).await?;
    let mut refused = None;
    loop {
        tokio::select! {
            biased;
            answer = discover.answer(), if probing => match read_probe(link, answer)? {
                Some(facts) => return Ok(stateless(link, facts)),
                None => probing = false,
            },
            answer = initializing.answer(), if refused.is_none() => match answer {
                Ok(result) => {
                    let facts = settle_stateful(link, &result).await?;
                    return Ok(Verdict::Stateful(facts, evidence));
                }
                Err(error) => {
                    alive(Err(error.clone()))?;
                    refused = Some(error);
                }
            },
            else => {
                let unexpected = || link.shared.gone();
                return Err(refused.unwrap_or_else(unexpected));
            }
        }
    }
}

/// Any answer shows that somebody is there, an error as well; only the end of the pipe does not.
fn alive(answer: Result<RawJson, Error>) -> Result<(), Error> {
    match answer {
        Err(error) if !matches!(error.kind(), ErrorKind::Answered { .. }) => Err(error),
        _ => Ok(()),
    }
}

fn stateless(link: &Link, facts: PeerFacts) -> Verdict {
    link.shared.set_era(Era::Stateless);
    Verdict::Stateless(facts)
}

/// Reads the answer to a probe: the facts of a stateless server, or `None` for a stateful one.
fn read_probe(link: &Link, answer: Result<RawJson, Error>) -> Result<Option<PeerFacts>, Error> {
    match answer {
        // A clean answer without our revision, or without any, is a stateful server's (E-7).
        Ok(result) => match greeting::read_discovered(&link.shared.backend, &result) {
            Ok(Discovered::Stateless(facts)) => Ok(Some(facts)),
            Ok(Discovered::Stateful) | Err(_) => Ok(None),
        },
        Err(error) => match error.kind() {
            ErrorKind::Answered {
                error: answered, ..
            } if is_stateless_only(answered) => {
                let what = format!(
                    "speaks revisions or wants capabilities that we have not: {}",
                    answered.message
                );
                Err(link.shared.misbehaved(&what))
            }
            // Whatever the code is (E-2).
            ErrorKind::Answered { .. } => Ok(None),
            _ => Err(error),
        },
    }
}

/// An error that only a stateless server answers with, so that `initialize` must not follow (MC-9, E-8): it lists
/// supported revisions, none of them stateful, or capabilities that it cannot do without.
fn is_stateless_only(error: &JsonRpcError) -> bool {
    let told = |key| error.data.as_ref().and_then(|data| member(data, key));
    match error.code {
        code::UNSUPPORTED_PROTOCOL_VERSION => told("supported").is_some_and(|supported| {
            let stateful = |revision: Revision| revision.era() == Era::Stateful;
            !revisions(&supported).any(|revision| revision.is_some_and(stateful))
        }),
        code::MISSING_REQUIRED_CLIENT_CAPABILITY => told("requiredCapabilities").is_some(),
        _ => false,
    }
}

fn revisions(list: &RawJson) -> impl Iterator<Item = Option<Revision>> {
    let list = elements(list).unwrap_or_default().into_iter();
    list.map(|revision| text(&revision)?.parse().ok())
}

/// Reads an InitializeResult and tells the server that we are ready.
async fn settle_stateful(link: &Link, result: &RawJson) -> Result<PeerFacts, Error> {
    let facts = greeting::read_initialized(&link.shared.backend, result)?;
    link.shared.set_era(Era::Stateful);
    link.shared.questions.speak(facts.revision);
    link.notify(&Method::Initialized, &RawJson::empty_object())
        .await?;
    Ok(facts)
}

async fn initialize(link: &Arc<Link>, opening: &Opening) -> Result<Call, Error> {
    let params = greeting::initialize_params(&opening.capabilities, &opening.client_info);
    send_quietly(link, &Method::Initialize, params).await
}

/// Sends a request with nothing but the envelope of the stateless era, which means nothing to a stateful server.
async fn probe(link: &Arc<Link>, method: &Method, opening: &Opening) -> Result<Call, Error> {
    let params = stamp_stateless(
        &RawJson::empty_object(),
        &StatelessStamp {
            revision: Revision::LATEST,
            capabilities: &opening.capabilities,
            client_info: &opening.client_info,
            log_level: None,
            progress_token: None,
            trace: TraceStamp::default(),
        },
    );
    send_quietly(link, method, params).await
}

async fn send_quietly(link: &Arc<Link>, method: &Method, params: RawJson) -> Result<Call, Error> {
    let sending = Sending {
        method,
        params: |_| params,
        wants: Wants::default(),
        acknowledged: None,
        cancellable: false,
        interactive: None,
    };
    link.send(sending).await
}

/// Runs a handshake until `deadline`. An error that the server answers with is no answer to any caller's request.
async fn within<T>(
    link: &Link,
    deadline: Instant,
    handshake: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let backend = &link.shared.backend;
    let handshake = pin!(handshake);
    match tokio::time::timeout_at(deadline, handshake).await {
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::Answered { .. }) => {
            let what = format!("refuses the handshake: {error}");
            Err(link.shared.misbehaved(&what).caused_by(error))
        }
        Ok(outcome) => outcome,
        Err(_) => {
            let kind = ErrorKind::TimedOut(Some(backend.clone()));
            let message = format!(
                "backend `{backend}` did not answer the handshake in time; is it an MCP server?"
            );
            Err(Error::new(kind, message))
        }
    }
}
