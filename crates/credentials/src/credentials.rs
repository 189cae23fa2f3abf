//! The credentials for one backend.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Uri};
use isthmus_config::{CallersCredential, OwnCredential};
use isthmus_egress::Fetcher;
use isthmus_exchange::{BackendName, Error, ErrorKind, Principal};
use tokio::runtime::Handle;

use crate::client::Client;
use crate::client_credentials::ClientCredentials;
use crate::discovery::Discovery;
use crate::login::{LoginSource, Logins};
use crate::pass::refusal;
use crate::resource::canonical;
use crate::source::Source;
use crate::token_exchange::TokenExchange;
use crate::tokens::Tokens;
use crate::{Holder, Pass};

/// What the credentials for all backends share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Asks authorization servers.
    pub fetcher: Fetcher,
    /// Where tokens are fetched: whoever waits for one may leave.
    pub background: Handle,
    /// What people's logins have given; `None` if there is no place to keep it.
    pub logins: Option<Logins>,
}

/// The credentials for one backend.
pub struct Credentials {
    backend: BackendName,
    background: Handle,
    /// What the operator shows.
    own: Option<Pass>,
    /// Where what the operator shows comes from, if he logs in.
    logins: Option<Logins>,
    /// Where callers' tokens come from, if callers have credentials of their own.
    callers: Option<Arc<dyn Source>>,
    /// Those that were wanted lately.
    passes: Mutex<HashMap<Holder, Pass>>,
}

impl Credentials {
    /// The credentials for the backend that is reached at `url`. Asks nobody yet.
    ///
    /// # Errors
    ///
    /// An operator's error if a key cannot be used.
    pub fn new(
        backend: &BackendName,
        settings: &isthmus_config::Credentials,
        url: &Uri,
        shared: &Shared,
    ) -> Result<Arc<Self>, Error> {
        let resource = settings.resource.clone();
        let resource = resource.unwrap_or_else(|| canonical(url));
        let discovery = |server: &isthmus_config::AuthorizationServer| {
            let named = settings.resource.is_some();
            Discovery::new(
                shared.fetcher.clone(),
                server.clone(),
                url.clone(),
                resource.clone(),
                named,
            )
        };
        let own = match &settings.own {
            None => None,
            Some(OwnCredential::Header { name, value }) => {
                let mut value = HeaderValue::from_str(value.expose()).map_err(Error::internal)?;
                value.set_sensitive(true);
                Some(Pass::fixed(backend.clone(), name.clone(), value))
            }
            Some(OwnCredential::Login(login)) => match &shared.logins {
                None => {
                    let text = format!(
                        "{}`{backend}` has no place to keep a login: set `state_directory`",
                        place_of(settings)
                    );
                    return Err(refusal(backend, text));
                }
                Some(logins) => {
                    let source = Arc::new(LoginSource::new(
                        backend.clone(),
                        (**login).clone(),
                        discovery(&login.server),
                        shared.fetcher.clone(),
                        logins.clone(),
                    ));
                    let background = shared.background.clone();
                    let tokens = Tokens::new(backend.clone(), Holder::Operator, source, background);
                    Some(Pass::of_tokens(tokens))
                }
            },
            Some(OwnCredential::ClientCredentials(settings)) => {
                let source = Arc::new(ClientCredentials::new(
                    backend.clone(),
                    Client::new(backend, &settings.client)?,
                    discovery(&settings.client.server),
                    settings.scopes.clone(),
                    shared.fetcher.clone(),
                ));
                let background = shared.background.clone();
                let tokens = Tokens::new(backend.clone(), Holder::Operator, source, background);
                Some(Pass::of_tokens(tokens))
            }
        };
        let callers = match &settings.callers {
            None => None,
            Some(CallersCredential::Exchange(settings)) => {
                let source: Arc<dyn Source> = Arc::new(TokenExchange::new(
                    backend.clone(),
                    Client::new(backend, &settings.client)?,
                    discovery(&settings.client.server),
                    settings,
                    shared.fetcher.clone(),
                ));
                Some(source)
            }
        };
        Ok(Arc::new(Self {
            backend: backend.clone(),
            background: shared.background.clone(),
            logins: shared.logins.clone().filter(|_| is_login(settings)),
            own,
            callers,
            passes: Mutex::default(),
        }))
    }

    /// Whether callers have credentials of their own, so that what one of them opened or got is nobody else's.
    #[must_use]
    pub const fn are_callers(&self) -> bool {
        self.callers.is_some()
    }

    /// The pass of the operator, for what the gateway asks by itself; `None`: it shows nothing.
    #[must_use]
    pub fn own(&self) -> (Holder, Option<Pass>) {
        (Holder::Operator, self.own.clone())
    }

    /// Completes when what failed for want of a login may succeed, because somebody has logged in; never where nobody logs in.
    pub async fn renewed(&self) {
        match &self.logins {
            Some(logins) => logins.changed().await,
            None => std::future::pending().await,
        }
    }

    /// The pass to use for a caller, and whose it is. Takes note of the token that the caller shows now.
    ///
    /// # Errors
    ///
    /// A caller who has to show a token and has none; too many callers at once.
    pub fn of_caller(&self, principal: &Principal) -> Result<(Holder, Option<Pass>), Error> {
        let Some(source) = &self.callers else {
            return Ok(self.own());
        };
        if principal.token().is_none() {
            let backend = &self.backend;
            let text = format!(
                "`{backend}` takes a token in exchange for the caller's own, and this caller shows none: sign in with a token, \
                 not with a key or certificate"
            );
            let kind = ErrorKind::BackendUnavailable(backend.clone());
            return Err(Error::new(kind, text).with_fault(isthmus_exchange::Fault::Client));
        }
        let holder = Holder::bearer(principal);
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let pass = match passes.get(&holder) {
            Some(pass) => pass.clone(),
            None => {
                self.make_room(&mut passes)?;
                let tokens = Tokens::new(
                    self.backend.clone(),
                    holder.clone(),
                    source.clone(),
                    self.background.clone(),
                );
                let pass = Pass::of_tokens(tokens);
                passes.insert(holder.clone(), pass.clone());
                pass
            }
        };
        drop(passes);
        pass.renew(principal);
        Ok((holder, Some(pass)))
    }

    /// Forgets what nobody needs any more, and then what nobody uses, until there is room for one more.
    fn make_room(&self, passes: &mut HashMap<Holder, Pass>) -> Result<(), Error> {
        if passes.len() < MOST_HOLDERS {
            return Ok(());
        }
        passes.retain(|_, pass| !pass.is_forgettable());
        if passes.len() < MOST_HOLDERS {
            return Ok(());
        }
        passes.retain(|_, pass| !pass.is_unused());
        if passes.len() < MOST_HOLDERS {
            return Ok(());
        }
        let text = format!("too many callers use `{}` at once", self.backend);
        let retry_after = RETRY_AFTER;
        let error = refusal(&self.backend, text.clone());
        Err(Error::new(ErrorKind::Overloaded { retry_after }, text).caused_by(error))
    }
}

const fn is_login(settings: &isthmus_config::Credentials) -> bool {
    matches!(settings.own, Some(OwnCredential::Login(_)))
}

fn place_of(settings: &isthmus_config::Credentials) -> String {
    let location = settings.location.as_ref();
    location.map_or_else(String::new, |location| format!("{location}: "))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("backend", &self.backend)
            .field("own", &self.own)
            .field("callers", &self.callers)
            .finish_non_exhaustive()
    }
}

/// Callers of whom something is remembered.
const MOST_HOLDERS: usize = 16_384;
/// What a refused caller is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);
