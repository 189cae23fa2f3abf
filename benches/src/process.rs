//! Processes that the bench starts, and what the kernel says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// A process that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: &'static str,
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

/// What a process and all its descendants have used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time of all threads, also of ended ones. Counted in ticks of usually 10 ms.
    pub(crate) cpu: Duration,
    /// Memory that is in RAM now, in bytes; pages that several processes share count several times.
    pub(crate) resident: u64,
}

/// The fields of `/proc/PID/stat` that we read (proc_pid_stat(5)).
struct Stat {
    parent: u32,
    ticks: u64,
    pages: u64,
}

impl Running {
    /// Starts `command` with pipes to talk through.
    pub(crate) fn start(name: &'static str, mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = child.stdout.take().map(BufReader::new);
        Ok(Self {
            name,
            child,
            output,
        })
    }

    /// Starts this program again in another role.
    pub(crate) fn start_self(name: &'static str, arguments: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name).args(arguments);
        Self::start(name, command)
    }

    /// The next line it prints.
    pub(crate) fn read_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if let Some(output) = &mut self.output {
            output.read_line(&mut line)?;
        }
        ensure!(!line.is_empty(), "{} ended early", self.name);
        Ok(line.trim_end().to_owned())
    }

    /// Tells it to go on.
    pub(crate) fn write_line(&mut self) -> anyhow::Result<()> {
        let input = self.child.stdin.as_mut().context("its input is a pipe")?;
        input.write_all(b"\n")?;
        Ok(input.flush()?)
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<String>> {
        Ok(self
            .child
            .try_wait()?
            .map(|status| format!("{} ended: {status}", self.name)))
    }

    /// What it and its descendants have used.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let all = processes()?;
        let mut tree = BTreeSet::from([self.child.id()]);
        // Children may have lower ids than their parents, hence the repetition.
        loop {
            let children = all
                .iter()
                .filter(|(_, stat)| tree.contains(&stat.parent))
                .map(|(id, _)| *id);
            let larger: BTreeSet<u32> = tree.iter().copied().chain(children).collect();
            if larger.len() == tree.len() {
                break;
            }
            tree = larger;
        }
        let stats = || tree.iter().filter_map(|id| all.get(id));
        let ticks: u64 = stats().map(|stat| stat.ticks).sum();
        let pages: u64 = stats().map(|stat| stat.pages).sum();
        Ok(Usage {
            cpu: Duration::from_secs(1) * u32::try_from(ticks)?
                / u32::try_from(rustix::param::clock_ticks_per_second())?,
            resident: pages * u64::try_from(rustix::param::page_size())?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A signal that lets nginx and the gateway end their own children.
        if let Ok(id) = i32::try_from(self.child.id())
            && let Some(id) = rustix::process::Pid::from_raw(id)
        {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn processes() -> anyhow::Result<BTreeMap<u32, Stat>> {
    let entries =
        std::fs::read_dir("/proc").context("the usage of a process is read from /proc (Linux)")?;
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(ids
        .filter_map(|id: u32| Some((id, Stat::read(id)?)))
        .collect())
}

impl Stat {
    /// `None` if the process has ended meanwhile.
    fn read(id: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in parentheses may hold anything, spaces and parentheses included; count from its end.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(1)?).ok()?,
            ticks: number(11)? + number(12)?,
            pages: number(21)?,
        })
    }
}
