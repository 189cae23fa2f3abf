//! A login from the first look at the backend to a grant in the store.

use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Uri};
use isthmus_config::{OwnCredential, PublicUrl};
use isthmus_egress::NamedBy;
use isthmus_exchange::BackendName;

use super::callback::Callback;
use super::registration::{client, proven};
use super::{LoginError, Logins, pkce};
use crate::challenge::{Challenge, is_scope};
use crate::client::Client;
use crate::client_credentials::scopes;
use crate::discovery::{Discovery, Found, ServerMetadata};
use crate::form::encode;
use crate::resource::canonical;
use crate::store::{Account, Grant, GrantClient};
use crate::{Holder, Shared, token_endpoint};

/// Logins of one holder to one backend.
#[derive(Debug)]
pub struct Login {
    backend: BackendName,
    account: Account,
    settings: isthmus_config::Login,
    url: Uri,
    discovery: Discovery,
    shared: Shared,
    logins: Logins,
}

/// A login that waits for its person.
#[derive(Debug)]
pub struct Begun<'a> {
    login: &'a Login,
    url: String,
    redirect: String,
    state: String,
    verifier: String,
    server: Arc<Found>,
    issuer: String,
    /// The server says that it names itself in its answers.
    names_itself: bool,
    metadata: Option<String>,
    client: GrantClient,
    proven: Client,
    scopes: Vec<String>,
}

/// What has become of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Who vouches for the account.
    pub issuer: String,
    /// What the gateway may do there.
    pub scopes: Vec<String>,
    /// Whether the gateway can renew the token by itself.
    pub renewable: bool,
}

impl Login {
    /// Logins of the operator to the backend that is reached at `url`; `None` if its credentials are not those of a login.
    #[must_use]
    pub fn of_operator(
        backend: &BackendName,
        settings: &isthmus_config::Credentials,
        url: &Uri,
        shared: &Shared,
    ) -> Option<Self> {
        let Some(OwnCredential::Login(login)) = &settings.own else {
            return None;
        };
        let named = settings.resource.is_some();
        let resource = settings.resource.clone();
        let discovery = Discovery::new(
            shared.fetcher.clone(),
            login.server.clone(),
            url.clone(),
            resource.unwrap_or_else(|| canonical(url)),
            named,
        );
        Some(Self {
            backend: backend.clone(),
            account: Account::new(backend, &Holder::Operator),
            settings: (**login).clone(),
            url: url.clone(),
            discovery,
            shared: shared.clone(),
            logins: shared.logins.clone()?,
        })
    }

