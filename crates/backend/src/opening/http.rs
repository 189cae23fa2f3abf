//! Connects to a backend over HTTP, and starts the process that serves it if the config names one.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Uri};
use isthmus_config::{BackendTls, HttpWire, Secret, SseWire};
use isthmus_credentials::{Credentials, Pass};
use isthmus_egress::{Client, TlsSettings, UnusableTls};
use isthmus_exchange::{BackendName, BoxFuture, Error, ErrorKind, Fault};
use isthmus_protocol::RawJson;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::verdict::{DatedVerdict, Speech};
use crate::backend::Shared;
use crate::conversation::Conversation;
use crate::pool::Open;
use crate::sse;
use crate::stdio::{ChildSettings, Companion, CompanionState};
use crate::streamable_http::{
    Detected, Endpoint, EndpointSettings, Limits, StatefulHttp, StatelessHttp, detect,
};

/// How often a server that is being started is tried.
const KNOCK: Duration = Duration::from_millis(50);

/// Opens conversations over HTTP.
#[derive(Debug)]
pub(super) struct HttpOpener(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Arc<Endpoint>,
    credentials: Option<Arc<Credentials>>,
    verdict: DatedVerdict,
    background: Handle,
    start: Duration,
    most_in_flight: usize,
    process: Option<Companion>,
    /// Why the process could not be started at all.
    no_process: Option<String>,
}

impl HttpOpener {
    /// Streamable HTTP; an old server that turns out to offer HTTP+SSE is spoken to that way.
    pub(super) fn streamable(
        name: &BackendName,
        settings: &isthmus_config::Backend,
        wire: &HttpWire,
        shared: &Shared,
    ) -> Result<Self, Error> {
        let urls = wire.urls.iter().map(|url| url.value.clone()).collect();
        let verdict = DatedVerdict::new(settings.era);
        Self::new(
            name,
            settings,
            (urls, &wire.headers, &wire.tls),
            wire.process.as_ref(),
            verdict,
            shared,
        )
    }

    /// HTTP+SSE and nothing else.
    pub(super) fn sse(
        name: &BackendName,
        settings: &isthmus_config::Backend,
        wire: &SseWire,
        shared: &Shared,
    ) -> Result<Self, Error> {
        let verdict = DatedVerdict::pinned(Some(Speech::Sse));
        let urls = vec![wire.url.value.clone()];
        Self::new(
            name,
            settings,
            (urls, &wire.headers, &wire.tls),
            wire.process.as_ref(),
            verdict,
            shared,
        )
    }

    fn new(
        name: &BackendName,
        settings: &isthmus_config::Backend,
        (urls, headers, tls): (Vec<Uri>, &[(HeaderName, Secret)], &BackendTls),
        process: Option<&isthmus_config::Process>,
        verdict: DatedVerdict,
        shared: &Shared,
    ) -> Result<Self, Error> {
        let credentials = match (&settings.credentials, urls.first()) {
            (Some(written), Some(url)) => {
                let shared = &shared.credentials;
                Some(Credentials::new(name, written, url, shared)?)
            }
            _ => None,
        };
        let endpoint = Endpoint::new(EndpointSettings {
            backend: name.clone(),
            urls,
            headers: headers.to_vec(),
            client: client(name, tls, shared)?,
            background: shared.background.clone(),
            client_info: shared.client_info.clone(),
            limits: Limits {
                body: shared.bounds.body,
                event: shared.bounds.event,
                open: settings.timeouts.start,
                pause: settings.restart.first,
            },
        })?;
        let started = process.map(|process| {
            let child = ChildSettings {
                backend: name.clone(),
                process: process.clone(),
                guard: shared.guard.clone(),
                stop: settings.timeouts.stop,
                longest_line: shared.bounds.line,
            };
            Companion::start(child, settings.restart, &shared.background)
        });
        let (process, no_process) = match started {
            Some(Ok(process)) => (Some(process), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, None),
        };
        Ok(Self(Arc::new(Inner {
            endpoint,
            credentials,
            verdict,
            background: shared.background.clone(),
            start: settings.timeouts.start,
            most_in_flight: settings.bounds.in_flight,
            process,
            no_process,
        })))
    }
}

/// The client all backends share, or one of its own for a backend to which TLS is spoken in another way.
///
/// # Errors
///
/// An operator's error if certificates or keys cannot be used.
fn client(name: &BackendName, tls: &BackendTls, shared: &Shared) -> Result<Client, Error> {
    if *tls == BackendTls::default() {
        return Ok(shared.egress.clone());
    }
    let location = tls.roots.as_ref().and_then(|roots| roots.location.as_ref());
    let of_pair = || {
        tls.certificate
            .as_ref()
            .and_then(|pair| pair.location.as_ref())
    };
    let place = location.or_else(of_pair);
    let place = place.map_or_else(String::new, |place| format!("{place}: "));
    let settings = tls_settings(tls).map_err(|error| {
        let text = format!("{place}the TLS settings of `{name}` cannot be used: {error}");
        let kind = ErrorKind::BackendUnavailable(name.clone());
        Error::new(kind, text)
            .caused_by(error)
            .with_fault(Fault::Operator)
    })?;
    Ok(shared.egress.with_tls(settings))
}

