//! Tokens from what a login has given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isthmus_egress::Fetcher;
use isthmus_exchange::{BackendName, BoxFuture, Error};

use super::Logins;
use super::registration::proven;
use crate::Holder;
use crate::discovery::{Discovery, Found};
use crate::pass::refusal;
use crate::source::{Source, Token, Want};
use crate::store::{Account, Grant, StoreError};
use crate::token_endpoint::{self, Asked};
use crate::trouble::Trouble;

/// Tokens from what a login has given, renewed when they end.
#[derive(Debug)]
pub(crate) struct LoginSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: BackendName,
    settings: isthmus_config::Login,
    discovery: Discovery,
    fetcher: Fetcher,
    logins: Logins,
    /// Which token each holder got last.
    given: Mutex<HashMap<Holder, String>>,
}

/// Why there is no token.
enum Lack {
    /// Nobody has logged in, or that has ended.
    Login,
    /// Somebody has logged in somewhere else than where the backend sends people now.
    Moved,
    /// What was given does not reach.
    Scopes(Vec<String>),
    Asked(Asked),
    Store(StoreError),
}

impl LoginSource {
    pub(crate) fn new(
        backend: BackendName,
        settings: isthmus_config::Login,
        discovery: Discovery,
        fetcher: Fetcher,
        logins: Logins,
    ) -> Self {
        Self(Arc::new(Inner {
            backend,
            settings,
            discovery,
            fetcher,
            logins,
            given: Mutex::default(),
        }))
    }
}

impl Source for LoginSource {
    fn obtain(&self, want: Want) -> BoxFuture<'static, Result<Token, Error>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let obtained = inner.obtain(&want).await;
            if let Err(Lack::Asked(_) | Lack::Moved) = &obtained {
                inner.discovery.forget().await;
            }
            obtained.map_err(|lack| inner.told(lack))
        })
    }

    /// To look into the store costs nothing, and whoever has just logged in does not like to wait.
    fn longest_pause(&self) -> Duration {
        LONGEST_PAUSE
    }
}

impl Inner {
    async fn obtain(self: &Arc<Self>, want: &Want) -> Result<Token, Lack> {
        let account = Account::new(&self.backend, &want.holder);
        let grants = self.logins.store.grants(&account).await?;
        let newest = grants.iter().max_by_key(|grant| grant.since);
        let newest = newest.ok_or(Lack::Login)?;
        let metadata = want.challenge.resource_metadata.clone();
        let metadata = metadata.or_else(|| newest.metadata.clone());
        let server = self.discovery.find(metadata.as_deref()).await?;
        let grant = grants
            .iter()
            .find(|grant| belongs(grant, &server))
            .ok_or(Lack::Moved)?;
        if self.is_good(grant, want)
            && let Some(token) = grant.token()
        {
            return Ok(self.give(&want.holder, grant, token));
        }
        if !want.further_scopes.is_empty() && !want.rejected {
            return Err(self.remember_wanted(&account, grant, want).await);
        }
        // Who waits may leave, and the gateway may end: what the server gives in place of the old must be kept all the same.
        let renewing = self.clone().renew(account, want.clone(), server);
        let renewed = self.logins.renewals.spawn(renewing).await;
        renewed.unwrap_or_else(|error| Err(Lack::Asked(Asked::Defect(Error::internal(error)))))
    }

    async fn renew(
        self: Arc<Self>,
        account: Account,
        want: Want,
        server: Arc<Found>,
    ) -> Result<Token, Lack> {
        let want = &want;
        let _turn = self.logins.store.turn(&account).await?;
        // Somebody else, in this process or another one, may have renewed it meanwhile.
        let grants = self.logins.store.grants(&account).await?;
        let grant = grants.iter().find(|grant| belongs(grant, &server));
        let grant = grant.ok_or(Lack::Login)?;
        if self.is_good(grant, want)
            && let Some(token) = grant.token()
        {
            return Ok(self.give(&want.holder, grant, token));
        }
        match self.refresh(&account, grant, &server).await {
            Ok(grant) => {
                let token = grant.token().ok_or(Lack::Login)?;
                Ok(self.give(&want.holder, &grant, token))
            }
            // What there is lasts a while yet.
            Err(lack @ Lack::Asked(_)) if !self.was_rejected(grant, want) => match grant.token() {
                Some(token) => Ok(self.give(&want.holder, grant, token)),
                None => Err(lack),
            },
            Err(lack) => Err(lack),
        }
    }

