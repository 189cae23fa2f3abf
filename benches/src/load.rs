//! The load generator: so many connections, each with one call at a time, for so long.
//!
//! Says `ready` when it is connected and warm, begins at a line on its standard input, and prints one line of JSON when
//! it is done: whoever started it can look at the clock of the processes in between at both moments.

use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arguments::LoadArguments;
use crate::client::{Client, Expected};
use crate::report;

/// Calls of each connection before anything is counted.
const WARM_UP: usize = 50;

/// What a run found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Answers, all of them right.
    pub(crate) calls: usize,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

pub(crate) async fn run(settings: &LoadArguments) -> anyhow::Result<()> {
    let expected = Arc::new(Expected::new(settings.size, settings.tools));
    let mut clients = Vec::with_capacity(settings.connections);
    for _ in 0..settings.connections {
        let mut client = Client::connect(settings.address, &settings.path, settings.era).await?;
        for _ in 0..WARM_UP {
            client.ask(settings.ask, &expected).await?;
        }
        clients.push(client);
    }
    report::line("ready");
    std::io::stdin().lock().read_line(&mut String::new())?;

    let begin = Instant::now();
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(repeat(
            client,
            settings.clone(),
            expected.clone(),
            begin + settings.seconds,
        ));
    }
    let mut latencies = Vec::new();
    while let Some(done) = running.join_next().await {
        latencies.extend(done.context("a connection's task failed")??);
    }
    let found = Found::new(latencies, begin.elapsed());
    report::line(&serde_json::to_string(&found)?);
    Ok(())
}

async fn repeat(
    mut client: Client,
    settings: LoadArguments,
    expected: Arc<Expected>,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let begin = Instant::now();
        if begin >= end {
            return Ok(latencies);
        }
        client.ask(settings.ask, &expected).await?;
        latencies.push(begin.elapsed());
    }
}

impl Found {
    fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let at = |part: usize| {
            let index = (latencies.len() * part / 100).min(latencies.len().saturating_sub(1));
            latencies
                .get(index)
                .map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
        };
        Self {
            calls: latencies.len(),
            seconds: elapsed.as_secs_f64(),
            p50_us: at(50),
            p99_us: at(99),
        }
    }
}
