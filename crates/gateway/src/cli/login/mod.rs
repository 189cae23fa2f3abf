//! `isthmus login` and `isthmus logout`: the operator's own account at a backend.

mod browser;
mod callback;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use http::Uri;
use isthmus_config::{Backend, Wire};
use isthmus_credentials::{Begun, Login, LoginError, Shared};
use isthmus_egress::{FetchLimits, Fetcher};
use isthmus_exchange::BackendName;
use tokio::runtime::Runtime;

use super::{Failure, LogOptions, print};
use crate::{runtimes, settings};
use callback::CallbackServer;

/// Where to log in, and how.
#[derive(Debug, Args)]
pub(super) struct LoginArguments {
    #[command(flatten)]
    which: LogoutArguments,
    /// Only print the address of the page, for a browser that is opened by hand.
    #[arg(long)]
    no_browser: bool,
    /// The port that the browser comes back to; else any. For a client that is registered with its port.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        hide_default_value = true
    )]
    port: u16,
}

/// Which login to forget.
#[derive(Debug, Args)]
pub(super) struct LogoutArguments {
    /// The name of the backend in the config.
    #[arg(value_name = "BACKEND")]
    backend: String,
    /// The config; else the usual places, as for `run`.
    #[arg(short, long, value_name = "CONFIG")]
    config: Option<PathBuf>,
}

/// Logs in: sends the user to the authorization server, waits for the answer, and keeps what it gives.
pub(super) fn login(arguments: &LoginArguments, log: &LogOptions) -> Result<(), Failure> {
    log.start_quiet()?;
    let (runtime, login) = open(&arguments.which)?;
    runtime.block_on(async {
        let server = CallbackServer::bind(arguments.port).await?;
        let begun = login.begin(server.redirect()).await;
        let begun = begun.map_err(|error| failed(&arguments.which.backend, error))?;
        invite(arguments, &begun);
        let answered = tokio::time::timeout(LONGEST_WAIT, server.answer(&begun));
        let logged_in = answered
            .await
            .map_err(|_| {
                anyhow!(
                    "nobody has logged in for {} minutes",
                    LONGEST_WAIT.as_secs() / 60
                )
            })?
            .map_err(|error| failed(&arguments.which.backend, error))?;
        let mut text = format!("Logged in to `{}`.", arguments.which.backend);
        if !logged_in.scopes.is_empty() {
            text.push_str(&format!(
                " The gateway may: {}.",
                logged_in.scopes.join(", ")
            ));
        }
        if !logged_in.renewable {
            text.push_str(" The login cannot be renewed: log in again when it has ended.");
        }
        print::line(&text);
        Ok(())
    })
}

/// Forgets a login.
pub(super) fn logout(arguments: &LogoutArguments, log: &LogOptions) -> Result<(), Failure> {
    log.start_quiet()?;
    let (runtime, login) = open(arguments)?;
    let there = runtime.block_on(login.forget());
    let there = there.map_err(|error| failed(&arguments.backend, error))?;
    let name = &arguments.backend;
    print::line(&if there {
        format!("Logged out of `{name}`.")
    } else {
        format!("There was no login to `{name}`.")
    });
    Ok(())
}

/// Says where to go, and goes there.
fn invite(arguments: &LoginArguments, begun: &Begun<'_>) {
    let (name, issuer) = (&arguments.which.backend, begun.issuer());
    print::line(&format!(
        "To log in to `{name}`, open this page of {issuer} in a browser on this machine:\n\n  {}\n",
        begun.url()
    ));
    if !arguments.no_browser {
        browser::open(begun.url());
    }
}

/// Makes ready to log in to the backend that the arguments name.
fn open(arguments: &LogoutArguments) -> Result<(Runtime, Login), Failure> {
    let (path, config) = settings::load(arguments.config.as_deref())?;
    let name = &arguments.backend;
    let usage = |text: String| Failure::Usage(text);
    let backend = config.backends.iter().find(|backend| backend.name == *name);
    let backend =
        backend.ok_or_else(|| usage(format!("{} has no backend `{name}`", path.display())))?;
    let not_a_login = || {
        usage(format!(
            "`{name}` is not logged in to: {} has no `login` in its `credentials`",
            path.display()
        ))
    };
    let (Some(credentials), Some(url)) = (&backend.credentials, url(backend)) else {
        return Err(not_a_login());
    };
    let runtime = runtimes::background(0)?;
    let keys = settings::seal_keys(&config)?;
    let logins = settings::logins(&config, &keys);
    if logins.is_none() {
        let why = "there is no place to keep a login: set `state_directory`";
        return Err(Failure::Config(why.to_owned()));
    }
    let shared = Shared {
        fetcher: Fetcher::new(Vec::new(), FetchLimits::default()),
        background: runtime.handle().clone(),
        logins,
    };
    let backend = BackendName::parse(name).map_err(anyhow::Error::from)?;
    let login = Login::of_operator(&backend, credentials, url, &shared).ok_or_else(not_a_login)?;
    Ok((runtime, login))
}

/// The URL that a backend is known by at authorization servers.
fn url(backend: &Backend) -> Option<&Uri> {
    match &backend.wire {
        Wire::Stdio(_) => None,
        Wire::Http(wire) => wire.urls.first().map(|url| &url.value),
        Wire::Sse(wire) => Some(&wire.url.value),
    }
}

fn failed(backend: &str, error: LoginError) -> Failure {
    anyhow::Error::from(error)
        .context(format!("cannot log in to `{backend}`"))
        .into()
}

/// How long a person may take.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
