//! A request of a stateless client: headers checked against the body, then one answer or one stream.
//!
//! The reply lives in the response: when the client goes, it is dropped, and that cancels the work behind it (MS-6).

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use isthmus_exchange::{Error, ErrorKind, Reply, Step, Subject};
use isthmus_protocol::headers::{
    HeaderParameters, MCP_METHOD, MCP_NAME, MCP_PROTOCOL_VERSION, decode_value,
};
use isthmus_protocol::params::SplitParams;
use isthmus_protocol::{Era, Id, Method, object};

use super::stream::{Hold, ReplyStream};
use crate::admission::insufficient;
use crate::answer::{HttpResponse, event_stream, json, refusal, set_retry_after};
use crate::entry::Visit;
use crate::expiry::end_with;
use crate::listener::Clients;
use crate::rim::encode::{Encoded, Encoder};
use crate::rim::stateless::{Described, Sender, StatelessCall, check_envelope, prepare};

/// Answers a request that describes itself.
pub(crate) async fn post(
    visit: Visit,
    id: Id,
    method: Method,
    described: Box<Described>,
) -> HttpResponse {
    let clients = Arc::clone(&visit.listener.clients);
    let headers = &visit.parts.headers;
    let prepared = check_envelope(&described.split, |version| {
        check_header(headers, &MCP_PROTOCOL_VERSION, version)
    })
    .and_then(|()| check_header(headers, &MCP_METHOD, method.as_str()))
    .and_then(|()| {
        let sender = Sender {
            principal: visit.principal.clone(),
            address: visit.peer,
        };
        check_name(headers, &method, &described.split)?;
        prepare(&clients, sender, id.clone(), method, described)
    })
    .and_then(|call| {
        check_parameters(&visit, &call)?;
        Ok(call)
    });
    let call = match prepared {
        Ok(call) => call,
        Err(error) => return refusal(Era::Stateless, Some(&id), &error),
    };
    answer(&visit, &clients, call).await
}

async fn answer(visit: &Visit, clients: &Clients, call: StatelessCall) -> HttpResponse {
    let StatelessCall { request, encoder } = call;
    let is_listen = request.listen.is_some();
    let hold = Hold::new(HOLD);
    // Until the stage has a reply there is nothing to stream, so its time counts, but no stream begins before it.
    let mut reply = match visit.face.stage.run(request).await {
        Ok(reply) => match reply.into_ready() {
            Ok(outcome) => return whole(visit, encoder.outcome(Ok(outcome))),
            Err(running) => running,
        },
        Err(error) => return whole(visit, encoder.outcome(Err(error))),
    };
    let first = match hold.wait(first_message(&mut reply, &encoder)).await {
        Some(First::Outcome(outcome)) if !is_listen => return whole(visit, outcome),
        Some(First::Outcome(outcome)) if outcome.status != http::StatusCode::OK => {
            return whole(visit, outcome);
        }
        Some(First::Outcome(outcome)) => {
            return event_stream(ReplyStream::ended(&outcome.message));
        }
        Some(First::Event(message)) => Some(message),
        None => None,
    };
    let closing = is_listen.then(|| clients.closing().clone());
    let stream = event_stream(ReplyStream::new(
        reply,
        encoder,
        first.as_ref(),
        clients.bounds().keep_alive,
        closing,
    ));
    if is_listen {
        end_with(stream, &visit.principal)
    } else {
        stream
    }
}

enum First {
    Event(Bytes),
    Outcome(Encoded),
}

/// The first message the client would hear.
async fn first_message(reply: &mut Reply, encoder: &Encoder) -> First {
    loop {
        match reply.next().await {
            Step::Event(event) => {
                if let Some(message) = encoder.event(event) {
                    return First::Event(message);
                }
            }
            Step::Done(outcome) => return First::Outcome(encoder.outcome(outcome)),
        }
    }
}

fn whole(visit: &Visit, encoded: Encoded) -> HttpResponse {
    if let Some(scopes) = &encoded.lacking {
        return insufficient(&visit.face, scopes, encoded.message);
    }
    let mut response = json(encoded.status, encoded.message);
    set_retry_after(response.headers_mut(), encoded.retry_after);
    response
}

/// A header that must be there once and say what the body says (MS-2), compared after decoding.
fn check_header(headers: &HeaderMap, name: &http::HeaderName, expected: &str) -> Result<(), Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Err(mismatch(format!("the `{name}` header is missing")));
    };
    if values.next().is_some() {
        return Err(mismatch(format!("the `{name}` header occurs twice")));
    }
    match decode_value(value) {
        Ok(text) if text == expected => Ok(()),
        Ok(_) => Err(mismatch(format!(
            "the `{name}` header and the body disagree"
        ))),
        Err(error) => {
            Err(mismatch(format!("the `{name}` header cannot be decoded")).caused_by(error))
        }
    }
}

fn check_name(headers: &HeaderMap, method: &Method, split: &SplitParams) -> Result<(), Error> {
    let expected = match method {
        Method::ToolsCall | Method::PromptsGet => split.name.as_deref(),
        Method::ResourcesRead => split.uri.as_deref(),
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => split.task_id.as_deref(),
        _ => return Ok(()),
    };
    expected.map_or(Ok(()), |name| check_header(headers, &MCP_NAME, name))
}

/// Mirrored tool parameters (MS-3). The tool's definition is looked up as its caller sees it.
fn check_parameters(visit: &Visit, call: &StatelessCall) -> Result<(), Error> {
    let request = &call.request;
    let (Method::ToolsCall, Subject::Name(name)) = (&request.method, &request.subject) else {
        return Ok(());
    };
    let Some(definition) = visit.face.tools.definition(name, &request.caller) else {
        return Ok(());
    };
    // Reading a schema costs more than all the rest; few tools have the annotation.
    if !definition.as_str().contains("x-mcp-header") && !definition.as_str().contains("\\u") {
        return Ok(());
    }
    let Ok(parameters) = HeaderParameters::from_tool(&definition) else {
        return Ok(());
    };
    let arguments = object::member(&request.params, "arguments");
    parameters
        .check(&visit.parts.headers, arguments.as_ref())
        .map_err(|error| mismatch(error.to_string()))
}

fn mismatch(message: String) -> Error {
    Error::new(ErrorKind::HeaderMismatch, message)
}

/// How long the status waits for the first message: a late error still gets its right status (digest §3.8).
const HOLD: std::time::Duration = std::time::Duration::from_secs(5);
