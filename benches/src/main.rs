//! Compares isthmus with a direct call and with nginx as a plain reverse proxy, in one run on one machine.
//!
//! A backend, a load generator and what stands between them are separate processes. Absolute times say something about
//! the machine; the ratios say something about the gateway. Every response is checked, so that nobody is fast by
//! answering something else.

mod arguments;
mod backend;
mod client;
mod idle;
mod load;
mod measure;
mod middle;
mod payload;
mod process;
mod report;
mod start;

use clap::Parser as _;

use crate::arguments::{Arguments, Part};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match arguments.part {
        Some(Part::Backend(settings)) => runtime.block_on(backend::run(&settings)),
        Some(Part::Load(settings)) => runtime.block_on(load::run(&settings)),
        None => runtime.block_on(measure::run(&arguments.measure)),
    }
}
