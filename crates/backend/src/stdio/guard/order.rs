//! The words with which the gateway starts a guard, and the program that the guard runs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use isthmus_config::ProcessLimits;
use rustix::process::{Pid, Resource, Rlimit, setrlimit};

/// The arguments with which the gateway starts a guard.
pub(crate) fn guard_arguments(grace: Duration, limits: ProcessLimits) -> [OsString; 4] {
    [
        "__guard".into(),
        std::process::id().to_string().into(),
        grace.as_millis().to_string().into(),
        written(limits).into(),
    ]
}

/// What this process was started for.
#[derive(Debug)]
pub(super) enum Order {
    Guard(Plan),
    Become(Program),
}

/// What the guard was told.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) gateway: Pid,
    pub(super) grace: Duration,
    pub(super) program: Program,
}

/// What is to be run.
#[derive(Debug)]
pub(super) struct Program {
    limits: ProcessLimits,
    name: OsString,
    arguments: Vec<OsString>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum GuardError {
    #[error("`__guard` is started by the gateway itself")]
    Usage,
    #[error("the gateway was gone before its child was started")]
    Orphaned,
    #[error("cannot start `{}`: {source}", program.display())]
    Start {
        program: OsString,
        source: io::Error,
    },
    #[error("cannot prepare the guard: {0}")]
    Prepare(#[from] io::Error),
}

/// The exit codes a shell uses, too.
pub(super) const CANNOT_START: u8 = 126;
const NOT_FOUND: u8 = 127;

impl GuardError {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            _ => CANNOT_START,
        }
    }
}

impl Order {
    pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, GuardError> {
        let mut arguments = arguments.into_iter();
        let mut word = || arguments.next().and_then(|word| word.into_string().ok());
        let first = word().ok_or(GuardError::Usage)?;
        if first == "exec" {
            return Program::read(arguments).map(Self::Become);
        }
        let gateway = first.parse().ok().and_then(Pid::from_raw);
        let grace = word().and_then(|word| word.parse().ok());
        Ok(Self::Guard(Plan {
            gateway: gateway.ok_or(GuardError::Usage)?,
            grace: grace.map(Duration::from_millis).ok_or(GuardError::Usage)?,
            program: Program::read(arguments)?,
        }))
    }
}

impl Program {
    fn read(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, GuardError> {
        let limits = arguments
            .next()
            .as_deref()
            .and_then(OsStr::to_str)
            .and_then(read_limits);
        Ok(Self {
            limits: limits.ok_or(GuardError::Usage)?,
            name: arguments.next().ok_or(GuardError::Usage)?,
            arguments: arguments.collect(),
        })
    }

    pub(super) fn start(&self) -> Result<Pid, GuardError> {
        let mut command = if self.limits == ProcessLimits::default() {
            Command::new(&self.name)
        } else {
            let mut command = Command::new("/proc/self/exe");
            let limits = written(self.limits);
            command.args(["__guard", "exec", &limits]).arg(&self.name);
            command
        };
        let child = command.args(&self.arguments).process_group(0).spawn();
        child
            .map(|child| Pid::from_child(&child))
            .map_err(|source| self.error(source))
    }

    /// Sets the limits and becomes the program. Returns only if that fails.
    pub(super) fn replace_this_process<T>(self) -> Result<T, GuardError> {
        let ProcessLimits {
            memory,
            open_files,
            processes,
        } = self.limits;
        let wanted = [
            (Resource::As, memory),
            (Resource::Nofile, open_files),
            (Resource::Nproc, processes),
        ];
        for (resource, limit) in wanted {
            if limit.is_some() {
                let limit = Rlimit {
                    current: limit,
                    maximum: limit,
                };
                setrlimit(resource, limit).map_err(io::Error::from)?;
            }
        }
        let source = Command::new(&self.name).args(&self.arguments).exec();
        Err(self.error(source))
    }

    fn error(&self, source: io::Error) -> GuardError {
        GuardError::Start {
            program: self.name.clone(),
            source,
        }
    }
}

/// Limits as one word: memory, open files and processes, `-` for none.
fn written(limits: ProcessLimits) -> String {
    let ProcessLimits {
        memory,
        open_files,
        processes,
    } = limits;
    [memory, open_files, processes]
        .map(|limit| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()))
        .join(",")
}

fn read_limits(word: &str) -> Option<ProcessLimits> {
    let mut limits = word.split(',').map(|limit| match limit {
        "-" => Some(None),
        number => number.parse().ok().map(Some),
    });
    Some(ProcessLimits {
        memory: limits.next()??,
        open_files: limits.next()??,
        processes: limits.next()??,
    })
}

#[cfg(test)]
mod tests {
    use rustix::process::getpid;

    use super::*;

    #[test]
    fn the_guard_reads_back_what_the_gateway_writes() {
        let limits = ProcessLimits {
            open_files: Some(64),
            ..ProcessLimits::default()
        };
        let words = guard_arguments(Duration::from_millis(1500), limits);
        let words = words.into_iter().skip(1).chain(["sh".into(), "-c".into()]);
        let Ok(Order::Guard(plan)) = Order::read(words) else {
            panic!("not a guard's order");
        };
        assert_eq!(plan.gateway, getpid());
        assert_eq!(plan.grace, Duration::from_millis(1500));
        assert_eq!(plan.program.limits, limits);
        assert_eq!(plan.program.name, "sh");
        assert_eq!(plan.program.arguments, ["-c"]);
    }

    #[test]
    fn a_guard_that_was_not_started_by_the_gateway_refuses_to_run() {
        for words in [
            &[][..],
            &["x"],
            &["0", "1", "-,-,-", "sh"],
            &["7", "1", "-,-", "sh"],
            &["7", "1", "-,-,-"],
            &["exec", "sh"],
        ] {
            let words = words.iter().map(OsString::from);
            assert!(matches!(Order::read(words), Err(GuardError::Usage)));
        }
    }
}
