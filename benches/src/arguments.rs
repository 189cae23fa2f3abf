//! The command line, also that of the processes that the bench starts of itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Compares isthmus with a direct call and with nginx as a plain reverse proxy.
#[derive(Debug, Parser)]
#[command(name = "macro", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) measure: MeasureArguments,
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// What is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct MeasureArguments {
    /// The gateway's binary. By default the one beside this program; without one the gateway is left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) isthmus: Option<PathBuf>,
    /// Seconds for each row of the table.
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Connections, each with one call at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    pub(crate) connections: Vec<usize>,
    /// Bytes of text in the result of a call.
    #[arg(long, default_value_t = 1_500)]
    pub(crate) size: usize,
    /// Tools that the backend lists.
    #[arg(long, default_value_t = 100)]
    pub(crate) tools: usize,
    /// Eras of client and backend, as `client:backend`.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "stateless:stateless,stateful:stateful"
    )]
    pub(crate) cells: Vec<Cell>,
    /// Sessions to open for the memory of an idle one; 0 leaves that out.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) sessions: usize,
    /// Cold starts to take the median of; 0 leaves that out.
    #[arg(long, default_value_t = 5)]
    pub(crate) starts: usize,
    /// What to leave out.
    #[arg(long, value_delimiter = ',')]
    pub(crate) without: Vec<Through>,
}

/// What stands between the load and the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Through {
    /// Nothing.
    Direct,
    /// nginx as a plain reverse proxy, if it is in PATH.
    Nginx,
    /// The gateway.
    Isthmus,
}

/// A stateful revision (2025-11-25) or the stateless one (2026-07-28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Era {
    Stateful,
    Stateless,
}

/// Which eras meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) client: Era,
    pub(crate) backend: Era,
}

/// What a process of the bench does.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Answers as a minimal MCP server.
    #[command(hide = true)]
    Backend(BackendArguments),
    /// Calls, and counts what comes back.
    #[command(hide = true)]
    Load(LoadArguments),
}

/// How the backend answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct BackendArguments {
    #[arg(long)]
    pub(crate) size: usize,
    #[arg(long)]
    pub(crate) tools: usize,
}

/// What the load generator does.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArguments {
    #[arg(long)]
    pub(crate) address: SocketAddr,
    #[arg(long)]
    pub(crate) path: String,
    #[arg(long)]
    pub(crate) era: Era,
    #[arg(long)]
    pub(crate) ask: Ask,
    #[arg(long)]
    pub(crate) connections: usize,
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Duration,
    #[arg(long)]
    pub(crate) size: usize,
    #[arg(long)]
    pub(crate) tools: usize,
}

/// What is asked again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ask {
    Call,
    List,
}

impl Through {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Nginx, Self::Isthmus];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Isthmus => "isthmus",
        }
    }
}

impl Era {
    /// As on the command line, in the gateway's config and in paths.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stateful => "stateful",
            Self::Stateless => "stateless",
        }
    }
}

impl Ask {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::List => "list",
        }
    }
}

impl std::str::FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (client, backend) = text.split_once(':').ok_or("expected `client:backend`")?;
        Ok(Self {
            client: Era::from_str(client, true)?,
            backend: Era::from_str(backend, true)?,
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
