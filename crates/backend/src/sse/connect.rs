//! Opens the stream, finds the address to post to, and carries messages both ways.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{StatusCode, Uri};
use isthmus_exchange::{BackendName, Error, ErrorKind};
use isthmus_protocol::sse::SseEvent;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::address::resolve;
use crate::duplex::{OutgoingMessage, Pipe, PipeEnd, PipeEvent, PipeMaker};
use crate::streamable_http::{
    Endpoint, EventStream, Failure, StreamEnd, is_event_stream, misbehaved, session_gone, status,
    timed_out, unavailable,
};

/// Opens a pipe to the backend at the endpoint's first URL.
///
/// Its tasks run on the background runtime and end by themselves when the pipe is closed or dropped, or the stream is
/// lost.
///
/// # Errors
///
/// `BackendUnavailable`, `BackendMisbehaved` or `TimedOut`.
pub(crate) async fn connect(endpoint: &Arc<Endpoint>) -> Result<Pipe, Error> {
    // The stream lives long: its connection belongs to the background runtime from its beginning.
    let opening = endpoint.background().spawn(open(Arc::clone(endpoint)));
    let (stream, address) = AbortOnDropHandle::new(opening)
        .await
        .map_err(Error::internal)??;
    let backend = endpoint.backend().clone();
    let (outgoing, to_send) = mpsc::channel(QUEUE);
    let (arrived, mut incoming) = mpsc::channel(QUEUE);
    let (end, maker) = PipeEnd::new();
    let posting = post_all(Arc::clone(endpoint), address, to_send, arrived.clone());
    endpoint
        .background()
        .spawn(run(backend.clone(), stream, arrived, posting, maker));
    let incoming = futures_util::stream::poll_fn(move |context| incoming.poll_recv(context));
    Ok(Pipe {
        backend,
        outgoing,
        incoming: Box::pin(incoming),
        end,
    })
}

/// Whether the endpoint's first URL serves HTTP+SSE: a GET brings an `endpoint` event (E-3).
pub(crate) async fn is_offered(endpoint: &Arc<Endpoint>) -> bool {
    open(Arc::clone(endpoint)).await.is_ok()
}

/// Opens the stream and reads up to the address.
async fn open(endpoint: Arc<Endpoint>) -> Result<(EventStream, Uri), Error> {
    let limit = endpoint.limits().open;
    tokio::time::timeout(limit, open_unlimited(&endpoint))
        .await
        .unwrap_or_else(|_| {
            Err(timed_out(
                endpoint.backend(),
                "name its address on the event stream",
                limit,
            ))
        })
}

async fn open_unlimited(endpoint: &Endpoint) -> Result<(EventStream, Uri), Error> {
    let backend = endpoint.backend();
    let url = endpoint.first_url();
    let sent = endpoint
        .send(
            http::Method::GET,
            url,
            endpoint.stream_headers(),
            Bytes::new(),
        )
        .await;
    let response = sent.map_err(|error| Failure::not_answered(backend, error).error)?;
    if !response.status().is_success() {
        return Err(status(backend, response.status(), response.headers()));
    }
    if !is_event_stream(response.headers()) {
        return Err(misbehaved(
            backend,
            format!("`{backend}` answers GET with something else than an event stream"),
        ));
    }
    let mut stream = EventStream::new(response.into_body(), endpoint.limits().event);
    loop {
        let event = stream.next().await.map_err(|end| lost(backend, end))?;
        if event.event.as_deref() == Some("endpoint") {
            let text = String::from_utf8_lossy(&event.data);
            let address = resolve(url, &text).map_err(|error| {
                let what = format!("`{backend}` names an address that is not used: {error}");
                misbehaved(backend, what)
            })?;
            return Ok((stream, address));
        }
    }
}

