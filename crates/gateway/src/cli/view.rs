//! What `tools`, `resources`, `prompts` and `call` look at: a config's fleet, started for the occasion, or a gateway that
//! is running.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use isthmus_catalog::Catalog;
use isthmus_config::{Backend, Config, HttpWire, Located, Route, Secret, Wire};
use isthmus_exchange::{
    Attachment, BoxStage, Caller, ClientCapabilities, Item, ItemKind, Principal, RouteName, Scope,
    ScopeId,
};
use isthmus_protocol::Revision;
use tokio::runtime::Runtime;

use super::Failure;
use crate::fleet::{Fleet, Users};
use crate::{runtimes, settings};

/// What to look at.
#[derive(Debug, Clone, Args)]
pub(super) struct ViewArguments {
    /// The config whose fleet to look at; else the usual places, as for `run`.
    #[arg(short, long, value_name = "CONFIG", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// The endpoint of a gateway, or of any MCP server, that is running.
    #[arg(short, long, value_name = "URL")]
    url: Option<http::Uri>,
    /// The key or token to show at that URL; better in the environment, where other users do not see it.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "ISTHMUS_TOKEN",
        hide_env_values = true
    )]
    token: Option<Token>,
    /// Which of the config's routes to look at; else the first.
    #[arg(short, long, value_name = "PATH", conflicts_with = "url")]
    route: Option<String>,
}

/// A key or token. It does not print.
#[derive(Clone)]
struct Token(Secret);

/// Takes anything: what is wrong with it is said later, without repeating it, as a parser's complaint would.
impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self(Secret::new(text))
    }
}

