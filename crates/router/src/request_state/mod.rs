//! What a client holds between the rounds of a request: our `requestState`.
//!
//! A backend's own state is opaque and may carry authority, and a park's name lets its holder answer in somebody's stead.
//! So neither is handed out as it is: a client must not be able to use it under another identity, on another route, with
//! other parameters or for ever (MS-19, trap 20). It travels sealed with all of that and with where the request went, so
//! that a retry goes there whatever the catalog says by then.

mod digest;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use isthmus_exchange::{
    BackendName, Continuation, Error, ErrorKind, InputRequired, ParkId, PrincipalId, Request,
};
use isthmus_protocol::{Method, RawJson};
use isthmus_seal::{Purpose, SealKeys};
use serde::{Deserialize, Serialize};

/// Seals and opens the states of all routes.
#[derive(Debug, Clone)]
pub(crate) struct RequestStates {
    keys: Arc<SealKeys>,
    /// How long a park waits.
    parked_for: Duration,
}

/// What was asked, and of whom: a retry must ask the same.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    route: Arc<str>,
    method: Method,
    /// As the client wrote them.
    params: RawJson,
    principal: PrincipalId,
}

/// Where a retry goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// The backend that asked.
    pub(crate) backend: BackendName,
    /// The key by which it knows what was asked for.
    pub(crate) native: String,
    /// What it gave to go on with.
    pub(crate) state: Option<Continuation>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    route: String,
    backend: String,
    native: String,
    digest: String,
    expires: u64,
    goes_on: GoesOn,
}

/// A [`Continuation`] as it is written into a token.
#[derive(Serialize, Deserialize)]
enum GoesOn {
    Anew,
    Backend(String),
    Parked { park: String, round: u32 },
    Restart(Vec<String>),
}

impl RequestStates {
    pub(crate) fn new(keys: Arc<SealKeys>, parked_for: Duration) -> Self {
        Self { keys, parked_for }
    }

    /// The keys that seal everything of ours.
    pub(crate) const fn keys(&self) -> &Arc<SealKeys> {
        &self.keys
    }

    /// The questions as a client gets them, with a state of ours that says where the request went: `backend` and what it
    /// calls the subject.
    ///
    /// # Errors
    ///
    /// `BackendMisbehaved` if there is nothing to answer and nothing to go on with (MS-18), or more of it than a client can
    /// be asked to carry.
    pub(crate) fn seal(
        &self,
        asked: &Asked,
        backend: &BackendName,
        native: &str,
        required: InputRequired,
    ) -> Result<InputRequired, Error> {
        let InputRequired { requests, state } = required;
        if requests.is_none() && state.is_none() {
            let message = format!("`{backend}` wants input and does not say which");
            return Err(misbehaved(backend, message));
        }
        let size = state.as_ref().map_or(0, size_of);
        if size > LARGEST_STATE {
            let message = format!("`{backend}` wants its client to carry {size} bytes of state");
            return Err(misbehaved(backend, message));
        }
        let lifetime = match state {
            Some(Continuation::Parked { .. }) => self.parked_for,
            _ => RELAYED_LIFETIME,
        };
        let sealed = Sealed {
            route: asked.route.as_ref().to_owned(),
            backend: backend.as_str().to_owned(),
            native: native.to_owned(),
            digest: asked.digest(),
            expires: now().saturating_add(lifetime.as_secs()),
            goes_on: state.into(),
        };
        let text = RawJson::from_serialize(&sealed);
        let principal = asked.principal.as_str();
        let token = self
            .keys
            .seal(Purpose::RequestState, principal, text.as_bytes());
        Ok(InputRequired {
            requests,
            state: Some(Continuation::Opaque(token)),
        })
    }

    /// Where a retry that repeats `token` goes on.
    ///
    /// # Errors
    ///
    /// Invalid parameters if it was not given to this principal for this very request, or too long ago. Only who it was
    /// given to learns which of the two.
    pub(crate) fn unseal(&self, asked: &Asked, token: &str) -> Result<Resumed, Error> {
        self.unseal_at(asked, token, now())
    }