/// Carries messages until the pipe is closed, the stream ends, or nobody reads any more.
async fn run(
    backend: BackendName,
    stream: EventStream,
    arrived: mpsc::Sender<Result<PipeEvent, Error>>,
    posting: impl Future<Output = ()>,
    maker: PipeMaker,
) {
    let reading = async {
        if let Err(end) = read_all(stream, &arrived).await {
            let error = lost(&backend, end);
            // Nobody reads any more if this fails.
            let _ = arrived.send(Err(error)).await;
        }
    };
    tokio::select! {
        () = maker.closing.cancelled() => {}
        () = reading => {}
        // Ends when the conversation gives up its side; the stream has nobody to speak to then.
        () = posting => {}
    }
    maker.closing.cancel();
    maker.ended.cancel();
}

/// Passes messages on. Ends well only if nobody wants them any more.
async fn read_all(
    mut stream: EventStream,
    arrived: &mpsc::Sender<Result<PipeEvent, Error>>,
) -> Result<(), StreamEnd> {
    loop {
        let SseEvent { event, data, .. } = stream.next().await?;
        let is_message = event.as_deref().is_none_or(|event| event == "message");
        if is_message
            && !data.is_empty()
            && arrived.send(Ok(PipeEvent::Message(data))).await.is_err()
        {
            return Ok(());
        }
    }
}

/// Posts messages in order. One that is not answered soon does not hold up the next.
async fn post_all(
    endpoint: Arc<Endpoint>,
    address: Uri,
    mut to_send: mpsc::Receiver<OutgoingMessage>,
    arrived: mpsc::Sender<Result<PipeEvent, Error>>,
) {
    let headers = endpoint.post_headers().clone();
    let mut slow = JoinSet::new();
    while let Some(message) = to_send.recv().await {
        while slow.try_join_next().is_some() {}
        if slow.len() >= SLOW_POSTS {
            slow.join_next().await;
        }
        let posting = post(
            Arc::clone(&endpoint),
            address.clone(),
            headers.clone(),
            message,
            arrived.clone(),
        );
        let mut posting = Box::pin(posting);
        if tokio::time::timeout(IN_ORDER, posting.as_mut())
            .await
            .is_err()
        {
            slow.spawn(posting);
        }
    }
}

async fn post(
    endpoint: Arc<Endpoint>,
    address: Uri,
    headers: HeaderMap,
    message: OutgoingMessage,
    arrived: mpsc::Sender<Result<PipeEvent, Error>>,
) {
    let backend = endpoint.backend();
    let error = match endpoint.post(&address, headers, message.text).await {
        Ok(response) if response.status().is_success() => {
            // Whatever it says, the response comes on the stream.
            EventStream::new(response.into_body(), 0).finish();
            return;
        }
        // The session was on the stream; who is asked to post to another one knows nothing of it.
        Ok(response) if response.status() == StatusCode::NOT_FOUND => session_gone(backend),
        Ok(response) => status(backend, response.status(), response.headers()),
        Err(error) => Failure::not_answered(backend, error).error,
    };
    tracing::debug!(%backend, %error, "a message was not taken");
    let is_gone = matches!(error.kind(), ErrorKind::SessionUnknown);
    let end = is_gone.then(|| Err(unavailable(backend, error.message().to_owned())));
    let request = message.request;
    let undelivered = request.map(|request| Ok(PipeEvent::Undelivered { request, error }));
    for said in undelivered.into_iter().chain(end) {
        // Nobody reads any more if this fails.
        let _ = arrived.send(said).await;
    }
}

fn lost(backend: &BackendName, end: StreamEnd) -> Error {
    match end {
        StreamEnd::Unreadable(error) => misbehaved(
            backend,
            format!("`{backend}` sent an event stream that cannot be read"),
        )
        .caused_by(error),
        end => {
            unavailable(backend, format!("the event stream of `{backend}` ended")).caused_by(end)
        }
    }
}

/// Messages that wait in each direction.
const QUEUE: usize = 64;
/// How long a message waits for the one before it to be taken.
const IN_ORDER: Duration = Duration::from_millis(500);
/// Messages that were not answered in time and are still on their way.
const SLOW_POSTS: usize = 64;
