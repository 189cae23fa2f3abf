//! Where the browser comes back to: one page on this machine, for as long as a login takes (RFC 8252 §7.3).
//!
//! Any page of any site can send a browser here, so what does not belong to the login that waits is refused and forgotten.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use isthmus_credentials::{Begun, LoggedIn, LoginError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Where the browser comes back to.
#[derive(Debug)]
pub(super) struct CallbackServer {
    listener: TcpListener,
    address: SocketAddr,
    redirect: String,
}

/// What a browser brought, and where to say what has become of it.
struct Visit {
    query: String,
    reply: oneshot::Sender<Page>,
}

/// What the browser shows.
struct Page {
    status: StatusCode,
    text: &'static str,
}

impl CallbackServer {
    /// Listens on this machine only.
    pub(super) async fn bind(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            redirect: format!("http://{address}{PATH}"),
        })
    }

    /// The address of the page.
    pub(super) fn redirect(&self) -> &str {
        &self.redirect
    }

    /// Waits until a browser brings the answer to `begun`, and finishes the login with it.
    pub(super) async fn answer(self, begun: &Begun<'_>) -> Result<LoggedIn, LoginError> {
        let (visits, mut visiting) = mpsc::channel::<Visit>(1);
        let host: Arc<str> = self.address.to_string().into();
        let mut connections = JoinSet::new();
        let done = loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(serve(stream, visits.clone(), host.clone()));
                    }
                }
                Some(_) = connections.join_next() => {}
                Some(visit) = visiting.recv() => {
                    if !begun.is_answered_by(&visit.query) {
                        let _ = visit.reply.send(STRANGER);
                        continue;
                    }
                    let done = begun.finish(&visit.query).await;
                    let _ = visit.reply.send(if done.is_ok() { DONE } else { FAILED });
                    break done;
                }
            }
        };
        // The page is still on its way to the browser.
        let gone = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, gone).await;
        done
    }
}

async fn serve(stream: TcpStream, visits: mpsc::Sender<Visit>, host: Arc<str>) {
    let service = service_fn(move |request| {
        let (visits, host) = (visits.clone(), host.clone());
        async move { Ok::<_, Infallible>(respond(&answer(&request, &visits, &host).await)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a browser left");
    }
}

async fn answer(request: &Request<Incoming>, visits: &mpsc::Sender<Visit>, host: &str) -> Page {
    // Another name for this machine is a page of somebody else that has rebound its own name (S10).
    let named = request.headers().get(HOST).map(HeaderValue::as_bytes);
    let meant = named == Some(host.as_bytes());
    if request.method() != Method::GET || request.uri().path() != PATH || !meant {
        return NOTHING;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (reply, page) = oneshot::channel();
    if visits.send(Visit { query, reply }).await.is_err() {
        return NOTHING;
    }
    page.await.unwrap_or(NOTHING)
}

fn respond(page: &Page) -> Response<Full<Bytes>> {
    let text = page.text;
    let html = format!("<!doctype html><meta charset=utf-8><title>isthmus</title><p>{text}</p>\n");
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = page.status;
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in HEADERS_OF_PAGES {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const HEADERS_OF_PAGES: [(HeaderName, &str); 5] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (CACHE_CONTROL, "no-store"),
    // The address has the code in it.
    (REFERRER_POLICY, "no-referrer"),
    (CONNECTION, "close"),
];
const DONE: Page = Page {
    status: StatusCode::OK,
    text: "You are logged in. You can close this page.",
};
const FAILED: Page = Page {
    status: StatusCode::BAD_REQUEST,
    text: "The login did not succeed. The terminal says why.",
};
const STRANGER: Page = Page {
    status: StatusCode::BAD_REQUEST,
    text: "This does not belong to the login that waits here.",
};
const NOTHING: Page = Page {
    status: StatusCode::NOT_FOUND,
    text: "There is nothing here.",
};
const PATH: &str = "/callback";
/// Browsers open some that they do not use.
const MOST_CONNECTIONS: usize = 16;
const HEADERS: Duration = Duration::from_secs(10);
const LONGEST_HEAD: usize = 32 * 1024;
const LAST_WORDS: Duration = Duration::from_secs(1);
