//! Sockets: bound here or inherited, and the loop that hands their connections to the cores.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use isthmus_config::Listener;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use crate::runtimes::{Cores, Serve};

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: u32 = 1024;

/// How long to rest when the system has no descriptors left: accepting again at once would only spin.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Sockets passed on by systemd or by a predecessor (`LISTEN_FDS`), not yet claimed.
#[derive(Debug)]
pub(crate) struct Inherited(Vec<std::net::TcpListener>);

impl Inherited {
    /// Takes what the environment offers. Call once, before threads start.
    ///
    /// # Errors
    ///
    /// If something that is not a listening TCP socket was passed.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let mut passed = listenfd::ListenFd::from_env();
        let sockets = (0..passed.len())
            .filter_map(|index| passed.take_tcp_listener(index).transpose())
            .collect::<Result<_, _>>()
            .context("an inherited descriptor is not a TCP socket")?;
        Ok(Self(sockets))
    }

    /// The socket for `address`: the inherited one that is bound there, else a new one. Needs a runtime.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound: it says which listener, and what to do.
    pub(crate) fn bind(&mut self, listener: &Listener) -> anyhow::Result<TcpListener> {
        let inherited = self
            .0
            .iter()
            .position(|socket| socket.local_addr().is_ok_and(|at| at == listener.address));
        if let Some(index) = inherited {
            let socket = self.0.swap_remove(index);
            socket.set_nonblocking(true)?;
            return Ok(TcpListener::from_std(socket)?);
        }
        bind(listener.address).map_err(|error| {
            let Listener { name, address, .. } = listener;
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "; another program listens there: stop it, or change the address"
                }
                std::io::ErrorKind::PermissionDenied => {
                    "; ports below 1024 need a privilege: choose a higher one"
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    "; no interface of this machine has that address"
                }
                _ => "",
            };
            anyhow!("listener `{name}` cannot listen on {address}: {error}{hint}")
        })
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restart must not wait for the last connections of its predecessor to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until `stop`, never more than `limit` at a time in the whole gateway.
pub(crate) async fn accept(
    socket: TcpListener,
    cores: Arc<Cores>,
    limit: usize,
    serve: Serve,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            // Closing is the cheapest refusal there is before a byte was read.
            Ok((stream, _)) if cores.open() >= limit => drop(stream),
            Ok((stream, peer)) => {
                // Replies are written whole; waiting for more to send would only delay them.
                let _ = stream.set_nodelay(true);
                if let Err(error) = cores.hand_over(stream, peer, serve.clone()).await {
                    tracing::warn!(%error, "a connection was dropped");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
}
