//! One connection of an HTTP client, from its first byte to its last.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use isthmus_config::Bounds;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::entry;
use crate::listener::Listener;
use crate::peer::Peer;

/// Serves one accepted connection, HTTP/1.1 or HTTP/2 by what the client begins with, until it ends.
///
/// Once `Clients::drain` was called, what is in flight is finished and the connection closed. Dropping the future closes
/// it at once, which cancels the requests of stateless clients (MS-6) and no others (LS-8).
pub async fn serve_connection<Io>(io: Io, peer: impl Into<Peer>, listener: Arc<Listener>)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = peer.into();
    let address = peer.address;
    let clients = Arc::clone(&listener.clients);
    let bounds = clients.bounds().clone();
    let begun = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let begun = Arc::clone(&begun);
        move |request| {
            begun.store(true, Ordering::Relaxed);
            let (listener, peer) = (Arc::clone(&listener), peer.clone());
            async move { Ok::<_, Infallible>(entry::answer(listener, peer, request).await) }
        }
    });
    let builder = builder(&bounds);
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let mut draining = false;
    // hyper's own time limit begins once it knows which HTTP this is; a client that sends nothing never gets there.
    let mut first_request = std::pin::pin!(tokio::time::sleep(bounds.request_read));
    let mut watching = true;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = ?address, %error, "connection ended early");
                }
                return;
            }
            () = clients.closing().cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first_request.as_mut(), if watching => {
                watching = false;
                if !begun.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

fn builder(bounds: &Bounds) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.request_read)
        // The smallest buffer that hyper takes is 8 KiB. It limits the header block, not the body.
        .max_buf_size(bounds.header_block.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(bounds.header_block).unwrap_or(u32::MAX));
    builder
}

/// How often a silent HTTP/2 client is asked whether it is there, and how long it has to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 256;
