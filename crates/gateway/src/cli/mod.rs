//! The command line.
//!
//! Exit codes: 0 done; 1 the call failed, or the backend said so; 2 the command line is wrong; 3 the config is wrong;
//! 4 something could not be started or reached.

mod call;
mod check;
mod explain;
mod import;
mod key;
mod list;
mod login;
mod print;
mod run;
mod stdio;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::log::{self, LogFormat};

/// One MCP endpoint in front of a fleet of MCP servers.
#[derive(Debug, Parser)]
#[command(name = "isthmus", version, about)]
#[command(
    after_help = "Logs go to standard error.\n\nExit codes: 0 done, 1 the call failed, 2 wrong command line, \
3 wrong config,\n4 something could not be started or reached."
)]
struct Cli {
    #[command(flatten)]
    log: LogOptions,
    #[command(subcommand)]
    command: Command,
}

/// What the command line says of logs; it wins over the config.
#[derive(Debug, Args)]
struct LogOptions {
    /// A level, or a list of `module=level`; else the config's
    #[arg(
        long = "log",
        global = true,
        env = "ISTHMUS_LOG",
        hide_env_values = true
    )]
    #[arg(value_name = "FILTER", help_heading = "Logs")]
    filter: Option<String>,
    /// How log lines look; else as the config says
    #[arg(
        long = "log-format",
        global = true,
        value_enum,
        hide_possible_values = true
    )]
    #[arg(value_name = "text|json", help_heading = "Logs")]
    format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the fleet over HTTP.
    Run(ConfigFile),
    /// Serve the fleet over standard input and output, as a desktop client's only server.
    Stdio(stdio::StdioArguments),
    /// Say everything that is wrong with a config.
    Check(ConfigFile),
    /// Print the JSON Schema of the config.
    Schema,
    /// Turn a client's `mcp.json` into a `gateway.yaml` on standard output.
    Import(import::ImportArguments),
    /// Make keys that callers may show.
    Key(key::KeyArguments),
    /// Log in to a backend with an account of your own, in a browser.
    Login(login::LoginArguments),
    /// Forget the login to a backend.
    Logout(login::LogoutArguments),
    /// List the tools that a route exposes.
    Tools(list::ListArguments),
    /// List the resources and resource templates that a route exposes.
    Resources(list::ListArguments),
    /// List the prompts that a route exposes.
    Prompts(list::ListArguments),
    /// Say for a caller why each item is visible, hidden or refused, and which rule decided.
    Explain(explain::ExplainArguments),
    /// Call a tool.
    Call(call::CallArguments),
    /// Stand between the gateway and a child, and end all that the child started.
    #[command(name = "__guard", hide = true)]
    Guard {
        /// Handed over to the guard as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

/// Which config to use.
#[derive(Debug, Clone, Args)]
struct ConfigFile {
    /// The config; else `./gateway.yaml`, else `isthmus/gateway.yaml` in the user's config folder.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,
}

impl LogOptions {
    /// Starts logging as the command line says, or else `config`.
    fn start(&self, config: &isthmus_config::Log) -> Result<(), Failure> {
        let filter = self.filter.as_deref().unwrap_or(&config.filter);
        let format = self.format.unwrap_or(match config.format {
            isthmus_config::LogFormat::Text => LogFormat::Text,
            isthmus_config::LogFormat::Json => LogFormat::Json,
        });
        log::start(filter, format)
            .map_err(|error| Failure::Usage(format!("the log filter `{filter}`: {error}")))
    }

    /// Starts logging for a command that answers on the terminal: only what went wrong, unless asked for more.
    fn start_quiet(&self) -> Result<(), Failure> {
        self.start(&isthmus_config::Log {
            filter: "error".to_owned(),
            format: isthmus_config::LogFormat::Text,
        })
    }
}

/// How a command ended when it did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call failed, or the backend said so. The text was printed already.
    Call,
    /// The command line is wrong.
    Usage(String),
    /// The config is wrong.
    Config(String),
    /// Something could not be started or reached.
    Unreachable(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Guard { arguments } = cli.command {
        return isthmus_backend::guard_main(arguments);
    }
    let log = cli.log;
    let done = match cli.command {
        Command::Run(file) => run::run(&file, &log),
        Command::Stdio(arguments) => stdio::run(&arguments, &log),
        Command::Check(file) => check::run(&file),
        Command::Schema => check::schema(),
        Command::Import(arguments) => import::run(&arguments),
        Command::Key(arguments) => key::run(&arguments),
        Command::Login(arguments) => login::login(&arguments, &log),
        Command::Logout(arguments) => login::logout(&arguments, &log),
        Command::Tools(arguments) => list::run(list::What::Tools, &arguments, &log),
        Command::Resources(arguments) => list::run(list::What::Resources, &arguments, &log),
        Command::Prompts(arguments) => list::run(list::What::Prompts, &arguments, &log),
        Command::Explain(arguments) => explain::run(&arguments, &log),
        Command::Call(arguments) => call::run(&arguments, &log),
        Command::Guard { .. } => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Call) => ExitCode::from(1),
        Err(Failure::Usage(text)) => {
            print::complaint(&text);
            ExitCode::from(2)
        }
        Err(Failure::Config(text)) => {
            print::complaint(&text);
            ExitCode::from(3)
        }
        Err(Failure::Unreachable(error)) => {
            print::complaint(&format!("isthmus: {error:#}"));
            ExitCode::from(4)
        }
    }
}
