//! A message of a stateless client: everything it needs is in it (26:basic/index).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use isthmus_exchange::{
    Attachment, Caller, ClientCapabilities, Continuation, Error, ErrorKind, ListenFilter,
    Principal, Request, Retry, Wants,
};
use isthmus_protocol::params::{ParamsError, SplitParams, meta_key};
use isthmus_protocol::{Id, LogLevel, Method, RawJson, Revision, object};

use super::encode::Encoder;
use super::{subject, tasks};
use crate::listener::Clients;

/// A request of the core, and how to write what comes of it.
#[derive(Debug)]
pub(crate) struct StatelessCall {
    pub(crate) request: Request,
    pub(crate) encoder: Encoder,
}

/// What the parameters of a request say about the era of who sent it.
#[derive(Debug)]
pub(crate) enum Reading {
    /// It describes itself.
    Stateless(Box<Described>),
    /// It does not. The parameters, or what is wrong with them, for a session if there is one.
    Other(Box<Result<SplitParams, ParamsError>>),
}

/// The parameters of a request that describes itself.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) split: SplitParams,
    /// What is wrong with the parameters of the method; the envelope can be read.
    wrong: Option<ParamsError>,
}

/// Who sent a message.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) principal: Principal,
    pub(crate) address: Option<SocketAddr>,
}

impl Described {
    /// The parameters as a session takes them: it has an envelope of its own.
    pub(crate) fn into_stateful(self) -> Result<SplitParams, ParamsError> {
        match self.wrong {
            None => Ok(self.split),
            Some(error) => Err(error),
        }
    }
}

/// Takes parameters apart and tells the eras from each other (E-5).
pub(crate) fn read(method: &Method, params: Option<&RawJson>) -> Reading {
    let wrong = match SplitParams::parse(method, params) {
        Ok(split) if split.has_envelope() => {
            return Reading::Stateless(Box::new(Described { split, wrong: None }));
        }
        Ok(split) => return Reading::Other(Box::new(Ok(split))),
        Err(error) => error,
    };
    // Who asks wrongly is still answered in its own era, and only after what stands before the parameters was right:
    // without a method, nothing but the envelope is read.
    match SplitParams::parse(&Method::Other("".into()), params) {
        Ok(split) if split.has_envelope() => Reading::Stateless(Box::new(Described {
            split,
            wrong: Some(wrong),
        })),
        _ => Reading::Other(Box::new(Err(wrong))),
    }
}

