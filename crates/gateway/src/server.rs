//! The life of `isthmus run` and `isthmus stdio`: start, serve, reload, drain.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use isthmus_config::Config;
use isthmus_session::{SessionLimits, SessionTable};
use isthmus_telemetry::audit::AuditLog;
use isthmus_transport::{Clients, ClientsSettings, Listener, Readiness};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::fleet::{Fleet, Users, own_info};
use crate::listening::{self, Inherited};
use crate::reload::Reloads;
use crate::runtimes::{self, Cores, Serve};
use crate::settings;
use crate::tls::{self, Door};
use crate::watch::Watch;

/// How long the threads may take to stop once everything was asked to.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Serves `config`, read from `path`, over HTTP until a signal ends it.
///
/// # Errors
///
/// If something cannot be started: an address is taken, threads cannot be made.
pub(crate) fn serve(path: &Path, config: Config) -> anyhow::Result<()> {
    let inherited = Inherited::take()?;
    let count = runtimes::core_count();
    let (stop, end) = (CancellationToken::new(), CancellationToken::new());
    let background = runtimes::background(count)?;
    let cores = Arc::new(Cores::start(count, &stop, &end)?);
    let served = background.block_on(run(path, config, inherited, &cores, &stop));
    stop.cancel();
    background.shutdown_timeout(LAST_WORDS);
    end.cancel();
    if let Some(cores) = Arc::into_inner(cores) {
        cores.join();
    }
    served
}

/// Serves one route of `config` over standard input and output until the client closes its end or a signal comes.
///
/// # Errors
///
/// If something cannot be started, or reading or writing fails.
pub(crate) fn serve_stdio(path: &Path, config: Config, route: &str) -> anyhow::Result<()> {
    let background = runtimes::background(0)?;
    let served = background.block_on(run_stdio(path, config, route));
    // Reading standard input cannot be interrupted: its thread is left behind.
    background.shutdown_background();
    served
}

async fn run(
    path: &Path,
    config: Config,
    mut inherited: Inherited,
    cores: &Arc<Cores>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let sockets: Vec<TcpListener> = config
        .listeners
        .iter()
        .map(|listener| inherited.bind(listener))
        .collect::<Result<_, _>>()?;
    let doors = tls::Prepared::of(&config)?.into_doors();
    let (fleet, clients) = start(&config, runtimes::core_count() + 1, Users::Callers)?;
    let mut ends = Ends::listen()?;
    let mut watch = Watch::start(&config.files)?;
    let accepting = CancellationToken::new();
    let mut accept_loops = JoinSet::new();
    let mut listeners = Vec::new();
    for ((settings, socket), door) in config.listeners.iter().zip(sockets).zip(&doors) {
        let address = socket
            .local_addr()
            .context("a bound socket has an address")?;
        let listener = Listener::new(
            clients.clone(),
            settings.clone(),
            fleet.faces(&config, settings),
        );
        let limit = config.bounds.connections;
        let serve = serve_with(&listener, door, config.bounds.request_read);
        accept_loops.spawn(listening::accept(
            socket,
            cores.clone(),
            limit,
            serve,
            accepting.clone(),
        ));
        for route in &config.routes {
            let scheme = if door.speaks_tls() { "https" } else { "http" };
            let url = format!("{scheme}://{address}{}", route.path);
            tracing::info!(listener = settings.name, url, %address, "listening");
        }
        listeners.push(listener);
    }
    let tidy = tidy(&clients);
    let drain = config.bounds.drain;
    let mut reloads = Reloads::new(path, config);
    loop {
        let cause = tokio::select! {
            () = ends.next() => break,
            cause = watch.next() => cause,
        };
        if let Some(applied) = reloads.reload(cause, &fleet) {
            let config = reloads.config();
            applied.finish(|tls| {
                tls::renew(&doors, tls);
                for (listener, settings) in listeners.iter().zip(&config.listeners) {
                    listener.replace(settings.clone(), fleet.faces(config, settings));
                }
                watch.follow(&config.files);
            });
        }
    }
    tracing::info!("stopping");
    accepting.cancel();
    clients.drain();
    stop.cancel();
    tokio::select! {
        () = drained(&clients, cores) => {}
        () = tokio::time::sleep(drain) => tracing::warn!("some calls did not end in time"),
        () = ends.next() => tracing::warn!("stopping at once"),
    }
    drop(tidy);
    clients.sessions().close_all();
    fleet.close().await;
    reloads.settled().await;
    tracing::info!("stopped");
    Ok(())
}

