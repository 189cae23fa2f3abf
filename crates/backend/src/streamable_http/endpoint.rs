//! Where a backend listens, and how one HTTP request reaches it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use isthmus_config::Secret;
use isthmus_egress::{Client, EgressError, RequestBody, ResponseBody};
use isthmus_exchange::{BackendName, Error, Fault};
use isthmus_protocol::RawJson;
use tokio::runtime::Handle;

use super::failure::{self, Failure};

/// What an [`Endpoint`] is made from.
#[derive(Debug)]
pub(crate) struct EndpointSettings {
    /// Whose endpoint it is; names the backend in errors.
    pub(crate) backend: BackendName,
    /// Absolute URLs of equal replicas; at least one.
    pub(crate) urls: Vec<Uri>,
    /// Sent with every request. Headers of the protocol win over them.
    pub(crate) headers: Vec<(HeaderName, Secret)>,
    /// The outbound connector.
    pub(crate) client: Client,
    /// Where streams that belong to no call are read, and what is sent after a caller has left.
    pub(crate) background: Handle,
    /// `clientInfo` of the gateway.
    pub(crate) client_info: RawJson,
    /// How much is read.
    pub(crate) limits: Limits,
}

/// How much is read from a backend, and how long opening may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one JSON body.
    pub(crate) body: usize,
    /// Bytes of one event of a stream.
    pub(crate) event: usize,
    /// Time for a handshake, a probe, the acknowledgement of a listen.
    pub(crate) open: Duration,
    /// The pause before a lost stream is opened again, unless the backend asks for another (LC-7). It grows with failures.
    pub(crate) pause: Duration,
}

/// One HTTP backend: its URLs, its static headers, the connector.
pub(crate) struct Endpoint {
    backend: BackendName,
    urls: Box<[Uri]>,
    turn: AtomicUsize,
    headers: HeaderMap,
    client: Client,
    background: Handle,
    client_info: RawJson,
    limits: Limits,
}

impl Endpoint {
    /// Checks the headers; opens nothing.
    ///
    /// # Errors
    ///
    /// An operator's error if the value of a header cannot be sent.
    pub(crate) fn new(settings: EndpointSettings) -> Result<Arc<Self>, Error> {
        let EndpointSettings {
            backend,
            urls,
            headers: configured,
            client,
            background,
            client_info,
            limits,
        } = settings;
        let mut headers = HeaderMap::with_capacity(configured.len() + 8);
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("isthmus/", env!("CARGO_PKG_VERSION"))),
        );
        for (name, secret) in configured {
            let mut value = HeaderValue::from_str(secret.expose()).map_err(|error| {
                let text = format!("the value of the header `{name}` for `{backend}` has characters that cannot be sent");
                failure::unavailable(&backend, text).with_fault(Fault::Operator).caused_by(error)
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        Ok(Arc::new(Self {
            backend,
            urls: urls.into(),
            turn: AtomicUsize::new(0),
            headers,
            client,
            background,
            client_info,
            limits,
        }))
    }

    /// Whose endpoint it is.
    pub(crate) const fn backend(&self) -> &BackendName {
        &self.backend
    }

    /// The background runtime.
    pub(crate) const fn background(&self) -> &Handle {
        &self.background
    }

    /// `clientInfo` of the gateway.
    pub(crate) const fn client_info(&self) -> &RawJson {
        &self.client_info
    }

    /// How much is read.
    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }

    /// The headers of a POST, for a conversation to add its own to.
    pub(crate) const fn post_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The headers of a GET that opens an event stream, or of a DELETE.
    pub(crate) fn stream_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.remove(CONTENT_TYPE);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers
    }

    /// All URLs, in configured order.
    pub(crate) const fn urls(&self) -> &[Uri] {
        &self.urls
    }

    /// Posts `body` to `url` and waits for the head of the response.
    pub(crate) async fn post(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, EgressError> {
        self.send(http::Method::POST, url, headers, body).await
    }

    /// Posts `body` to the first URL in turn that can be reached: replicas of a stateless backend are equal.
    ///
    /// Another URL is tried only when nothing was sent to the one before.
    pub(crate) async fn post_in_turn(
        &self,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, Failure> {
        let count = self.urls.len();
        let first = if count == 1 {
            0
        } else {
            self.turn.fetch_add(1, Ordering::Relaxed)
        };
        for attempt in 1..count {
            let url = &self.urls[first.wrapping_add(attempt - 1) % count];
            match self.post(url, headers.clone(), body.clone()).await {
                Err(error) if error.never_left() => {
                    tracing::debug!(backend = %self.backend, %error, "trying the next replica");
                }
                answered => return answered.map_err(|error| Failure::egress(&self.backend, error)),
            }
        }
        let url = &self.urls[first.wrapping_add(count - 1) % count];
        self.post(url, headers, body)
            .await
            .map_err(|error| Failure::egress(&self.backend, error))
    }

    /// Sends one request of any method.
    pub(crate) async fn send(
        &self,
        method: http::Method,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, EgressError> {
        let mut request = Request::new(RequestBody::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers;
        self.client.send(request).await
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("backend", &self.backend)
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}