fn tls_settings(tls: &BackendTls) -> Result<TlsSettings, UnusableTls> {
    let mut settings = TlsSettings::default();
    if let Some(roots) = &tls.roots {
        settings = settings.with_roots(&roots.certificates)?;
    }
    if let Some(pair) = &tls.certificate {
        settings = settings.with_identity(&pair.chain, pair.key.expose())?;
    }
    if let Some(name) = &tls.server_name {
        settings = settings.with_server_name(name)?;
    }
    Ok(settings)
}

impl Open for HttpOpener {
    fn open(
        &self,
        capabilities: RawJson,
    ) -> BoxFuture<'static, Result<Arc<dyn Conversation>, Error>> {
        self.open_showing(capabilities, None)
    }

    fn open_showing(
        &self,
        capabilities: RawJson,
        pass: Option<Pass>,
    ) -> BoxFuture<'static, Result<Arc<dyn Conversation>, Error>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let endpoint = match pass {
                None => inner.endpoint.clone(),
                pass => inner.endpoint.showing(pass),
            };
            inner.open(&endpoint, &capabilities).await
        })
    }

    fn credentials(&self) -> Option<&Arc<Credentials>> {
        self.0.credentials.as_ref()
    }

    fn evidence(&self) -> &'static str {
        self.0.verdict.evidence()
    }

    fn parked(&self) -> Option<String> {
        self.0.parked()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let inner = self.0.clone();
        Box::pin(async move {
            if let Some(process) = &inner.process {
                process.stop().await;
            }
        })
    }
}

impl Inner {
    /// Why the process that serves the URL is not running any more.
    fn parked(&self) -> Option<String> {
        if let Some(reason) = &self.no_process {
            return Some(reason.clone());
        }
        match &*self.process.as_ref()?.state().borrow() {
            CompanionState::Parked(error) => Some(error.to_string()),
            _ => None,
        }
    }

    async fn open(
        &self,
        endpoint: &Arc<Endpoint>,
        capabilities: &RawJson,
    ) -> Result<Arc<dyn Conversation>, Error> {
        let deadline = Instant::now() + self.start;
        loop {
            let opened = self.open_once(endpoint, capabilities).await;
            let Err(error) = &opened else { return opened };
            self.verdict.doubt();
            // A process of ours may need a moment until it listens; somebody else's server gets one try.
            let starting = self.process.is_some() && self.parked().is_none();
            let refused = matches!(error.kind(), ErrorKind::BackendUnavailable(_));
            if !starting || !refused || Instant::now() + KNOCK >= deadline {
                return opened;
            }
            tokio::time::sleep(KNOCK).await;
        }
    }

    async fn open_once(
        &self,
        endpoint: &Arc<Endpoint>,
        capabilities: &RawJson,
    ) -> Result<Arc<dyn Conversation>, Error> {
        match self.verdict.speech() {
            Some(Speech::Stateful) => Ok(StatefulHttp::open(endpoint, capabilities).await?),
            Some(Speech::Stateless) => Ok(StatelessHttp::open(endpoint).await?),
            Some(Speech::Sse) => self.open_sse(endpoint, capabilities).await,
            None => match detect(endpoint, capabilities).await {
                Detected::Stateless(facts) => {
                    self.verdict
                        .found(Speech::Stateless, "answered server/discover");
                    Ok(StatelessHttp::new(endpoint, facts))
                }
                Detected::Stateful(conversation) => {
                    self.verdict
                        .found(Speech::Stateful, "took a handshake and no server/discover");
                    Ok(conversation)
                }
                Detected::Sse => {
                    self.verdict
                        .found(Speech::Sse, "offered an event stream with an endpoint");
                    self.open_sse(endpoint, capabilities).await
                }
                Detected::Inconclusive(error) => Err(error),
            },
        }
    }

    async fn open_sse(
        &self,
        endpoint: &Arc<Endpoint>,
        capabilities: &RawJson,
    ) -> Result<Arc<dyn Conversation>, Error> {
        let opening = crate::duplex::Opening {
            client_info: endpoint.client_info().clone(),
            capabilities: capabilities.clone(),
            deadline: Instant::now() + self.start,
            most_in_flight: self.most_in_flight,
            habit: endpoint.habit(),
        };
        let pipe = sse::connect(endpoint).await?;
        let conversation =
            crate::duplex::StatefulDuplex::open(pipe, &opening, &self.background).await?;
        Ok(Arc::new(conversation))
    }
}
