//! Ties a backend's `requestState` to the request and the principal it was given for.
//!
//! A backend's state is opaque and may carry authority, so a client must not be able to replay it against another backend,
//! under another identity, or with other parameters (MS-19, digest §3.4). It travels sealed, with all of that.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use isthmus_exchange::{
    Attachment, BackendName, Continuation, Error, InputRequired, ParkId, PrincipalId, Request,
};
use isthmus_protocol::object::member;
use isthmus_protocol::{Method, RawJson};
use isthmus_seal::{Purpose, SealKeys};
use serde::{Deserialize, Serialize};

/// How long a user may think.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What was asked, and of whom: a retry must ask the same.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    method: Method,
    /// As the client wrote them.
    params: RawJson,
    backend: BackendName,
    principal: PrincipalId,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    backend: String,
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

impl Asked {
    /// What `request` asks of `backend`; `None` if its method knows no questions, or its caller is asked in place.
    pub(crate) fn of(request: &Request, backend: &BackendName) -> Option<Self> {
        let interactive = matches!(
            request.method,
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
        );
        (interactive && request.caller.attachment == Attachment::Detached).then(|| Self {
            method: request.method.clone(),
            params: request.params.clone(),
            backend: backend.clone(),
            principal: request.caller.principal.id().clone(),
        })
    }

    /// Of method, subject and arguments, as text: a client repeats what it sent.
    fn digest(&self) -> String {
        let mut text = self.method.as_str().as_bytes().to_vec();
        for key in ["name", "uri", "arguments"] {
            let value = member(&self.params, key);
            text.push(0);
            text.extend_from_slice(value.as_ref().map_or(&[][..], RawJson::as_bytes));
        }
        digest(&SHA256, &text)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The questions as a client gets them, with a state of ours.
    pub(crate) fn seal(&self, keys: &SealKeys, required: InputRequired) -> InputRequired {
        let sealed = Sealed {
            backend: self.backend.as_str().to_owned(),
            digest: self.digest(),
            expires: now() + LIFETIME.as_secs(),
            goes_on: required.state.into(),
        };
        let text = RawJson::from_serialize(&sealed);
        let state = keys.seal(
            Purpose::RequestState,
            self.principal.as_str(),
            text.as_bytes(),
        );
        InputRequired {
            requests: required.requests,
            state: Some(Continuation::Opaque(state)),
        }
    }

    /// The backend's own state from what a retry repeats.
    ///
    /// # Errors
    ///
    /// Invalid parameters if it was not given to this principal for this very request, or too long ago.
    pub(crate) fn unseal(
        &self,
        keys: &SealKeys,
        state: &str,
    ) -> Result<Option<Continuation>, Error> {
        let foreign = || {
            Error::invalid_params(
                "this `requestState` was not given for this request; send the request anew",
            )
        };
        let text = keys
            .unseal(Purpose::RequestState, self.principal.as_str(), state)
            .map_err(|error| foreign().caused_by(error))?;
        let sealed: Sealed =
            serde_json::from_slice(&text).map_err(|error| foreign().caused_by(error))?;
        if sealed.backend != self.backend.as_str() || sealed.digest != self.digest() {
            return Err(foreign());
        }
        if sealed.expires < now() {
            return Err(Error::invalid_params(
                "this `requestState` has expired; send the request anew",
            ));
        }
        Ok(sealed.goes_on.into_continuation())
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use isthmus_exchange::Principal;

    use super::*;

    fn asked(subject: &str, backend: &str, arguments: &str) -> Asked {
        let params = format!(r#"{{"name":"t","arguments":{arguments}}}"#);
        Asked {
            method: Method::ToolsCall,
            params: RawJson::parse(params).unwrap(),
            backend: BackendName::parse(backend).unwrap(),
            principal: Principal::authenticated("test", "", subject, "")
                .id()
                .clone(),
        }
    }

    #[test]
    fn a_state_opens_for_its_own_principal_backend_and_parameters_only() {
        let keys = SealKeys::generate();
        let anna = asked("anna", "b", "{}");
        let required = InputRequired {
            requests: None,
            state: Some(Continuation::Opaque("inner".to_owned())),
        };
        let Some(Continuation::Opaque(state)) = anna.seal(&keys, required).state else {
            panic!("not sealed")
        };
        assert_eq!(
            anna.unseal(&keys, &state).unwrap(),
            Some(Continuation::Opaque("inner".to_owned()))
        );
        let others = [
            asked("bert", "b", "{}"),
            asked("anna", "c", "{}"),
            asked("anna", "b", "[]"),
        ];
        for other in others {
            assert!(other.unseal(&keys, &state).is_err(), "{other:?}");
        }
        assert!(anna.unseal(&SealKeys::generate(), &state).is_err());
    }
}
