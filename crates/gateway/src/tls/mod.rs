//! TLS on listeners: what is shown to clients, whom we believe, and how both are renewed.
//!
//! A listener's settings can change while it serves: a new connection gets what is in force when it arrives, those that
//! are open keep what they began with.

mod server_config;
mod shown;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use isthmus_config::Config;
use isthmus_exchange::BoxFuture;
use isthmus_transport::{Listener, Peer, serve_connection};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// What the listeners of a config show and believe, in their order; `None` where no TLS is spoken.
#[derive(Debug)]
pub(crate) struct Prepared(Vec<Option<Arc<ServerConfig>>>);

impl Prepared {
    /// Reads certificates and keys of every listener.
    ///
    /// # Errors
    ///
    /// A text with file, line and column for each pair that does not fit together, and each root that is none.
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        let listeners = config.listeners.iter();
        let prepared = listeners.map(|listener| {
            let tls = listener.tls.as_ref();
            tls.map(server_config::server_config).transpose()
        });
        prepared.collect::<anyhow::Result<_>>().map(Self)
    }

    /// One door per listener.
    pub(crate) fn into_doors(self) -> Vec<Arc<Door>> {
        let doors = self.0.into_iter();
        doors
            .map(|tls| Arc::new(Door(ArcSwapOption::new(tls))))
            .collect()
    }
}

/// How one listener's connections begin.
#[derive(Debug)]
pub(crate) struct Door(ArcSwapOption<ServerConfig>);

impl Door {
    /// Whether TLS is spoken here.
    pub(crate) fn speaks_tls(&self) -> bool {
        self.0.load().is_some()
    }

    /// Serves one connection from its handshake to its end. A handshake that fails, or takes longer than `limit`, ends it.
    pub(crate) fn serve(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        limit: Duration,
        listener: Arc<Listener>,
    ) -> BoxFuture<'static, ()> {
        let peer = Peer::from(Some(address));
        // Two futures, so that a connection without TLS does not carry the room for it.
        match self.0.load_full() {
            None => Box::pin(serve_connection(stream, peer, listener)),
            Some(tls) => Box::pin(serve_tls(tls, stream, peer, limit, listener)),
        }
    }
}

async fn serve_tls(
    tls: Arc<ServerConfig>,
    stream: TcpStream,
    mut peer: Peer,
    limit: Duration,
    listener: Arc<Listener>,
) {
    let handshake = TlsAcceptor::from(tls).accept(stream);
    match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            peer.certificate = shown.and_then(|chain| Some(Arc::from(&**chain.first()?)));
            serve_connection(stream, peer, listener).await;
        }
        Ok(Err(error)) => tracing::debug!(?peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(?peer, "a TLS handshake took too long"),
    }
}

/// Puts what was prepared for the same listeners into force.
pub(crate) fn renew(doors: &[Arc<Door>], prepared: Prepared) {
    for (door, tls) in doors.iter().zip(prepared.0) {
        door.0.store(tls);
    }
}
