//! One request and its response, on a connection of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT,
};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Ask, FetchError, Fetched, Target};
use crate::RequestBody;

/// Asks the first of `addresses` that takes the connection. Nothing is looked up here any more.
pub(super) async fn run(
    url: &Uri,
    target: &Target,
    addresses: &[SocketAddr],
    tls: Option<Arc<ClientConfig>>,
    ask: &Ask,
    limit: usize,
) -> Result<Fetched, FetchError> {
    let request = request(url, ask)?;
    let tcp = connect(addresses).await?;
    tcp.set_nodelay(true)?;
    match tls {
        None => send(tcp, request, limit).await,
        Some(config) => {
            let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
            let stream = TlsConnector::from(config).connect(name, tcp).await?;
            send(stream, request, limit).await
        }
    }
}

fn request(url: &Uri, ask: &Ask) -> Result<Request<RequestBody>, FetchError> {
    let path = url
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let host = url.authority().ok_or(FetchError::NoHost)?.as_str();
    let mut request = Request::new(RequestBody::default());
    *request.uri_mut() = path.parse().map_err(|_| FetchError::NoHost)?;
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(host).map_err(|_| FetchError::NoHost)?;
    headers.insert(HOST, host);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static("isthmus"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    match ask {
        Ask::Get { accept } => {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            *request.method_mut() = Method::GET;
        }
        Ask::Post {
            kind,
            body,
            authorization,
        } => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            if let Some(authorization) = authorization {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
            *request.method_mut() = Method::POST;
            *request.body_mut() = RequestBody::new(body.clone());
        }
    }
    Ok(request)
}

async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn send<Io>(
    io: Io,
    request: Request<RequestBody>,
    limit: usize,
) -> Result<Fetched, FetchError>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_BLOCK)
        .handshake(TokioIo::new(io))
        .await?;
    let exchange = async move {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = read(Limited::new(body, limit), limit).await?;
        Ok(Fetched {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    };
    // The connection is driven here and nowhere else: it ends with the exchange, and with whoever waits for it.
    let (mut exchange, mut connection) = (std::pin::pin!(exchange), std::pin::pin!(connection));
    let mut open = true;
    loop {
        tokio::select! {
            done = exchange.as_mut() => return done,
            _ = connection.as_mut(), if open => open = false,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "limited by `FetchLimits::body`")]
async fn read(body: Limited<hyper::body::Incoming>, limit: usize) -> Result<Bytes, FetchError> {
    match body.collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLong { limit }),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => FetchError::Http(*error),
            Err(other) => FetchError::Connect(io::Error::other(other)),
        }),
    }
}

/// A document's headers say little.
const HEADER_BLOCK: usize = 32 * 1024;
