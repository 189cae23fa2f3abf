//! Finds and loads the config, and turns what is wrong with it into what a person reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use isthmus_config::{Backend, Config, Environment, OwnCredential, Route};
use isthmus_credentials::{GrantStore, Logins};
use isthmus_seal::{KeyId, KeyMaterial, SealKeys};

use crate::cli::Failure;

/// Loads the config that `argument`, or else the usual places, name.
///
/// # Errors
///
/// [`Failure::Config`] with every complaint, or with where was looked in vain.
pub(crate) fn load(argument: Option<&Path>) -> Result<(PathBuf, Config), Failure> {
    let environment = Environment::of_process();
    let path = isthmus_config::locate(argument, &environment)
        .map_err(|missing| Failure::Config(missing.to_string()))?;
    let config = isthmus_config::load(&path)
        .map_err(|complaints| Failure::Config(complaints.to_string()))?;
    isthmus_policy::compile_authorization(&config)
        .map_err(|complaints| Failure::Config(complaints.to_string()))?;
    isthmus_policy::check(&config).map_err(|mistake| Failure::Config(mistake.to_string()))?;
    isthmus_credentials::check(&config).map_err(|mistake| Failure::Config(mistake.to_string()))?;
    Ok((path, config))
}

/// The route called `wanted`, else the first.
///
/// # Errors
///
/// [`Failure::Usage`] with the routes there are.
pub(crate) fn pick_route(
    path: &Path,
    config: &Config,
    wanted: Option<&str>,
) -> Result<Route, Failure> {
    let route = match wanted {
        Some(wanted) => config.route(wanted),
        None => config.routes.first(),
    };
    route.cloned().ok_or_else(|| {
        let known: Vec<_> = config
            .routes
            .iter()
            .map(|route| format!("`{}`", route.path))
            .collect();
        Failure::Usage(format!(
            "{} has no such route; it has {}",
            path.display(),
            known.join(", ")
        ))
    })
}

/// The keys that seal what clients hold for us: the config's, else a file's in the state folder, else new ones.
///
/// # Errors
///
/// If the file in the state folder cannot be read or made.
pub(crate) fn seal_keys(config: &Config) -> anyhow::Result<Arc<SealKeys>> {
    // The config has the newest first, the facility the newest last.
    let given: Option<Vec<_>> = config
        .seal_keys
        .iter()
        .rev()
        .map(|key| Some((KeyId(key.id), KeyMaterial(key.bytes()?))))
        .collect();
    let keys = match (given.unwrap_or_default(), &config.state_directory) {
        (given, _) if !given.is_empty() => SealKeys::from_keys(&given)?,
        (_, Some(folder)) => SealKeys::load_or_create(&folder.join("seal.key"))
            .with_context(|| format!("cannot keep the seal key in `{}`", folder.display()))?,
        (_, None) => {
            tracing::warn!("no state folder: sessions and cursors do not survive a restart");
            SealKeys::generate()
        }
    };
    Ok(Arc::new(keys))
}

/// What people's logins to backends have given, if there is a place to keep it. Nothing is read yet.
pub(crate) fn logins(config: &Config, keys: &Arc<SealKeys>) -> Option<Logins> {
    let folder = config.state_directory.as_deref()?;
    let urls = config.listeners.iter();
    let mut urls = urls.filter_map(|listener| listener.public_url.as_ref());
    let public_url = urls.find(|url| url.origin().starts_with("https://"));
    Some(Logins::new(
        GrantStore::new(folder, keys.clone()),
        public_url,
    ))
}

/// Whether what is shown to a backend comes from a login.
pub(crate) fn is_logged_in_to(backend: &Backend) -> bool {
    let own = backend
        .credentials
        .as_ref()
        .and_then(|found| found.own.as_ref());
    matches!(own, Some(OwnCredential::Login(_)))
}