impl Token {
    /// The header that shows it.
    fn header(&self) -> Result<(http::HeaderName, Secret), Failure> {
        let text = format!("Bearer {}", self.0.expose());
        if http::HeaderValue::from_str(&text).is_err() {
            let why = "what stands in `--token` or ISTHMUS_TOKEN cannot be a key or token";
            return Err(Failure::Usage(why.to_owned()));
        }
        Ok((http::header::AUTHORIZATION, Secret::new(text)))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl ViewArguments {
    /// Whether a gateway that is running is looked at, not a config.
    pub(super) const fn is_remote(&self) -> bool {
        self.url.is_some()
    }
}

/// An open view. Its backends end with [`View::close`].
pub(super) struct View {
    runtime: Runtime,
    fleet: Fleet,
    route: RouteName,
    caller: Arc<Caller>,
}

impl View {
    /// Starts the fleet and waits until it has said what it offers.
    pub(super) fn open(arguments: &ViewArguments) -> Result<Self, Failure> {
        let (config, route) = match &arguments.url {
            Some(url) => of_url(url, arguments.token.as_ref())?,
            None => of_config(arguments)?,
        };
        Self::of(config, &route)
    }

    /// The same for one route of a config.
    pub(super) fn of(config: Config, route: &Route) -> Result<Self, Failure> {
        let mut config = only(config, route);
        // Sessions and cursors of this view end with it: a key file is needed only to open what logins have given.
        let keys = if config.backends.iter().any(settings::is_logged_in_to) {
            settings::seal_keys(&config)?
        } else {
            config.state_directory = None;
            Arc::new(isthmus_seal::SealKeys::generate())
        };
        // The operator looks at everything; what others see is what `explain` says.
        for route in &mut config.routes {
            route.authorization = None;
        }
        let route = RouteName::new(route.path.as_str());
        let runtime = runtimes::background(0)?;
        let fleet = Fleet::start(&config, runtime.handle().clone(), 1, keys, Users::Own, None)?;
        runtime.block_on(fleet.router().wait_ready());
        Ok(Self {
            runtime,
            fleet,
            route,
            caller: caller_of(Principal::anonymous()),
        })
    }

    /// What the route offers.
    pub(super) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.fleet.router().catalog(&self.route)
    }

    /// Every item of `kind` that the route exposes.
    pub(super) fn items(&self, kind: ItemKind) -> Vec<Arc<Item>> {
        self.catalog()
            .map(|catalog| catalog.items(kind).to_vec())
            .unwrap_or_default()
    }

    /// Why which backend is not there.
    pub(super) fn missing(&self) -> Vec<String> {
        let status = self.fleet.router().status();
        let missing = status
            .backends
            .into_iter()
            .filter(|backend| !backend.listed);
        missing
            .map(|backend| {
                backend
                    .failure
                    .unwrap_or_else(|| format!("`{}` did not answer", backend.name))
            })
            .collect()
    }

    /// Where requests of the route go.
    pub(super) fn stage(&self) -> Result<BoxStage, Failure> {
        let stage = self.fleet.router().stage(&self.route);
        stage.ok_or_else(|| anyhow!("the route is gone").into())
    }

    /// Who asks.
    pub(super) const fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Runs `work`.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Ends the fleet in an orderly way.
    pub(super) fn close(self) {
        self.runtime.block_on(self.fleet.close());
    }
}

fn of_config(arguments: &ViewArguments) -> Result<(Config, Route), Failure> {
    let (path, config) = settings::load(arguments.config.as_deref())?;
    let route = settings::pick_route(&path, &config, arguments.route.as_deref())?;
    Ok((config, route))
}

/// The same config with one route: what others reach is not started.
fn only(config: Config, route: &Route) -> Config {
    let backends = config
        .backends
        .into_iter()
        .filter(|backend| route.backends.contains(&backend.name))
        .collect();
    Config {
        backends,
        routes: vec![route.clone()],
        ..config
    }
}

/// A fleet of one backend without a prefix: whatever answers at `url`.
fn of_url(url: &http::Uri, token: Option<&Token>) -> Result<(Config, Route), Failure> {
    if url.scheme().is_none() || url.authority().is_none() {
        return Err(Failure::Usage(format!(
            "`{url}` is not a URL such as http://127.0.0.1:8080/mcp"
        )));
    }
    let wire = HttpWire {
        urls: vec![Located::nowhere(url.clone())],
        headers: token.map(Token::header).transpose()?.into_iter().collect(),
        tls: isthmus_config::BackendTls::default(),
        process: None,
    };
    let mut backend = Backend::new("gateway", Wire::Http(wire));
    backend.prefix = String::new();
    let mut route = Route::new("/mcp");
    route.backends = vec![backend.name.clone()];
    // Names come as the gateway there has made them.
    route.names.alphabet = isthmus_config::Alphabet::Any;
    route.names.budget = 128;
    Ok((
        Config {
            backends: vec![backend],
            routes: vec![route.clone()],
            ..Config::default()
        },
        route,
    ))
}

/// Somebody who calls.
pub(super) fn caller_of(principal: Principal) -> Arc<Caller> {
    let scope = Arc::new(Scope::principal(ScopeId(0), principal.id().clone()));
    Arc::new(Caller {
        principal,
        revision: Revision::LATEST,
        capabilities: Arc::new(ClientCapabilities::none()),
        client_info: None,
        scope,
        attachment: Attachment::Detached,
        address: None,
    })
}

impl View {
    /// The one tool called `name`.
    pub(super) fn tool(&self, name: &str) -> Result<Arc<Item>, Failure> {
        let tools = self.items(ItemKind::Tool);
        if let Some(tool) = tools.iter().find(|tool| tool.exposed == name) {
            return Ok(tool.clone());
        }
        let mut bare = tools.iter().filter(|tool| tool.native == name);
        match (bare.next(), bare.next()) {
            (Some(tool), None) => Ok(tool.clone()),
            (Some(_), Some(_)) => Err(Failure::Usage(format!(
                "several backends have a tool `{name}`: use its full name"
            ))),
            (None, _) => Err(self.no_tool(name)),
        }
    }

    /// There is no such tool: the command line is wrong, unless a backend is missing that may have it.
    fn no_tool(&self, name: &str) -> Failure {
        let missing = self.missing();
        if missing.is_empty() {
            return Failure::Usage(format!(
                "no tool is called `{name}`; `isthmus tools` lists what there is"
            ));
        }
        anyhow!("no tool is called `{name}` ({})", missing.join("; ")).into()
    }
}
