//! How long a gateway takes from its start to its first complete list.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::arguments::{Cell, Era};
use crate::client::Expected;
use crate::middle::Middle;

/// Starts the gateway `count` times with a backend that is up; the median for a backend of each era.
pub(crate) async fn measure(
    binary: &Path,
    backend: SocketAddr,
    count: usize,
    expected: &Expected,
) -> anyhow::Result<String> {
    let mut parts = Vec::new();
    for era in [Era::Stateless, Era::Stateful] {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            times.push(
                once(
                    binary,
                    backend,
                    Cell {
                        client: era,
                        backend: era,
                    },
                    expected,
                )
                .await?,
            );
        }
        times.sort_unstable();
        let median = times.get(count / 2).copied().unwrap_or_default();
        parts.push(format!(
            "{:.0} ms ({})",
            median.as_secs_f64() * 1e3,
            era.name()
        ));
    }
    Ok(format!(
        "From start to the first complete list, median of {count}: {}.",
        parts.join(", ")
    ))
}

async fn once(
    binary: &Path,
    backend: SocketAddr,
    cell: Cell,
    expected: &Expected,
) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let mut gateway = Middle::isthmus(binary, backend)?;
    gateway.ready(cell, expected).await?;
    Ok(begin.elapsed())
}
