//! Who is let in, and what everybody else is told: from a config as an operator writes it to the answer of a route.

#![allow(clippy::unwrap_used, reason = "tests")]

mod hostile;
mod issuer;
mod keys_over_http;
mod table;

use std::path::Path;
use std::sync::Arc;

use isthmus_config::{Config, Environment, parse};
use isthmus_egress::{FetchLimits, Fetcher};
use isthmus_exchange::{Challenge, Credentials, Field, HeaderFields, Principal};
use isthmus_policy::{Authenticators, Door, Doors};
use tokio::runtime::Handle;

/// The doors of a config that stands in `folder`.
struct Gateway {
    config: Config,
    doors: Doors,
    /// Keeps what issuers published.
    authenticators: Arc<Authenticators>,
}

impl Gateway {
    fn of(config: &str, folder: &Path) -> Self {
        let fetcher = Fetcher::new(Vec::new(), FetchLimits::default());
        let authenticators = Arc::new(Authenticators::new(fetcher, Handle::current()));
        Self::with(authenticators, config, folder)
    }

    fn with(authenticators: Arc<Authenticators>, config: &str, folder: &Path) -> Self {
        let environment = Environment::new([], folder);
        let config = match parse(config, Path::new("gateway.yaml"), &environment) {
            Ok(config) => config,
            Err(complaints) => panic!("{complaints}"),
        };
        let doors = authenticators.assemble(&config).unwrap();
        Self {
            config,
            doors,
            authenticators,
        }
    }

    fn door(&self, route: &str) -> Door {
        let route = self.config.route(route).unwrap();
        self.doors.door(&self.config.listeners[0], route).unwrap()
    }

    async fn ask(&self, route: &str, request: &Request) -> Result<Principal, Challenge> {
        let credentials = Credentials {
            headers: request,
            certificate: request.certificate.as_deref(),
            address: None,
        };
        match self.door(route) {
            Door::Guarded(authenticator) => authenticator.authenticate(credentials).await,
            Door::Open => Ok(Principal::anonymous()),
        }
    }
}

/// A listener asks for client certificates. Nobody connects to it here.
const TLS: &str =
    "tls: {certificates: [{chain: chain.pem, key: key.pem}], clients: {roots: chain.pem}}";

/// Files that look like those of [`TLS`].
fn write_pem(folder: &Path) {
    for (name, label) in [("chain.pem", "CERTIFICATE"), ("key.pem", "PRIVATE KEY")] {
        let text = format!("-----BEGIN {label}-----\nAA==\n-----END {label}-----\n");
        std::fs::write(folder.join(name), text).unwrap();
    }
}

/// What a caller sends.
#[derive(Default, Clone)]
struct Request {
    headers: Vec<(String, String)>,
    certificate: Option<Vec<u8>>,
}

impl Request {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn bearer(token: &str) -> Self {
        Self::default().with("authorization", &format!("Bearer {token}"))
    }

    fn certified(mut self, der: &[u8]) -> Self {
        self.certificate = Some(der.to_vec());
        self
    }
}

impl HeaderFields for Request {
    fn field(&self, name: &str) -> Field<'_> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        match (values.next(), values.next()) {
            (None, _) => Field::Absent,
            (Some((_, value)), None) => Field::Text(value),
            _ => Field::Unreadable,
        }
    }
}
