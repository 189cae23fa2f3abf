//! Tokens that the gateway gets as a client of its own (RFC 6749 §4.4, `io.modelcontextprotocol/oauth-client-credentials`).

use std::sync::Arc;

use isthmus_egress::Fetcher;
use isthmus_exchange::{BackendName, BoxFuture, Error};

use crate::challenge::Challenge;
use crate::client::Client;
use crate::discovery::{Discovery, Found};
use crate::source::{Source, Token, Want};
use crate::token_endpoint::{self, Asked};

/// Tokens that the gateway gets as a client of its own.
#[derive(Debug)]
pub(crate) struct ClientCredentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: BackendName,
    client: Client,
    discovery: Discovery,
    scopes: Vec<String>,
    fetcher: Fetcher,
}

impl ClientCredentials {
    pub(crate) fn new(
        backend: BackendName,
        client: Client,
        discovery: Discovery,
        scopes: Vec<String>,
        fetcher: Fetcher,
    ) -> Self {
        Self(Arc::new(Inner {
            backend,
            client,
            discovery,
            scopes,
            fetcher,
        }))
    }
}

impl Source for ClientCredentials {
    fn obtain(&self, want: Want) -> BoxFuture<'static, Result<Token, Error>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let obtained = inner.obtain(&want).await;
            if obtained.is_err() {
                inner.discovery.forget().await;
            }
            obtained.map_err(|asked| asked.with(&inner.backend))
        })
    }
}

impl Inner {
    async fn obtain(&self, want: &Want) -> Result<Token, Asked> {
        let metadata = want.challenge.resource_metadata.as_deref();
        let server = self.discovery.find(metadata).await?;
        let scopes = scopes(&self.scopes, &want.challenge, &server, &want.further_scopes);
        let fields = [("grant_type", "client_credentials")];
        let granted = token_endpoint::ask(
            &self.backend,
            &self.fetcher,
            &server,
            &self.client,
            &fields,
            &scopes,
        )
        .await?;
        Ok(granted.token(scopes)?)
    }
}

/// What to ask for: what the operator says, else what the backend says of a request, else what it says of itself (digest
/// §4B); and in any case what it said that a request lacks.
pub(crate) fn scopes(
    configured: &[String],
    challenge: &Challenge,
    server: &Found,
    further: &[String],
) -> Vec<String> {
    let first = [configured, &challenge.scopes, &server.scopes];
    let first = first.into_iter().find(|scopes| !scopes.is_empty());
    let mut scopes = first.unwrap_or_default().to_vec();
    for scope in further {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    scopes
}