    fn unseal_at(&self, asked: &Asked, token: &str, now: u64) -> Result<Resumed, Error> {
        let foreign = || {
            Error::invalid_params(
                "this `requestState` is not one that was given to you here; send the request anew, without `requestState` and `inputResponses`",
            )
        };
        if token.len() > LONGEST_TOKEN {
            return Err(foreign());
        }
        let text = self
            .keys
            .unseal(Purpose::RequestState, asked.principal.as_str(), token)
            .map_err(|error| foreign().caused_by(error))?;
        let sealed: Sealed =
            serde_json::from_slice(&text).map_err(|error| foreign().caused_by(error))?;
        let backend =
            BackendName::parse(&sealed.backend).map_err(|error| foreign().caused_by(error))?;
        if sealed.route != *asked.route {
            return Err(foreign());
        }
        if sealed.digest != asked.digest() {
            return Err(Error::invalid_params(
                "this `requestState` was given for a request with other parameters; repeat that one as it was, or send this one anew, without `requestState` and `inputResponses`",
            ));
        }
        if sealed.expires < now {
            return Err(Error::invalid_params(
                "this `requestState` has expired; send the request anew, without `requestState` and `inputResponses`",
            ));
        }
        Ok(Resumed {
            backend,
            native: sealed.native,
            state: sealed.goes_on.into_continuation(),
        })
    }
}

impl Asked {
    /// What `request`, as the client wrote it, asks on `route`; `None` if its method knows no questions (MS-18).
    pub(crate) fn of(request: &Request, route: &Arc<str>) -> Option<Self> {
        let interactive = matches!(
            request.method,
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
        );
        interactive.then(|| Self {
            route: route.clone(),
            method: request.method.clone(),
            params: request.params.clone(),
            principal: request.caller.principal.id().clone(),
        })
    }

    fn digest(&self) -> String {
        digest::of_request(&self.method, &self.params)
    }
}

impl From<Option<Continuation>> for GoesOn {
    fn from(state: Option<Continuation>) -> Self {
        match state {
            None => Self::Anew,
            Some(Continuation::Opaque(state)) => Self::Backend(state),
            Some(Continuation::Parked { park, round }) => Self::Parked {
                park: format!("{:032x}", park.0),
                round,
            },
            Some(Continuation::Restart { elicitations }) => Self::Restart(elicitations),
        }
    }
}

impl GoesOn {
    fn into_continuation(self) -> Option<Continuation> {
        match self {
            Self::Anew => None,
            Self::Backend(state) => Some(Continuation::Opaque(state)),
            // Sealed by us: it cannot be anything but what was written.
            Self::Parked { park, round } => Some(Continuation::Parked {
                park: ParkId(u128::from_str_radix(&park, 16).unwrap_or_default()),
                round,
            }),
            Self::Restart(elicitations) => Some(Continuation::Restart { elicitations }),
        }
    }
}

fn size_of(state: &Continuation) -> usize {
    match state {
        Continuation::Opaque(state) => state.len(),
        Continuation::Parked { .. } => 0,
        Continuation::Restart { elicitations } => elicitations.iter().map(String::len).sum(),
    }
}

fn misbehaved(backend: &BackendName, message: String) -> Error {
    Error::new(ErrorKind::BackendMisbehaved(backend.clone()), message)
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// How long a user may think where nothing waits here for the answer.
const RELAYED_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Bytes of a backend's own state. It travels in every retry, through everything between us and the client.
const LARGEST_STATE: usize = 64 << 10;
/// What is longer cannot be ours: a state of [`LARGEST_STATE`] that had to be escaped throughout, a key and the rest.
const LONGEST_TOKEN: usize = 1 << 20;

#[cfg(test)]
mod tests;
