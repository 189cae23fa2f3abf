//! Sends requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::connector::Connector;
use crate::slot::current_slot;
use crate::tls::{LazyTls, TlsSettings};
use crate::{EgressError, RequestBody, ResponseBody};

/// Sends HTTP requests. Cloning is cheap and shares the pools.
#[derive(Clone)]
pub struct Client {
    slots: Arc<[Pool]>,
    connect: Duration,
}

type Pool = legacy::Client<Connector, RequestBody>;

/// What can be set about a [`Client`].
#[derive(Debug)]
pub struct ClientSettings {
    /// How many pools: one per core's runtime, and one more (the last) for the background runtime. At least 1.
    pub slots: usize,
    /// Longest time for name, TCP and TLS of one connection.
    pub connect: Duration,
    /// Whom we believe and what we show.
    pub tls: TlsSettings,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            slots: 1,
            connect: Duration::from_secs(10),
            tls: TlsSettings::default(),
        }
    }
}

impl Client {
    /// A client with empty pools. Opens nothing and reads nothing yet.
    #[must_use]
    pub fn new(settings: ClientSettings) -> Self {
        let tls = Arc::new(LazyTls::new(settings.tls));
        let slots = (0..settings.slots.max(1))
            .map(|_| pool(Connector::new(Arc::clone(&tls), settings.connect)))
            .collect();
        Self {
            slots,
            connect: settings.connect,
        }
    }

    /// A client with as many empty pools that speaks TLS in another way.
    #[must_use]
    pub fn with_tls(&self, tls: TlsSettings) -> Self {
        Self::new(ClientSettings {
            slots: self.slots.len(),
            connect: self.connect,
            tls,
        })
    }

    /// Sends `request` and waits for the head of the response, however long it takes.
    ///
    /// The URI must be absolute, with scheme `http` or `https`. Dropping the future, or the response body before its
    /// end, closes the connection (HTTP/1.1) or resets the stream (HTTP/2): that is how a stateless request is
    /// cancelled (MC-4). A response of any status is not an error here.
    ///
    /// # Errors
    ///
    /// [`EgressError`]; its [`EgressError::never_left`] says whether sending again is safe.
    pub async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, EgressError> {
        let pool = &self.slots[current_slot(self.slots.len())];
        // The pool consumes the request; the authority is kept by reference count.
        let authority = request.uri().authority().cloned();
        pool.request(request).await.map_err(|error| {
            let authority = authority.map_or_else(String::new, |authority| authority.to_string());
            EgressError::new(authority, error)
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("slots", &self.slots.len())
            .finish()
    }
}

fn pool(connector: Connector) -> Pool {
    legacy::Client::builder(TokioExecutor::new())
        // Without both timers hyper's and the pool's limits are silently off.
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .http1_max_buf_size(HEADER_BLOCK)
        .http2_max_header_list_size(HEADER_BLOCK_H2)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(Some(PING_EVERY))
        .http2_keep_alive_timeout(PING_WAIT)
        // Sends again only what still lay in a dead connection's inbox, so that no call runs twice.
        .retry_canceled_requests(true)
        .build(connector)
}

/// Node's and uvicorn's servers close idle connections after 5 s. A request that crosses that close is lost, and a tool
/// call may not be sent again: so we are first.
const IDLE: Duration = Duration::from_secs(4);
const IDLE_PER_HOST: usize = 256;
/// Design §11: header block 64 KiB.
const HEADER_BLOCK: usize = 64 * 1024;
const HEADER_BLOCK_H2: u32 = 64 * 1024;
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WAIT: Duration = Duration::from_secs(20);
