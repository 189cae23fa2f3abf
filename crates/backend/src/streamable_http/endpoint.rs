//! Where a backend listens, and how one HTTP request reaches it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use isthmus_config::Secret;
use isthmus_credentials::{Pass, Verdict};
use isthmus_egress::{Client, EgressError, RequestBody, ResponseBody};
use isthmus_exchange::{BackendName, Error, Fault};
use isthmus_protocol::RawJson;
use tokio::runtime::Handle;

use super::failure::{self, Failure};
use crate::questions::Habit;

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
    habit: Habit,
    /// Shown with every request.
    pass: Option<Pass>,
}

/// Why no response came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAnswered {
    /// The backend could not be reached, or broke off.
    #[error(transparent)]
    Egress(EgressError),
    /// There is nothing to show to it, or it wants something else: the request was not taken.
    #[error(transparent)]
    Credentials(Error),
}

impl NotAnswered {
    /// Whether nothing was sent.
    fn never_left(&self) -> bool {
        matches!(self, Self::Egress(error) if error.never_left())
    }
}

impl Endpoint {
    /// Checks the settings; opens nothing.
    ///
    /// # Errors
    ///
    /// An operator's error if there is no URL, or a header cannot be sent.
    pub(crate) fn new(settings: EndpointSettings) -> Result<Arc<Self>, Error> {
        let backend = settings.backend;
        let headers = request_headers(&backend, settings.headers)?;
        if settings.urls.is_empty() {
            let text = format!("`{backend}` has no URL");
            return Err(failure::unavailable(&backend, text).with_fault(Fault::Operator));
        }
        Ok(Arc::new(Self {
            backend,
            urls: settings.urls.into(),
            turn: AtomicUsize::new(0),
            headers,
            client: settings.client,
            background: settings.background,
            client_info: settings.client_info,
            limits: settings.limits,
            habit: Habit::default(),
            pass: None,
        }))
    }

    /// The same endpoint, to which `pass` is shown.
    pub(crate) fn showing(&self, pass: Option<Pass>) -> Arc<Self> {
        Arc::new(Self {
            backend: self.backend.clone(),
            urls: self.urls.clone(),
            turn: AtomicUsize::new(self.turn.load(Ordering::Relaxed)),
            headers: self.headers.clone(),
            client: self.client.clone(),
            background: self.background.clone(),
            client_info: self.client_info.clone(),
            limits: self.limits,
            habit: self.habit.clone(),
            pass,
        })
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

    /// How the backend is known to ask.
    pub(crate) fn habit(&self) -> Habit {
        self.habit.clone()
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

    /// The URL that is configured first.
    pub(crate) fn first_url(&self) -> &Uri {
        &self.urls[0] // There is one: `new` saw to it.
    }

    /// Whether answers may be for one caller only: what is shown is that caller's.
    pub(crate) fn acts_for_caller(&self) -> bool {
        self.pass.as_ref().is_some_and(Pass::is_a_callers)
    }

    /// Posts `body` to `url` and waits for the head of the response.
    pub(crate) async fn post(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, NotAnswered> {
        self.send(http::Method::POST, url, headers, body).await
    }

    /// Posts `body` to the next URL in turn that can be reached: replicas of a stateless backend are equal.
    pub(crate) async fn post_in_turn(
        &self,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, Failure> {
        let first = match self.urls.len() {
            1 => 0,
            count => self.turn.fetch_add(1, Ordering::Relaxed) % count,
        };
        let (_, response) = self.post_from(first, headers, body).await?;
        Ok(response)
    }

    /// Posts `body` to the URL from the one at `first` on that can be reached, and says which it was.
    ///
    /// Another URL is tried only when nothing was sent to the one before.
    pub(crate) async fn post_from(
        &self,
        first: usize,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(&Uri, Response<ResponseBody>), Failure> {
        let (before, after) = self.urls.split_at(first);
        let mut left = self.urls.len();
        for url in after.iter().chain(before) {
            left -= 1;
            match self.post(url, headers.clone(), body.clone()).await {
                Ok(response) => return Ok((url, response)),
                Err(error) if left > 0 && error.never_left() => {
                    tracing::debug!(backend = %self.backend, %error, "trying the next replica");
                }
                Err(error) => return Err(Failure::not_answered(&self.backend, error)),
            }
        }
        Err(Failure::refused(Error::internal(
            "an endpoint without a URL",
        )))
    }

    /// Sends one request of any method, with what is to be shown. One that is refused for what was shown is sent once more
    /// if something else can be shown.
    pub(crate) async fn send(
        &self,
        method: http::Method,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, NotAnswered> {
        let Some(pass) = &self.pass else {
            let sent = self.send_as_is(method, url, headers, body).await;
            return sent.map_err(NotAnswered::Egress);
        };
        let mut shown = pass.show().await.map_err(NotAnswered::Credentials)?;
        for again in [false, true] {
            let mut headers = headers.clone();
            shown.put_into(&mut headers);
            let sent = self.send_as_is(method.clone(), url, headers, body.clone());
            let response = sent.await.map_err(NotAnswered::Egress)?;
            let status = response.status();
            if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(response);
            }
            match pass.refused(&shown, status, response.headers(), again) {
                Verdict::Stands => return Ok(response),
                Verdict::GiveUp(error) => return Err(NotAnswered::Credentials(error)),
                Verdict::Retry => {
                    drop(response);
                    let instead = pass.show_instead(&shown).await;
                    shown = instead.map_err(NotAnswered::Credentials)?;
                }
            }
        }
        // Never: the second answer stands, or is given up on.
        let text = "a request was refused and sent again without end";
        Err(NotAnswered::Credentials(Error::internal(text)))
    }

    async fn send_as_is(
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

/// What every request carries: who we are, the configured headers, and the types of bodies.
fn request_headers(
    backend: &BackendName,
    configured: Vec<(HeaderName, Secret)>,
) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::with_capacity(configured.len() + 8);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("isthmus/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, secret) in configured {
        let refused = |what: &str| {
            let text = format!("the header `{name}` for `{backend}` {what}");
            failure::unavailable(backend, text).with_fault(Fault::Operator)
        };
        if OF_THE_CONNECTION.contains(&name) {
            return Err(refused("belongs to the connection and cannot be set"));
        }
        let mut value = HeaderValue::from_str(secret.expose())
            .map_err(|error| refused("has characters that cannot be sent").caused_by(error))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("application/json, text/event-stream"),
    );
    Ok(headers)
}

/// Headers that say how a message is framed: a false one would break the connection, or worse.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("backend", &self.backend)
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}
