//! A program that serves a URL of ours: kept running, but not spoken to over its standard streams.

use std::fmt;
use std::process::Stdio;
use std::sync::Arc;

use isthmus_config::Restart;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::child::{ChildSettings, StdioError};
use super::restart::{AfterCrash, Supervisor, chance};
use super::stderr::{FreeText, TextLog};

/// A program that is kept running until this is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Companion {
    state: watch::Receiver<CompanionState>,
    stop: CancellationToken,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// How a companion is doing.
#[derive(Debug, Clone)]
pub(crate) enum CompanionState {
    /// It runs. Whether it answers is for whoever calls it to find out.
    Running,
    /// It crashed and is started again soon.
    Waiting(Arc<StdioError>),
    /// It crashed too often, or was never there, and is left alone.
    Parked(Arc<StdioError>),
    /// It was stopped.
    Stopped,
}

impl Companion {
    /// Starts the program and keeps it running by `policy`.
    ///
    /// # Errors
    ///
    /// It cannot be started at all: that is the operator's to mend, not ours to repeat.
    pub(crate) fn start(
        settings: ChildSettings,
        policy: Restart,
        background: &Handle,
    ) -> Result<Self, StdioError> {
        let stop = CancellationToken::new();
        let run = {
            let _inside = background.enter();
            Run::start(&settings, &stop)?
        };
        let (report, state) = watch::channel(CompanionState::Running);
        let task = keep_running(settings, Supervisor::new(policy), run, report, stop.clone());
        Ok(Self {
            state,
            stop,
            task: tokio::sync::Mutex::new(Some(background.spawn(task))),
        })
    }

    /// Follows how it is doing.
    pub(crate) fn state(&self) -> watch::Receiver<CompanionState> {
        self.state.clone()
    }

    /// Stops it and waits until nothing is left of it.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        if let Some(task) = self.task.lock().await.take() {
            // It does not panic, and nobody aborts it.
            let _ = task.await;
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // Its task ends by itself within the patience that the settings give the program.
        self.stop.cancel();
    }
}

async fn keep_running(
    settings: ChildSettings,
    mut supervisor: Supervisor,
    first: Run,
    report: watch::Sender<CompanionState>,
    stop: CancellationToken,
) {
    let mut run = Ok(first);
    loop {
        let failure = match run {
            Ok(run) => {
                supervisor.ready(Instant::now());
                report.send_replace(CompanionState::Running);
                run.ended().await
            }
            Err(error) => error,
        };
        if stop.is_cancelled() {
            break;
        }
        tracing::warn!(backend = %settings.backend, error = %failure, "its process crashed");
        let failure = Arc::new(failure);
        match supervisor.crashed(Instant::now(), chance()) {
            AfterCrash::StartAfter(wait) => {
                report.send_replace(CompanionState::Waiting(failure));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.cancelled() => break,
                }
            }
            AfterCrash::Park => {
                tracing::error!(backend = %settings.backend, error = %failure, "its process crashed too often and is left alone");
                report.send_replace(CompanionState::Parked(failure));
                stop.cancelled().await;
                break;
            }
        }
        run = Run::start(&settings, &stop);
    }
    report.send_replace(CompanionState::Stopped);
}

/// One run of the program.
struct Run {
    process: JoinHandle<super::child::Exit>,
    log: TextLog,
}

impl Run {
    fn start(settings: &ChildSettings, stop: &CancellationToken) -> Result<Self, StdioError> {
        let mut running = settings.start(Stdio::null())?;
        let log = TextLog::loud();
        let text = |stream| {
            let backend = settings.backend.clone();
            FreeText::new(backend, stream, log.clone())
        };
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let (said, complained) = (text("stdout"), text("stderr"));
        let stop = stop.clone();
        let process = async move {
            let gone = CancellationToken::new();
            let listening = gone.run_until_cancelled(async {
                tokio::join!(said.listen_to(stdout), complained.listen_to(stderr))
            });
            let ending = async {
                let exit = running.ended(stop).await;
                gone.cancel();
                exit
            };
            tokio::join!(ending, listening).0
        };
        Ok(Self {
            process: Handle::current().spawn(process),
            log,
        })
    }

    /// Waits for the end of the run, which its stop token brings about.
    async fn ended(self) -> StdioError {
        match self.process.await {
            Ok(exit) => StdioError::ended(exit, &self.log),
            Err(_) => StdioError::Deaf,
        }
    }
}

impl fmt::Display for CompanionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Waiting(error) => write!(f, "started again soon: {error}"),
            Self::Parked(error) => write!(f, "crashed too often: {error}"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}
