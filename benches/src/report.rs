//! What is printed: one Markdown document on standard output.

use crate::arguments::{Ask, Cell, Through};
use crate::load::Found;
use crate::process::Usage;

/// One row of a table of calls.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) ask: Ask,
    pub(crate) cell: Cell,
    pub(crate) connections: usize,
    pub(crate) through: Through,
    pub(crate) found: Found,
    /// What the processes in between used for it; `None` if there are none.
    pub(crate) used: Option<Usage>,
}

/// Prints one line.
#[expect(clippy::print_stdout, reason = "this is the place")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Says what goes on, on standard error.
#[expect(clippy::print_stderr, reason = "this is the place")]
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Prints all rows, each compared with the direct one and with nginx's of the same kind.
pub(crate) fn table(rows: &[Row]) {
    line(
        "| asked | client → backend | connections | through | calls/s | p50 µs | p99 µs | CPU µs/call | RSS MiB | p50 / direct | CPU / nginx |",
    );
    line("|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        let like = |through| {
            rows.iter().find(|other| {
                (other.ask, other.cell, other.connections, other.through)
                    == (row.ask, row.cell, row.connections, through)
            })
        };
        let latency = like(Through::Direct).map(|direct| row.found.p50_us / direct.found.p50_us);
        let cpu = like(Through::Nginx)
            .and_then(Row::cpu_us)
            .zip(row.cpu_us())
            .map(|(nginx, own)| own / nginx);
        line(&format!(
            "| tools/{} | {} → {} | {} | {} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {} |",
            row.ask.name(),
            row.cell.client.name(),
            row.cell.backend.name(),
            row.connections,
            row.through.name(),
            row.found.calls as f64 / row.found.seconds,
            row.found.p50_us,
            row.found.p99_us,
            or_dash(row.cpu_us(), 1),
            or_dash(
                row.used
                    .map(|used| used.resident as f64 / f64::from(1 << 20)),
                1
            ),
            or_dash(latency, 2),
            or_dash(cpu, 2),
        ));
    }
}

impl Row {
    fn cpu_us(&self) -> Option<f64> {
        self.used
            .map(|used| used.cpu.as_secs_f64() * 1e6 / self.found.calls.max(1) as f64)
    }
}

fn or_dash(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "–".to_owned(), |number| format!("{number:.digits$}"))
}
