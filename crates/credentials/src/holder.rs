//! Whose a credential is.

use isthmus_exchange::{Principal, PrincipalId};
use isthmus_protocol::object;

/// Whose a credential is: part of the key of every conversation, so that none is used for two.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The operator: for what the gateway asks by itself, and for everybody where callers have no credentials of their own.
    Operator,
    /// A caller.
    Caller(CallersHolder),
}

/// A caller as far as credentials tell callers apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallersHolder {
    principal: PrincipalId,
    /// What the caller's own token may do, and through which client it was got: two tokens of one principal that differ in
    /// this get different tokens in exchange. Empty where only the principal counts.
    reach: Vec<String>,
}

impl Holder {
    /// A caller whose own token does not matter.
    #[must_use]
    pub fn principal(principal: &Principal) -> Self {
        Self::Caller(CallersHolder {
            principal: principal.id().clone(),
            reach: Vec::new(),
        })
    }

    /// A caller with a token that has this reach.
    #[must_use]
    pub fn bearer(principal: &Principal) -> Self {
        let mut reach = principal.scopes().to_vec();
        reach.sort_unstable();
        for claim in ["azp", "client_id"] {
            let claims = principal.claims();
            let client = claims.and_then(|claims| object::string_member(claims, claim));
            // No scope has a space in it.
            reach.extend(client.map(|client| format!("{claim} {client}")));
        }
        Self::Caller(CallersHolder {
            principal: principal.id().clone(),
            reach,
        })
    }

    /// The caller's principal; `None` for the operator.
    #[must_use]
    pub const fn principal_id(&self) -> Option<&PrincipalId> {
        match self {
            Self::Operator => None,
            Self::Caller(caller) => Some(&caller.principal),
        }
    }
}

#[cfg(test)]
mod tests {
    use isthmus_protocol::RawJson;

    use super::*;

    #[test]
    fn a_token_that_may_do_less_has_another_holder() {
        let anna = || Principal::authenticated("jwt", "i", "anna", "");
        let scoped = |scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
            Holder::bearer(&anna().with_scopes(scopes))
        };
        assert_eq!(scoped(&["a", "b"]), scoped(&["b", "a"]));
        assert_ne!(scoped(&["a", "b"]), scoped(&["a"]));
        let of_client = |claims: &str| {
            let claims = RawJson::parse(claims.to_owned()).unwrap();
            Holder::bearer(&anna().with_claims(claims))
        };
        assert_ne!(of_client(r#"{"azp":"x"}"#), of_client(r#"{"azp":"y"}"#));
        assert_eq!(of_client(r#"{"iat":1}"#), of_client(r#"{"iat":2}"#));
        assert_eq!(Holder::principal(&anna()), of_client("{}"));
        assert_ne!(Holder::principal(&anna()), Holder::Operator);
    }
}
