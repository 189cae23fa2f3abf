//! From a config to the authenticators of its routes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use isthmus_config::{
    AuthenticationMethod, CallersCredential, Config, Jwks, Jwt, Listener, Located, Location,
    PublicUrl, Route,
};
use isthmus_egress::Fetcher;
use isthmus_exchange::BoxAuthenticator;
use tokio::runtime::Handle;

use super::challenge::Challenger;
use super::metadata::{Resource, audiences_of};
use super::route::{Method, RouteAuthenticator};
use crate::api_keys::ApiKeyCheck;
use crate::certificate::CertificateCheck;
use crate::jwt::{IssuerKeys, JwtCheck, KeySet, Source};

/// Makes authenticators. One per gateway, kept across reloads: an issuer whose settings stay keeps its keys.
#[derive(Debug)]
pub struct Authenticators {
    fetcher: Fetcher,
    background: Handle,
    issuers: Mutex<Vec<(Source, Weak<IssuerKeys>)>>,
}

/// Who is asked at each route of each listener.
#[derive(Debug, Default)]
pub struct Doors {
    /// By the listener's name and the route's path.
    doors: HashMap<(String, String), Door>,
}

/// Who is asked at one route of one listener.
#[derive(Debug, Clone)]
pub enum Door {
    /// Nobody: the config says so.
    Open,
    /// Whoever wants to pass.
    Guarded(BoxAuthenticator),
}

/// Why a config's authentication cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("{place}{message}")]
pub struct AuthenticationError {
    place: String,
    message: String,
}

impl Authenticators {
    /// Fetches keys by `fetcher`, in tasks on `background`.
    #[must_use]
    pub fn new(fetcher: Fetcher, background: Handle) -> Self {
        Self {
            fetcher,
            background,
            issuers: Mutex::default(),
        }
    }

    /// What is asked at the doors of `config`. Begins to fetch the keys of issuers that are new.
    ///
    /// # Errors
    ///
    /// If a key set in a file cannot be used. Nothing has changed then.
    pub fn assemble(&self, config: &Config) -> Result<Doors, AuthenticationError> {
        let mut doors = Doors::default();
        let exchanged = exchanges_tokens(config);
        for listener in &config.listeners {
            for route in &config.routes {
                let key = (listener.name.clone(), route.path.clone());
                doors
                    .doors
                    .insert(key, self.door(listener, route, exchanged)?);
            }
        }
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        issuers.retain(|(_, keys)| keys.strong_count() > 0);
        Ok(doors)
    }

    fn door(
        &self,
        listener: &Listener,
        route: &Route,
        exchanged: bool,
    ) -> Result<Door, AuthenticationError> {
        let written = &route.authentication;
        if matches!(
            written.methods.as_slice(),
            [] | [AuthenticationMethod::Nothing]
        ) {
            return Ok(Door::Open);
        }
        let url = listener.url_of(route);
        let resource = Resource::of(route, url.as_ref());
        let methods = written
            .methods
            .iter()
            .map(|method| self.method(method, url.as_ref(), exchanged))
            .collect::<Result<Vec<_>, _>>()?;
        let bearer = methods
            .iter()
            .any(|method| matches!(method, Method::ApiKeys { .. } | Method::Jwt(_)));
        let challenger = Challenger::new(bearer, resource.as_ref(), &written.required_scopes);
        Ok(Door::Guarded(Arc::new(RouteAuthenticator {
            methods,
            required_scopes: written.required_scopes.clone(),
            challenger,
            documents: resource
                .map(|resource| resource.documents)
                .unwrap_or_default(),
        })))
    }

    fn method(
        &self,
        written: &AuthenticationMethod,
        url: Option<&PublicUrl>,
        exchanged: bool,
    ) -> Result<Method, AuthenticationError> {
        Ok(match written {
            AuthenticationMethod::ApiKeys(settings) => Method::ApiKeys {
                check: ApiKeyCheck::new(&settings.keys),
                header: settings.header.clone(),
            },
            AuthenticationMethod::Jwt(settings) => {
                let own = url.map(audiences_of).unwrap_or_default();
                let keys = self.keys(settings)?;
                let check = JwtCheck::new(settings, &own, keys);
                Method::Jwt(if exchanged {
                    check.keeping_tokens()
                } else {
                    check
                })
            }
            AuthenticationMethod::Certificate(settings) => {
                Method::Certificate(CertificateCheck::new(settings.value.clone()))
            }
            AuthenticationMethod::Nothing => Method::Nothing,
        })
    }

    fn keys(&self, settings: &Jwt) -> Result<Arc<IssuerKeys>, AuthenticationError> {
        let source = match &settings.jwks {
            Jwks::Text(text) => {
                return Ok(Arc::new(IssuerKeys::fixed(key_set(settings, text)?)));
            }
            Jwks::Url(url) => Source::Url(url.value.clone()),
            Jwks::Discovered => Source::Discovered(settings.issuer.clone()),
        };
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = issuers
            .iter()
            .find(|(known, _)| *known == source)
            .and_then(|(_, keys)| keys.upgrade());
        if let Some(known) = known {
            return Ok(known);
        }
        let fetcher = self.fetcher.clone();
        let keys = Arc::new(IssuerKeys::fetched(
            source.clone(),
            fetcher,
            &self.background,
        ));
        issuers.push((source, Arc::downgrade(&keys)));
        Ok(keys)
    }
}

impl Doors {
    /// Who is asked at `route` of `listener`; `None` if the config has no such route or listener: then nobody may pass.
    #[must_use]
    pub fn door(&self, listener: &Listener, route: &Route) -> Option<Door> {
        let key = (listener.name.clone(), route.path.clone());
        self.doors.get(&key).cloned()
    }
}

/// Whether some backend needs callers' own tokens, to get others in exchange. Otherwise nobody keeps them.
fn exchanges_tokens(config: &Config) -> bool {
    let mut credentials = config
        .backends
        .iter()
        .filter_map(|backend| backend.credentials.as_ref());
    credentials
        .any(|credentials| matches!(credentials.callers, Some(CallersCredential::Exchange(_))))
}

/// Looks for mistakes in the authentication of `config` that its own checks cannot see. Fetches nothing.
///
/// # Errors
///
/// If a key set in a file cannot be used.
pub fn check(config: &Config) -> Result<(), AuthenticationError> {
    let mut methods = config
        .routes
        .iter()
        .flat_map(|route| &route.authentication.methods);
    methods.try_for_each(|method| match method {
        AuthenticationMethod::Jwt(settings) => match &settings.jwks {
            Jwks::Text(text) => key_set(settings, text).map(drop),
            _ => Ok(()),
        },
        _ => Ok(()),
    })
}

fn key_set(settings: &Jwt, text: &Located<String>) -> Result<KeySet, AuthenticationError> {
    KeySet::parse(text.as_bytes()).map_err(|error| AuthenticationError {
        place: place(text.location.as_ref()),
        message: format!("the keys of `{}`: {error}", settings.issuer),
    })
}

fn place(location: Option<&Location>) -> String {
    location.map_or_else(String::new, |location| format!("{location}  "))
}