    /// Gets the next token, and keeps it before anybody uses it: the server may take the old one for worthless by now.
    async fn refresh(
        &self,
        account: &Account,
        grant: &Grant,
        server: &Found,
    ) -> Result<Grant, Lack> {
        let client = proven(&grant.client, self.settings.client.as_ref());
        let (Some(client), Some(refresh_token)) = (client, &grant.refresh_token) else {
            self.end(account, grant).await?;
            return Err(Lack::Login);
        };
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose()),
        ];
        let asked =
            token_endpoint::ask(&self.backend, &self.fetcher, server, &client, &fields, &[]);
        match asked.await {
            Ok(granted) => {
                let next = grant.refreshed(&granted)?;
                self.logins.store.put(account, &next).await?;
                Ok(next)
            }
            Err(Asked::Trouble(Trouble::Refused { code, .. })) if is_final(&code) => {
                tracing::info!(backend = %self.backend, code, "a login has ended");
                self.end(account, grant).await?;
                Err(Lack::Login)
            }
            Err(asked) => Err(asked.into()),
        }
    }

    /// Forgets a grant that is worth nothing any more.
    async fn end(&self, account: &Account, grant: &Grant) -> Result<(), Lack> {
        self.logins
            .store
            .remove(account, Some(&grant.issuer))
            .await?;
        Ok(())
    }

    /// No renewal gives more than a person has agreed to: the next login will ask for it.
    async fn remember_wanted(&self, account: &Account, grant: &Grant, want: &Want) -> Lack {
        let mut grant = grant.clone();
        for scope in &want.further_scopes {
            if !grant.wanted.contains(scope) && grant.wanted.len() < MOST_WANTED {
                grant.wanted.push(scope.clone());
            }
        }
        match self.logins.store.put(account, &grant).await {
            Ok(()) => Lack::Scopes(want.further_scopes.clone()),
            Err(error) => Lack::Store(error),
        }
    }

    /// Whether the access token will do as it is.
    fn is_good(&self, grant: &Grant, want: &Want) -> bool {
        let reaches = |scope: &String| grant.scopes.contains(scope);
        grant.is_fresh()
            && !self.was_rejected(grant, want)
            && want.further_scopes.iter().all(reaches)
    }

    /// Whether it is this very token that the backend did not take.
    fn was_rejected(&self, grant: &Grant, want: &Want) -> bool {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        want.rejected && given.get(&want.holder) == Some(&grant.serial)
    }

    fn give(&self, holder: &Holder, grant: &Grant, token: Token) -> Token {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert(holder.clone(), grant.serial.clone());
        token
    }

    /// What a caller and the log are told.
    fn told(&self, lack: Lack) -> Error {
        let backend = &self.backend;
        match lack {
            Lack::Login => {
                let text =
                    format!("`{backend}` wants a login of the operator: `isthmus login {backend}`");
                refusal(backend, text)
            }
            Lack::Moved => {
                let text = format!(
                    "`{backend}` has another authorization server than at the last login: `isthmus login {backend}`"
                );
                refusal(backend, text)
            }
            Lack::Scopes(scopes) => {
                let scopes = scopes.join(" ");
                let text = format!(
                    "`{backend}` wants the operator's consent to more ({scopes}): `isthmus login {backend}`"
                );
                refusal(backend, text)
            }
            Lack::Asked(asked) => asked.with(backend),
            Lack::Store(error) => {
                let text = format!("the logins of the gateway cannot be read for `{backend}`");
                refusal(backend, text).caused_by(error)
            }
        }
    }
}

/// Whether a grant comes from this very server and was made for this very resource.
fn belongs(grant: &Grant, server: &Found) -> bool {
    server.issuer.as_deref() == Some(&*grant.issuer) && server.resource == grant.resource
}

/// Refusals after which asking again changes nothing (RFC 6749 §5.2).
fn is_final(code: &str) -> bool {
    matches!(
        code,
        "invalid_grant" | "invalid_client" | "unauthorized_client"
    )
}

impl From<Trouble> for Lack {
    fn from(trouble: Trouble) -> Self {
        Self::Asked(Asked::Trouble(trouble))
    }
}

impl From<Asked> for Lack {
    fn from(asked: Asked) -> Self {
        Self::Asked(asked)
    }
}

impl From<StoreError> for Lack {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How long a failure is remembered.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Scopes that are remembered for the next login.
const MOST_WANTED: usize = 64;
