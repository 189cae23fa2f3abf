//! The authenticator of one route, as it is known at one listener.

use http::HeaderName;
use isthmus_exchange::{
    Authenticator, BoxFuture, Challenge, Credentials, Field, Principal, PublicDocument,
};

use super::bearer::Bearer;
use super::challenge::Challenger;
use crate::api_keys::{ApiKeyCheck, KEY_PREFIX};
use crate::certificate::CertificateCheck;
use crate::jwt::JwtCheck;
use crate::verdict::{Refusal, Verdict};

/// Asks the methods of a route, in their order.
#[derive(Debug)]
pub(super) struct RouteAuthenticator {
    pub(super) methods: Vec<Method>,
    pub(super) required_scopes: Vec<String>,
    pub(super) challenger: Challenger,
    pub(super) documents: Vec<PublicDocument>,
}

/// One way to show who one is.
#[derive(Debug)]
pub(super) enum Method {
    ApiKeys {
        check: ApiKeyCheck,
        header: Option<HeaderName>,
    },
    Jwt(JwtCheck),
    Certificate(CertificateCheck),
    /// Whoever shows nothing is let in as nobody.
    Nothing,
}

/// What a request shows.
#[derive(Clone, Copy)]
struct Shown<'a> {
    credentials: Credentials<'a>,
    bearer: Bearer<'a>,
    /// Something that could be a credential for this route.
    anything: bool,
}

impl Authenticator for RouteAuthenticator {
    fn authenticate<'a>(
        &'a self,
        credentials: Credentials<'a>,
    ) -> BoxFuture<'a, Result<Principal, Challenge>> {
        Box::pin(async move {
            match self.ask(credentials).await {
                Verdict::Known(principal) => self.with_scopes(principal),
                Verdict::Refused(refusal) => Err(self.challenger.refused(&refusal)),
                Verdict::NotMine => Err(self.challenger.nothing_shown()),
            }
        })
    }

    fn insufficient_scope(&self, scopes: &[String]) -> Challenge {
        self.challenger.insufficient_scope(scopes)
    }

    fn documents(&self) -> &[PublicDocument] {
        &self.documents
    }
}

impl RouteAuthenticator {
    async fn ask(&self, credentials: Credentials<'_>) -> Verdict {
        let shown = Shown {
            credentials,
            bearer: Bearer::of(credentials),
            anything: self.is_anything_shown(credentials),
        };
        if shown.bearer == Bearer::Unreadable {
            let why = "the `Authorization` header is not one bearer credential";
            return Verdict::Refused(Refusal::Malformed(why));
        }
        for method in &self.methods {
            match method.ask(shown).await {
                Verdict::NotMine => {}
                decided => return decided,
            }
        }
        if shown.anything {
            // Which issuers would do is in the metadata; which keys would do is nobody's business.
            Verdict::invalid("the credential is none that this route takes")
        } else {
            Verdict::NotMine
        }
    }

    fn is_anything_shown(&self, credentials: Credentials<'_>) -> bool {
        let in_header = |name| credentials.headers.field(name) != Field::Absent;
        in_header("authorization")
            || self.methods.iter().any(|method| match method {
                Method::ApiKeys {
                    header: Some(header),
                    ..
                } => in_header(header.as_str()),
                Method::Certificate(_) => credentials.certificate.is_some(),
                _ => false,
            })
    }

    fn with_scopes(&self, principal: Principal) -> Result<Principal, Challenge> {
        let has = |scope: &String| principal.scopes().contains(scope);
        if self.required_scopes.iter().all(has) {
            Ok(principal)
        } else {
            Err(self.challenger.insufficient_scope(&self.required_scopes))
        }
    }
}

impl Method {
    async fn ask(&self, shown: Shown<'_>) -> Verdict {
        match self {
            Self::ApiKeys { check, header } => match key(shown, header.as_ref()) {
                Ok(Some(key)) => check.check(key),
                Ok(None) => Verdict::NotMine,
                Err(refusal) => Verdict::Refused(refusal),
            },
            Self::Jwt(check) => match shown.bearer {
                Bearer::Token(token) if !token.starts_with(KEY_PREFIX) => {
                    check.check(token, shown.credentials.certificate).await
                }
                _ => Verdict::NotMine,
            },
            Self::Certificate(check) => match shown.credentials.certificate {
                Some(certificate) => check.check(certificate),
                None => Verdict::NotMine,
            },
            Self::Nothing if shown.anything => Verdict::NotMine,
            Self::Nothing => Verdict::Known(Principal::anonymous()),
        }
    }
}

/// The API key of a request: a bearer credential that begins like one, or whatever stands in the header for keys.
fn key<'a>(shown: Shown<'a>, header: Option<&HeaderName>) -> Result<Option<&'a str>, Refusal> {
    let bearer = match shown.bearer {
        Bearer::Token(token) if token.starts_with(KEY_PREFIX) => Some(token),
        _ => None,
    };
    let field = header.map_or(Field::Absent, |header| {
        shown.credentials.headers.field(header.as_str())
    });
    match (field, bearer) {
        (Field::Absent, bearer) => Ok(bearer),
        (Field::Text(key), None) => Ok(Some(key)),
        // Two readers could believe different ones.
        (Field::Text(_), Some(_)) => Err(Refusal::Malformed("a key comes in one header")),
        (Field::Unreadable, _) => Err(Refusal::Malformed("the header for keys is not one key")),
    }
}
