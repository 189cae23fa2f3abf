//! What one holder shows to one backend.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use isthmus_exchange::{BackendName, Error, ErrorKind, Fault, Principal};

use crate::Holder;
use crate::challenge::Challenge;
use crate::tokens::Tokens;

/// What one holder shows to one backend. Cloning is cheap, and clones share what they have.
#[derive(Debug, Clone)]
pub struct Pass(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Always the same header.
    Fixed(Arc<Fixed>),
    /// A token that is renewed.
    Tokens(Arc<Tokens>),
}

#[derive(Debug)]
struct Fixed {
    backend: BackendName,
    name: HeaderName,
    value: HeaderValue,
}

/// What was shown with a request. Does not print.
#[derive(Debug, Clone)]
pub struct Shown {
    name: HeaderName,
    value: HeaderValue,
    /// Which of the holder's tokens it is.
    pub(crate) generation: u64,
}

/// What to do about a refusal.
#[derive(Debug)]
pub enum Verdict {
    /// Send the request once more, with what [`Pass::show_instead`] gives.
    Retry,
    /// Credentials will not help: this is what went wrong, as the caller is told.
    GiveUp(Error),
    /// The refusal is not about credentials: the answer stands.
    Stands,
}

impl Pass {
    pub(crate) fn fixed(backend: BackendName, name: HeaderName, value: HeaderValue) -> Self {
        Self(Kind::Fixed(Arc::new(Fixed {
            backend,
            name,
            value,
        })))
    }

    pub(crate) const fn of_tokens(tokens: Arc<Tokens>) -> Self {
        Self(Kind::Tokens(tokens))
    }

    /// What to show with the next request. Waits only if there is no token that is still good.
    ///
    /// # Errors
    ///
    /// Why there is nothing to show, as the caller is told.
    pub async fn show(&self) -> Result<Shown, Error> {
        match &self.0 {
            Kind::Fixed(fixed) => Ok(Shown {
                name: fixed.name.clone(),
                value: fixed.value.clone(),
                generation: 0,
            }),
            Kind::Tokens(tokens) => tokens.show().await,
        }
    }

    /// What to show in place of what was refused, after [`Verdict::Retry`].
    ///
    /// # Errors
    ///
    /// As [`Pass::show`].
    pub async fn show_instead(&self, refused: &Shown) -> Result<Shown, Error> {
        match &self.0 {
            Kind::Fixed(_) => self.show().await,
            Kind::Tokens(tokens) => tokens.show_instead(refused).await,
        }
    }

    /// What to do when the backend answered `status` to a request with `shown`. The answer to a request that was sent once
    /// more already, which is `again`, never leads to another one.
    pub fn refused(
        &self,
        shown: &Shown,
        status: StatusCode,
        headers: &HeaderMap,
        again: bool,
    ) -> Verdict {
        let challenge = Challenge::of(headers);
        match &self.0 {
            Kind::Fixed(fixed) if status == StatusCode::UNAUTHORIZED => {
                let backend = &fixed.backend;
                let text = format!(
                    "`{backend}` refuses the credential that is configured for it (HTTP {status})"
                );
                Verdict::GiveUp(refusal(backend, text))
            }
            Kind::Fixed(_) => Verdict::Stands,
            Kind::Tokens(tokens) => tokens.refused(shown, status, challenge, again),
        }
    }

    /// Whether what is got with it may be for one caller only.
    #[must_use]
    pub fn is_a_callers(&self) -> bool {
        match &self.0 {
            Kind::Fixed(_) => false,
            Kind::Tokens(tokens) => *tokens.holder() != Holder::Operator,
        }
    }

    /// Takes note of what the holder shows to us now.
    pub(crate) fn renew(&self, principal: &Principal) {
        if let Kind::Tokens(tokens) = &self.0 {
            tokens.renew(principal);
        }
    }

    /// Whether nobody but the table of passes has it, and it has nothing worth keeping.
    pub(crate) fn is_forgettable(&self) -> bool {
        match &self.0 {
            Kind::Fixed(_) => false,
            Kind::Tokens(tokens) => Arc::strong_count(tokens) == 1 && tokens.is_stale(),
        }
    }

    /// Whether nobody but the table of passes has it.
    pub(crate) fn is_unused(&self) -> bool {
        match &self.0 {
            Kind::Fixed(_) => false,
            Kind::Tokens(tokens) => Arc::strong_count(tokens) == 1,
        }
    }
}

impl Shown {
    pub(crate) const fn token(value: HeaderValue, generation: u64) -> Self {
        Self {
            name: AUTHORIZATION,
            value,
            generation,
        }
    }

    /// Puts it into the headers of a request, in place of what may be there.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        headers.insert(self.name.clone(), self.value.clone());
    }
}

/// A backend that wants other credentials than there are: the operator has to act.
pub(crate) fn refusal(backend: &BackendName, text: String) -> Error {
    Error::new(ErrorKind::BackendUnavailable(backend.clone()), text).with_fault(Fault::Operator)
}
