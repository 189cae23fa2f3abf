//! The whole run: every combination that was asked for, one after the other.

use anyhow::Context as _;

use crate::arguments::{Ask, Cell, LoadArguments, MeasureArguments, Through};
use crate::client::Expected;
use crate::load::Found;
use crate::middle::{self, Middle};
use crate::process::{Running, Usage};
use crate::report::{self, Row};
use crate::{idle, start};

/// At how many connections listings are measured.
const LIST_CONNECTIONS: usize = 16;

pub(crate) async fn run(settings: &MeasureArguments) -> anyhow::Result<()> {
    let arguments = [
        format!("--size={}", settings.size),
        format!("--tools={}", settings.tools),
    ];
    let mut backend = Running::start_self("backend", &arguments)?;
    let backend_address = backend
        .read_line()?
        .parse()
        .context("the backend says where it listens")?;
    let isthmus = middle::isthmus_binary(settings.isthmus.as_ref())
        .filter(|_| !settings.without.contains(&Through::Isthmus));

    let mut rows = Vec::new();
    for through in Through::ALL
        .into_iter()
        .filter(|through| !settings.without.contains(through))
    {
        let middle = match through {
            Through::Direct => Some(Middle::direct(backend_address)),
            Through::Nginx => Middle::nginx(backend_address)?,
            Through::Isthmus => isthmus
                .as_deref()
                .map(|binary| Middle::isthmus(binary, backend_address))
                .transpose()?,
        };
        match middle {
            Some(middle) => rows.extend(rows_through(middle, settings).await?),
            None => report::progress(&format!("{} is not here and left out", through.name())),
        }
    }
    rows.sort_by_key(|row| {
        (
            row.ask == Ask::List,
            position(settings, row.cell),
            row.connections,
        )
    });
    report::line(&format!(
        "Results of {} bytes, {} tools, {} cores.\n",
        settings.size,
        settings.tools,
        std::thread::available_parallelism()?
    ));
    report::table(&rows);
    if let Some(binary) = isthmus {
        let expected = Expected::new(settings.size, settings.tools);
        if settings.sessions > 0 {
            report::line(&format!(
                "\n{}",
                idle::measure(&binary, backend_address, settings.sessions, &expected).await?
            ));
        }
        if settings.starts > 0 {
            report::line(&format!(
                "\n{}",
                start::measure(&binary, backend_address, settings.starts, &expected).await?
            ));
        }
    }
    Ok(())
}

/// Everything that is asked through one thing.
async fn rows_through(mut middle: Middle, settings: &MeasureArguments) -> anyhow::Result<Vec<Row>> {
    let expected = Expected::new(settings.size, settings.tools);
    let mut rows = Vec::new();
    for &cell in &settings.cells {
        middle.ready(cell, &expected).await?;
        let calls = settings
            .connections
            .iter()
            .map(|&connections| (Ask::Call, connections));
        for (ask, connections) in calls.chain([(Ask::List, LIST_CONNECTIONS)]) {
            report::progress(&format!(
                "{:8} {:9} → {:9} tools/{} {connections:3} connections",
                middle.through.name(),
                cell.client.name(),
                cell.backend.name(),
                ask.name()
            ));
            let load = LoadArguments {
                address: middle.address,
                path: Middle::path(cell),
                era: cell.client,
                ask,
                connections,
                seconds: settings.seconds,
                size: settings.size,
                tools: settings.tools,
            };
            let (found, used) = under_load(&middle, &load)?;
            rows.push(Row {
                ask,
                cell,
                connections,
                through: middle.through,
                found,
                used,
            });
        }
    }
    Ok(rows)
}

/// Runs one load and says what the processes in between used meanwhile.
fn under_load(middle: &Middle, load: &LoadArguments) -> anyhow::Result<(Found, Option<Usage>)> {
    let usage = || middle.process.as_ref().map(Running::usage).transpose();
    let mut running = Running::start_self("load", &load.to_arguments())?;
    let ready = running.read_line()?;
    anyhow::ensure!(ready == "ready", "the load generator says `{ready}`");
    let before = usage()?;
    running.write_line()?;
    let found = serde_json::from_str(&running.read_line()?)?;
    let used = usage()?.zip(before).map(|(after, before)| Usage {
        cpu: after.cpu - before.cpu,
        ..after
    });
    Ok((found, used))
}

fn position(settings: &MeasureArguments, cell: Cell) -> Option<usize> {
    settings.cells.iter().position(|other| *other == cell)
}

impl LoadArguments {
    fn to_arguments(&self) -> Vec<String> {
        vec![
            format!("--address={}", self.address),
            format!("--path={}", self.path),
            format!("--era={}", self.era.name()),
            format!("--ask={}", self.ask.name()),
            format!("--connections={}", self.connections),
            format!("--seconds={}", self.seconds.as_secs_f64()),
            format!("--size={}", self.size),
            format!("--tools={}", self.tools),
        ]
    }
}