async fn run_stdio(path: &Path, config: Config, route: &str) -> anyhow::Result<()> {
    let (fleet, clients) = start(&config, 1, Users::Own)?;
    let face_of = |config: &Config| {
        config
            .route(route)
            .and_then(|route| fleet.face(route))
            .map(Arc::new)
    };
    let face = Arc::new(ArcSwapOption::from(face_of(&config)));
    let mut ends = Ends::listen()?;
    let mut watch = Watch::start(&config.files)?;
    let tidy = tidy(&clients);
    let current = face.clone();
    let serving = isthmus_transport::serve_stdio(
        clients.clone(),
        move || current.load_full(),
        tokio::io::stdin(),
        tokio::io::stdout(),
    );
    let mut serving = std::pin::pin!(serving);
    let drain = config.bounds.drain;
    let mut reloads = Reloads::new(path, config);
    let served = loop {
        let cause = tokio::select! {
            served = serving.as_mut() => break served,
            () = ends.next() => {
                clients.drain();
                break tokio::time::timeout(drain, serving).await.unwrap_or(Ok(()));
            }
            cause = watch.next() => cause,
        };
        if let Some(applied) = reloads.reload(cause, &fleet) {
            applied.finish(|_no_listeners| {
                face.store(face_of(reloads.config()));
                watch.follow(&reloads.config().files);
            });
        }
    };
    drop(tidy);
    fleet.close().await;
    reloads.settled().await;
    served.context("standard input or output failed")
}

/// Starts the fleet and what all clients share.
fn start(
    config: &Config,
    egress_slots: usize,
    users: Users,
) -> anyhow::Result<(Arc<Fleet>, Arc<Clients>)> {
    let background = Handle::current();
    // The first session would wait for it otherwise. It ends by itself, long before anything depends on that.
    drop(background.spawn_blocking(isthmus_seal::warm_up));
    let keys = settings::seal_keys(config)?;
    let audit = config.audit.as_ref().map(AuditLog::start).transpose();
    let audit = audit.context("the audit log cannot be opened")?;
    let fleet = Arc::new(Fleet::start(
        config,
        background.clone(),
        egress_slots,
        keys.clone(),
        users,
        audit,
    )?);
    let bounds = &config.bounds;
    let limits = SessionLimits {
        total: bounds.sessions,
        per_principal: bounds.sessions_per_principal,
        idle: bounds.session_idle,
        streams: bounds.streams_per_session,
        replay_per_session: bounds.replay_per_session,
        replay_total: bounds.replay_total,
    };
    let router = fleet.router().clone();
    let clients = Clients::new(ClientsSettings {
        sessions: Arc::new(SessionTable::new(limits, keys)),
        bounds: bounds.clone(),
        server_info: own_info(),
        background,
        readiness: Arc::new(move || readiness(&router)),
    });
    Ok((fleet, clients))
}

/// The gateway is ready when it listens (design §11); the message says which backends are not.
fn readiness(router: &isthmus_router::Router) -> Readiness {
    let backends = router.status().backends;
    let waiting = backends
        .iter()
        .filter(|backend| backend.state.facts().is_none());
    let waiting: Vec<&str> = waiting.map(|backend| backend.name.as_str()).collect();
    let message = if waiting.is_empty() {
        "ready".to_owned()
    } else {
        format!("ready; not available: {}", waiting.join(", "))
    };
    Readiness {
        ready: true,
        message,
    }
}

/// Ends sessions that nobody uses, for as long as the handle lives.
fn tidy(clients: &Arc<Clients>) -> AbortOnDropHandle<()> {
    let sessions = clients.sessions().clone();
    AbortOnDropHandle::new(Handle::current().spawn(async move { sessions.keep_tidy().await }))
}

fn serve_with(listener: &Arc<Listener>, door: &Arc<Door>, handshake: Duration) -> Serve {
    let (listener, door) = (listener.clone(), door.clone());
    Arc::new(move |stream, peer: SocketAddr| door.serve(stream, peer, handshake, listener.clone()))
}

/// Completes when nothing is in flight and no connection is open any more.
async fn drained(clients: &Clients, cores: &Cores) {
    clients.drained().await;
    while cores.open() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The signals that end the gateway.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
