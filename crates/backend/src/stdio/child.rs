//! One running child: started under the guard, waited for, ended in order.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use isthmus_config::{Process, Secret};
use isthmus_exchange::{BackendName, Error, ErrorKind, Fault};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::program::{self, ProgramError};
use super::stderr::TextLog;
#[cfg(target_os = "linux")]
use super::{guard, processes};

/// How long a guard may take on top of the grace it gives to others.
const GUARD_MARGIN: Duration = Duration::from_secs(6);

/// How a child is started and ended.
#[derive(Debug, Clone)]
pub(crate) struct ChildSettings {
    /// Whose child it is.
    pub(crate) backend: BackendName,
    /// The program.
    pub(crate) process: Process,
    /// The binary that [`guard_main`](super::guard_main) runs in, usually our own as `/proc/self/exe`: that is the running
    /// one also after its file has been replaced.
    pub(crate) guard: PathBuf,
    /// From closing its stdin to SIGTERM, and from that to SIGKILL.
    pub(crate) stop: Duration,
    /// The longest line of its stdout, in bytes.
    pub(crate) longest_line: usize,
}

/// What went wrong with a child.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StdioError {
    /// It cannot be found.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// It cannot be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program as it was written.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It runs, but does not listen or speak any more.
    #[error("it closed its stdin or stdout without ending")]
    Deaf,
    /// It runs, but is no MCP server, or not one yet.
    #[error("its last words so far: {0}")]
    Unready(String),
    /// It ended.
    #[error("{exit}; its last words: {last_words}")]
    Ended {
        /// How.
        exit: Exit,
        /// The end of its stderr.
        last_words: String,
    },
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit code, 128 + n for signal n.
    pub(crate) code: i32,
}

/// A started child. Dropping it asks the guard to end it.
#[derive(Debug)]
pub(super) struct RunningChild {
    pub(super) child: Child,
    /// It has a stdin that can be closed, which asks it to end.
    has_stdin: bool,
    stop: Duration,
}

impl ChildSettings {
    /// Starts the child. Must be called inside the runtime that is to drive it.
    pub(super) fn start(&self, stdin: Stdio) -> Result<RunningChild, StdioError> {
        let Process {
            command: program,
            args,
            env,
            directory,
            limits: _,
        } = &self.process;
        let search = env.iter().find(|(name, _)| name == "PATH");
        let search = search.map(|(_, value)| value.expose().as_ref());
        program::find(program, search, directory)?;
        let mut command = self.guarded_program();
        command
            .args(args)
            .env_clear()
            .envs(
                env.iter()
                    .map(|(name, value): &(String, Secret)| (name, value.expose())),
            )
            .current_dir(&**directory)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = Command::from(command)
            .spawn()
            .map_err(|source| StdioError::Start {
                program: program.display().to_string(),
                source,
            })?;
        Ok(RunningChild {
            has_stdin: child.stdin.is_some(),
            child,
            stop: self.stop,
        })
    }

    #[cfg(target_os = "linux")]
    fn guarded_program(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.guard);
        command
            .arg0("isthmus")
            .args(guard::guard_arguments(self.stop, self.process.limits))
            .arg(&*self.process.command);
        command
    }

    /// Without a subreaper the child leads a process group of its own: what stays in the group ends with it, what leaves
    /// the group or outlives a killed gateway does not. Limits are not set.
    #[cfg(not(target_os = "linux"))]
    fn guarded_program(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&*self.process.command);
        command.process_group(0);
        command
    }
}

impl StdioError {
    /// The error at the seam: who failed, and what can be done.
    pub(crate) fn at(self, backend: &BackendName) -> Error {
        let kind = ErrorKind::BackendUnavailable(backend.clone());
        let message = match &self {
            Self::Program(_) | Self::Start { .. } | Self::Deaf => {
                format!("backend `{backend}`: {self}")
            }
            // Its last words may be nobody's business but the operator's.
            Self::Unready(_) => format!("backend `{backend}` is not ready"),
            Self::Ended { exit, .. } => format!("backend `{backend}`: {exit}"),
        };
        let error = Error::new(kind, message);
        // Only what the message does not say already.
        match self {
            Self::Program(ProgramError::Directory { source, .. }) => {
                error.with_fault(Fault::Operator).caused_by(source)
            }
            Self::Program(_) => error.with_fault(Fault::Operator),
            Self::Start { source, .. } => error.caused_by(source),
            Self::Deaf => error,
            Self::Unready(_) | Self::Ended { .. } => error.caused_by(self),
        }
    }

    /// How a child ended, with what it said last.
    pub(crate) fn ended(exit: Exit, log: &TextLog) -> Self {
        Self::Ended {
            exit,
            last_words: log.last_words(),
        }
    }
}

impl RunningChild {
    /// Waits for the end of the child. When `stop` fires, its stdin is about to be closed if it has one: after some patience
    /// SIGTERM follows, then SIGKILL (digest §1.4).
    pub(super) async fn ended(mut self, stop: CancellationToken) -> Exit {
        let leader = self.leader();
        let own_end = tokio::select! {
            status = self.child.wait() => Some(status),
            () = stop.cancelled() => None,
        };
        let status = match own_end {
            Some(status) => status,
            None => self.end().await,
        };
        let code = match status {
            Ok(status) => {
                if status.signal().is_some() {
                    // The guard itself was killed: it could not look after its charges.
                    sweep(leader);
                }
                code_of(status)
            }
            Err(_) => -1,
        };
        Exit { code }
    }

    async fn end(&mut self) -> io::Result<ExitStatus> {
        if self.has_stdin
            && let Some(status) = self.within(self.stop).await
        {
            return status;
        }
        self.signal(Signal::TERM);
        if let Some(status) = self.within(self.stop + GUARD_MARGIN).await {
            return status;
        }
        self.signal(Signal::KILL);
        self.child.wait().await
    }

    async fn within(&mut self, patience: Duration) -> Option<io::Result<ExitStatus>> {
        let waiting: &mut (dyn Future<Output = _> + Send + Unpin) =
            &mut Box::pin(self.child.wait());
        tokio::time::timeout(patience, waiting).await.ok()
    }

    fn leader(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }

    /// Signals the guard, which passes it on; without a guard, the group. Nothing once the end was waited for.
    fn signal(&self, signal: Signal) {
        let Some(leader) = self.leader() else { return };
        #[cfg(target_os = "linux")]
        processes::signal(leader, signal);
        #[cfg(not(target_os = "linux"))]
        let _ = rustix::process::kill_process_group(leader, signal);
    }
}

impl Drop for RunningChild {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}

/// Ends what a killed guard left in its session.
fn sweep(leader: Option<Pid>) {
    #[cfg(target_os = "linux")]
    for process in leader.into_iter().flat_map(processes::members_of_session) {
        processes::signal(process, Signal::KILL);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = leader;
}

fn code_of(status: ExitStatus) -> i32 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => -1,
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            0 => f.write_str("its process ended"),
            code @ 129..=192 => write!(f, "its process was ended by signal {}", code - 128),
            code => write!(f, "its process ended with exit code {code}"),
        }
    }
}
