//! Opens connections: name, TCP, and TLS where the scheme asks for it, within one time limit.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::loopback::Resolver;
use crate::tls::LazyTls;

type BoxError = Box<dyn StdError + Send + Sync>;
pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Makes the connections of one pool.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Arc<LazyTls>,
    limit: Duration,
}

impl Connector {
    pub(crate) fn new(tls: Arc<LazyTls>, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEP_ALIVE));
        Self { tcp, tls, limit }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let opening = open(self.tcp.clone(), Arc::clone(&self.tls), address);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, opening).await {
                Ok(opened) => opened,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

async fn open(
    mut tcp: HttpConnector<Resolver>,
    tls: Arc<LazyTls>,
    address: Uri,
) -> Result<Stream, BoxError> {
    std::future::poll_fn(|context| tcp.poll_ready(context)).await?;
    if address.scheme() == Some(&Scheme::HTTP) {
        return Ok(MaybeHttpsStream::Http(tcp.call(address).await?));
    }
    let names = tls.names();
    let config = match tls.ready() {
        Some(made) => made?,
        None => tokio::task::spawn_blocking(move || tls.make()).await??,
    };
    HttpsConnector::new(tcp, config, false, names)
        .call(address)
        .await
}

/// After this much silence the kernel asks whether the other side is still there: GET streams stay silent for hours.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(60);
