//! A token for the backend in exchange for the caller's own (RFC 8693).

use std::sync::Arc;

use isthmus_egress::Fetcher;
use isthmus_exchange::{BackendName, BoxFuture, Error};

use crate::client::Client;
use crate::client_credentials::scopes;
use crate::discovery::Discovery;
use crate::source::{Source, Token, Want};
use crate::token_endpoint::{self, Asked};
use crate::trouble::Trouble;

/// A token for the backend in exchange for the caller's own.
#[derive(Debug)]
pub(crate) struct TokenExchange(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: BackendName,
    client: Client,
    discovery: Discovery,
    settings: isthmus_config::TokenExchange,
    fetcher: Fetcher,
}

impl TokenExchange {
    pub(crate) fn new(
        backend: BackendName,
        client: Client,
        discovery: Discovery,
        settings: &isthmus_config::TokenExchange,
        fetcher: Fetcher,
    ) -> Self {
        Self(Arc::new(Inner {
            backend,
            client,
            discovery,
            settings: settings.clone(),
            fetcher,
        }))
    }
}

impl Source for TokenExchange {
    fn obtain(&self, want: Want) -> BoxFuture<'static, Result<Token, Error>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let obtained = inner.obtain(&want).await;
            // That a caller's token is refused says nothing about the server.
            if let Err(Asked::Trouble(Trouble::Fetch { .. } | Trouble::Unreadable { .. })) =
                obtained
            {
                inner.discovery.forget().await;
            }
            obtained.map_err(|asked| asked.with(&inner.backend))
        })
    }
}

impl Inner {
    async fn obtain(&self, want: &Want) -> Result<Token, Asked> {
        let Some(subject) = &want.subject else {
            return Err(Asked::Defect(Error::internal(
                "an exchange without a token",
            )));
        };
        let metadata = want.challenge.resource_metadata.as_deref();
        let server = self.discovery.find(metadata).await?;
        let settings = &self.settings;
        let scopes = scopes(
            &settings.scopes,
            &want.challenge,
            &server,
            &want.further_scopes,
        );
        let mut fields = vec![
            ("grant_type", GRANT_TYPE),
            ("subject_token", subject.expose()),
            ("subject_token_type", settings.subject_token_type.as_str()),
        ];
        if let Some(audience) = &settings.audience {
            fields.push(("audience", audience));
        }
        if let Some(requested) = &settings.requested_token_type {
            fields.push(("requested_token_type", requested));
        }
        let granted = token_endpoint::ask(
            &self.backend,
            &self.fetcher,
            &server,
            &self.client,
            &fields,
            &scopes,
        )
        .await
        .map_err(of_caller)?;
        // It was made for the gateway, so the backend must not see it.
        if granted.is(subject.expose()) {
            return Err(Trouble::SameToken.into());
        }
        Ok(granted.token(scopes)?)
    }
}

/// Whose token the server does not like (RFC 8693 §2.2.2).
fn of_caller(asked: Asked) -> Asked {
    match asked {
        Asked::Trouble(Trouble::Refused {
            code, described, ..
        }) => {
            let of_caller = matches!(code.as_str(), "invalid_request" | "invalid_grant");
            Trouble::Refused {
                code,
                described,
                of_caller,
            }
            .into()
        }
        other => other,
    }
}

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
