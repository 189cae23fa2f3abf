//! Mistakes that only show when a key is used.

use isthmus_config::{CallersCredential, Config, OAuthClient, OwnCredential};
use isthmus_exchange::{BackendName, Error};

use crate::client::Client;

/// Looks for mistakes in the credentials of `config` that its own checks cannot see. Asks nobody.
///
/// # Errors
///
/// If a private key cannot sign as it should.
pub fn check(config: &Config) -> Result<(), Error> {
    for backend in &config.backends {
        let Some(credentials) = &backend.credentials else {
            continue;
        };
        let name = BackendName::parse(&backend.name).map_err(Error::internal)?;
        let usable = |client: &OAuthClient| Client::new(&name, client).map(drop);
        if let Some(OwnCredential::ClientCredentials(settings)) = &credentials.own {
            usable(&settings.client)?;
        }
        if let Some(CallersCredential::Exchange(settings)) = &credentials.callers {
            usable(&settings.client)?;
        }
    }
    Ok(())
}