    /// Finds out where to log in, and becomes a client there. The browser is to come back to `redirect`.
    ///
    /// # Errors
    ///
    /// [`LoginError`]: nobody can be asked, or the server is not safe to log in at.
    pub async fn begin(&self, redirect: &str) -> Result<Begun<'_>, LoginError> {
        let challenge = self.challenge().await;
        let metadata = challenge.resource_metadata.clone();
        let server = self.discovery.find(metadata.as_deref()).await?;
        let (said, named_by) = server
            .server
            .as_ref()
            .ok_or(crate::trouble::Trouble::NoServer)?;
        let issuer = said.issuer.clone();
        let methods = said.code_challenge_methods_supported.as_deref();
        if !methods.is_some_and(|methods| methods.iter().any(|method| method == "S256")) {
            return Err(LoginError::NoPkce { issuer });
        }
        // Both are printed on a terminal.
        let printable = issuer.bytes().all(|byte| byte.is_ascii_graphic());
        let Some(page) = page(said, *named_by).filter(|_| printable) else {
            return Err(LoginError::NoPage { issuer });
        };
        let client = client(
            self.settings.client.as_ref(),
            self.logins.introduction.as_ref(),
            &server,
            &issuer,
            redirect,
            &self.shared.fetcher,
        )
        .await?;
        let proven = proven(&client, self.settings.client.as_ref());
        let proven = proven.ok_or(LoginError::Unreadable)?;
        let mut asked = scopes(
            &self.settings.scopes,
            &challenge,
            &server,
            &self.wanted(&issuer).await?,
        );
        let lasting = "offline_access";
        let lists = |scopes: &[String]| scopes.iter().any(|scope| scope == lasting);
        if !asked.is_empty() && lists(&said.scopes_supported) && !lists(&asked) {
            asked.push(lasting.to_owned());
        }
        let (state, verifier) = (pkce::secret_text()?, pkce::secret_text()?);
        let scope = asked.join(" ");
        let challenge = pkce::challenge(&verifier);
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", client.id.as_str()),
            ("redirect_uri", redirect),
            ("state", state.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("resource", server.resource.as_str()),
        ];
        if !scope.is_empty() {
            fields.push(("scope", &scope));
        }
        let joint = if page.contains('?') { '&' } else { '?' };
        let url = format!("{page}{joint}{}", encode(fields));
        let names_itself = said.authorization_response_iss_parameter_supported;
        Ok(Begun {
            login: self,
            url,
            redirect: redirect.to_owned(),
            state,
            verifier,
            issuer,
            names_itself,
            metadata,
            client,
            proven,
            scopes: asked,
            server,
        })
    }

    /// Forgets what logins have given, here and at the authorization server if that can be told. Says whether there was any.
    ///
    /// # Errors
    ///
    /// If the store cannot be used.
    pub async fn forget(&self) -> Result<bool, LoginError> {
        let _turn = self.logins.store.turn(&self.account).await?;
        let grants = self.logins.store.grants(&self.account).await?;
        let there = self.logins.store.remove(&self.account, None).await?;
        for grant in grants {
            self.revoke(&grant).await;
        }
        Ok(there)
    }

    /// Says at the authorization server that a grant is not needed any more (RFC 7009). A wish: nobody depends on it.
    async fn revoke(&self, grant: &Grant) {
        let Ok(server) = self.discovery.find(grant.metadata.as_deref()).await else {
            return;
        };
        let Some((said, named_by)) = &server.server else {
            return;
        };
        let client = proven(&grant.client, self.settings.client.as_ref());
        let (Some(place), Some(client)) = (&said.revocation_endpoint, client) else {
            return;
        };
        if said.issuer != grant.issuer {
            return;
        }
        let Ok((place, named_by)) = crate::discovery::endpoint(said, place, *named_by) else {
            return;
        };
        let token = grant.refresh_token.as_ref();
        let token = token.unwrap_or_else(|| grant.access_token());
        let Ok(shows) = client.shows(&server) else {
            return;
        };
        let mut fields = vec![("token", token.expose())];
        let own = shows.fields.iter();
        fields.extend(own.map(|(name, value)| (*name, value.as_str())));
        let form = encode(fields).into();
        let posted = self
            .shared
            .fetcher
            .post_form(&place, named_by, form, shows.authorization);
        if let Err(error) = posted.await {
            tracing::debug!(backend = %self.backend, %error, "a grant could not be revoked");
        }
    }

    /// What the backend says to somebody who shows nothing.
    async fn challenge(&self) -> Challenge {
        let accept = "application/json, text/event-stream";
        let asked = self
            .shared
            .fetcher
            .get(&self.url, NamedBy::Operator, accept);
        match tokio::time::timeout(LONGEST_LOOK, asked).await {
            Ok(Ok(answer)) if answer.status == StatusCode::UNAUTHORIZED => {
                Challenge::of(&answer.headers)
            }
            _ => Challenge::default(),
        }
    }

    /// What the backend has asked for beside what the last login gave.
    async fn wanted(&self, issuer: &str) -> Result<Vec<String>, LoginError> {
        let grants = self.logins.store.grants(&self.account).await?;
        let last = grants.into_iter().find(|grant| grant.issuer == issuer);
        Ok(last.map(|grant| grant.wanted).unwrap_or_default())
    }
}

impl Begun<'_> {
    /// Where the person's browser has to go.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who will ask the person.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether the query that a browser brought belongs to this login: anybody can send a browser here.
    #[must_use]
    pub fn is_answered_by(&self, query: &str) -> bool {
        Callback::parse(query).is_ok_and(|callback| callback.answers(&self.state))
    }

    /// Gets the tokens for the answer that the browser brought, and keeps them.
    ///
    /// # Errors
    ///
    /// [`LoginError`]: the answer is another one's, or says no, or the server gives nothing for it.
    pub async fn finish(&self, query: &str) -> Result<LoggedIn, LoginError> {
        let login = self.login;
        let callback = Callback::parse(query)?;
        let code = callback.code(&self.state, &self.issuer, self.names_itself)?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", self.redirect.as_str()),
            ("code_verifier", self.verifier.as_str()),
        ];
        let granted = token_endpoint::ask(
            &login.backend,
            &login.shared.fetcher,
            &self.server,
            &self.proven,
            &fields,
            &[],
        )
        .await?;
        let grant = Grant::new(
            &self.issuer,
            &self.server.resource,
            self.metadata.clone(),
            self.client.clone(),
            &granted,
            self.scopes.clone(),
        )?;
        // Whoever renews the old one now would write it over this one.
        let _turn = login.logins.store.turn(&login.account).await?;
        login.logins.store.put(&login.account, &grant).await?;
        Ok(LoggedIn {
            issuer: grant.issuer,
            // What the server wrote is printed on a terminal.
            scopes: grant
                .scopes
                .into_iter()
                .filter(|scope| is_scope(scope))
                .collect(),
            renewable: grant.refresh_token.is_some(),
        })
    }
}

/// The page of a server where people log in, if a browser may be sent there (S9): `https`, or on this machine if the operator
/// has named it.
fn page(server: &ServerMetadata, named_by: NamedBy) -> Option<String> {
    let page = server.authorization_endpoint.as_deref()?;
    let sound = page.bytes().all(|byte| byte.is_ascii_graphic()) && !page.contains('#');
    let before_query = page.split('?').next().unwrap_or_default();
    let url = PublicUrl::parse(before_query).ok().filter(|_| sound)?;
    let outside = url.origin().starts_with("https://") && !url.is_local();
    (outside || named_by == NamedBy::Operator).then(|| page.to_owned())
}

/// How long the first look at a backend may take.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