/// Checks that the envelope is complete (MS-4) and that its revision is served.
///
/// `mismatch` is what the headers had to say against it. An incomplete envelope is complained of first: there is nothing
/// then to compare the headers with; a revision that is not served last, for the header must agree with it all the same.
pub(crate) fn check_envelope(
    split: &SplitParams,
    mismatch: impl FnOnce(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(version) = split.meta.protocol_version.as_deref() else {
        return Err(missing(meta_key::PROTOCOL_VERSION));
    };
    if split.meta.client_capabilities.is_none() {
        return Err(missing(meta_key::CLIENT_CAPABILITIES));
    }
    mismatch(version)?;
    if version != Revision::V2026_07_28.as_str() {
        return Err(unsupported(version));
    }
    Ok(())
}

/// Makes a request of the core. The envelope has been checked.
///
/// # Errors
///
/// `MethodNotFound`, or wrong parameters.
pub(crate) fn prepare(
    clients: &Clients,
    sender: Sender,
    id: Id,
    method: Method,
    described: Box<Described>,
) -> Result<StatelessCall, Error> {
    if !is_served(&method) {
        return Err(method_not_found(&method));
    }
    let Described { mut split, wrong } = *described;
    let log_level = split.meta.log_level.take().map(|level| parse_level(&level));
    let log_level = log_level.transpose()?;
    let capabilities = match split.meta.client_capabilities.take() {
        Some(declared) => ClientCapabilities::parse(declared).map_err(|error| {
            let message = format!("`{}` has the wrong shape", meta_key::CLIENT_CAPABILITIES);
            Error::new(ErrorKind::IncompleteEnvelope, message).caused_by(error)
        })?,
        None => ClientCapabilities::none(),
    };
    if tasks::is_of_extension(&method) {
        tasks::check_declared(&capabilities)?;
    }
    if let Some(error) = wrong {
        return Err(params_error(&error));
    }
    let capabilities = Arc::new(capabilities);
    let listen = if method == Method::SubscriptionsListen {
        Some(parse_filter(&split.params, &capabilities)?)
    } else {
        None
    };
    let progress_token = split.meta.progress_token.take();
    let caller = Caller {
        scope: clients.principal_scope(&sender.principal),
        principal: sender.principal,
        revision: Revision::V2026_07_28,
        capabilities: Arc::clone(&capabilities),
        client_info: split.meta.client_info.take(),
        attachment: Attachment::Detached,
        address: sender.address,
    };
    let retry = Retry {
        state: split.request_state.take().map(Continuation::Opaque),
        responses: split.input_responses.take(),
    };
    let request = Request {
        subject: subject::of(&mut split),
        wants: Wants {
            progress: progress_token.is_some(),
            log_level,
        },
        retry: Some(retry).filter(|retry| retry.state.is_some() || retry.responses.is_some()),
        listen,
        trace: subject::trace(&mut split.meta),
        ..Request::new(method.clone(), split.params, Arc::new(caller))
    };
    let encoder = Encoder::stateless(
        id,
        method,
        progress_token,
        log_level,
        capabilities,
        clients.server_info().clone(),
    );
    Ok(StatelessCall { request, encoder })
}

/// Wrong parameters; 400 if it is the envelope that is wrong.
pub(crate) fn params_error(error: &ParamsError) -> Error {
    let envelope = match error {
        ParamsError::WrongType { member, .. } | ParamsError::Twice(member) => {
            *member == "_meta" || member.starts_with("io.modelcontextprotocol/")
        }
        ParamsError::NotAnObject => true,
        ParamsError::Missing(_) => false,
    };
    let kind = if envelope {
        ErrorKind::IncompleteEnvelope
    } else {
        ErrorKind::InvalidParams
    };
    Error::new(kind, error.to_string())
}

/// The complaint about an envelope that is not there at all.
pub(crate) fn no_envelope() -> Error {
    missing(meta_key::PROTOCOL_VERSION)
}

pub(crate) fn method_not_found(method: &Method) -> Error {
    let name: String = method.as_str().chars().take(100).collect();
    Error::new(
        ErrorKind::MethodNotFound,
        format!("the method `{name}` is not served here"),
    )
}

pub(crate) fn parse_level(text: &str) -> Result<LogLevel, Error> {
    text.parse()
        .map_err(|error: isthmus_protocol::UnknownLogLevel| {
            Error::invalid_params("the log level must be one of RFC 5424's names").caused_by(error)
        })
}

fn missing(key: &str) -> Error {
    Error::new(
        ErrorKind::IncompleteEnvelope,
        format!("`params._meta` needs `{key}`"),
    )
}

fn unsupported(version: &str) -> Error {
    let requested: String = version.chars().take(100).collect();
    let message = format!("revision `{requested}` is not served in this way");
    Error::new(ErrorKind::UnsupportedRevision { requested }, message)
}

/// What a stateless client may ask. Methods of stateful sessions are as unknown as any other (digest §1.2).
const fn is_served(method: &Method) -> bool {
    matches!(
        method,
        Method::ServerDiscover
            | Method::ToolsList
            | Method::ToolsCall
            | Method::PromptsList
            | Method::PromptsGet
            | Method::ResourcesList
            | Method::ResourcesTemplatesList
            | Method::ResourcesRead
            | Method::CompletionComplete
            | Method::SubscriptionsListen
    ) || tasks::is_of_extension(method)
}

/// Reads what a `subscriptions/listen` wants to hear. Kinds that nobody here offers are left out of the
/// acknowledgement, not refused (MS-21).
fn parse_filter(
    params: &RawJson,
    capabilities: &ClientCapabilities,
) -> Result<ListenFilter, Error> {
    let wanted = object::member(params, "notifications")
        .filter(RawJson::is_object)
        .ok_or_else(|| Error::invalid_params("`notifications` must be an object"))?;
    let flag = |key: &str| match object::member(&wanted, key) {
        None => Ok(false),
        Some(value) => value.read::<bool>().map_err(|error| {
            Error::invalid_params(format!("`{key}` must be true or false")).caused_by(error)
        }),
    };
    let uris = match object::member(&wanted, "resourceSubscriptions") {
        None => BTreeSet::new(),
        Some(uris) => uris.read().map_err(|error| {
            Error::invalid_params("`resourceSubscriptions` must be a list of URIs").caused_by(error)
        })?,
    };
    if uris.len() > MOST_URIS {
        return Err(Error::invalid_params(format!(
            "`resourceSubscriptions` may have {MOST_URIS} entries"
        )));
    }
    Ok(ListenFilter {
        tools: flag("toolsListChanged")?,
        prompts: flag("promptsListChanged")?,
        resources: flag("resourcesListChanged")?,
        uris,
        tasks: tasks::listened_to(&wanted, capabilities)?,
        follow_scope: false,
    })
}

/// Resources that one listen stream may follow.
const MOST_URIS: usize = 1000;
