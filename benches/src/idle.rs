//! What a session costs while nothing happens in it.

use std::net::SocketAddr;
use std::path::Path;

use crate::arguments::{Ask, Cell, Era};
use crate::client::{Client, Expected};
use crate::middle::Middle;
use crate::process::Running;

const CELL: Cell = Cell {
    client: Era::Stateful,
    backend: Era::Stateful,
};

/// Opens `count` sessions on a fresh gateway and says by how much it grew.
pub(crate) async fn measure(
    binary: &Path,
    backend: SocketAddr,
    count: usize,
    expected: &Expected,
) -> anyhow::Result<String> {
    let mut gateway = Middle::isthmus(binary, backend)?;
    gateway.ready(CELL, expected).await?;
    // What the first sessions cost once (pools, buffers of the allocator) is not what each costs.
    let mut client = Client::connect(gateway.address, &Middle::path(CELL), CELL.client).await?;
    for _ in 0..100 {
        client.open_session().await?;
    }
    let before = resident(&gateway)?;
    for _ in 0..count {
        client.open_session().await?;
    }
    let opened = resident(&gateway)?;
    for _ in 0..count {
        client.open_session().await?;
        client.ask(Ask::Call, expected).await?;
    }
    let called = resident(&gateway)?;
    let each = |from: u64, to: u64| to.saturating_sub(from) as f64 / count as f64 / 1024.0;
    Ok(format!(
        "Memory of {count} idle sessions: {:.1} KiB each after `initialize`, {:.1} KiB each after one call to a backend \
         that is stateful too (it then holds a session there); {:.1} MiB before them.",
        each(before, opened),
        each(opened, called),
        before as f64 / f64::from(1 << 20),
    ))
}

fn resident(gateway: &Middle) -> anyhow::Result<u64> {
    let usage = gateway.process.as_ref().map(Running::usage).transpose()?;
    Ok(usage.unwrap_or_default().resident)
}
