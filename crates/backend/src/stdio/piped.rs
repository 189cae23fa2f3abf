//! A child that speaks JSON-RPC over its stdin and stdout, as a pipe (26:basic/transports/stdio).

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use futures_core::Stream;
use isthmus_exchange::{BackendName, Error, ErrorKind};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::child::{ChildSettings, Exit, RunningChild, StdioError};
use super::line_writer::LineWriter;
use super::lines::{LineError, LineReader};
use super::stderr::{FreeText, TextLog};
use crate::duplex::{OutgoingMessage, Pipe, PipeEnd, PipeEvent};

/// Messages that wait for the child to read its stdin.
const OUTGOING: usize = 64;
/// How long the end of the process is waited for once its stdin or stdout has: longer than the guard gives to what a
/// crashed child left behind.
const EXIT_FOLLOWS: Duration = Duration::from_secs(3);
/// How long stderr is read on after the process has ended.
const STDERR_FOLLOWS: Duration = Duration::from_millis(500);

/// Starts the child and its task on `background`, which ends by itself after the pipe was dropped or closed. What the
/// child writes to stderr goes to `log`.
pub(crate) fn start_piped(
    settings: &ChildSettings,
    log: TextLog,
    background: &Handle,
) -> Result<Pipe, StdioError> {
    let _inside = background.enter();
    let mut running = settings.start(Stdio::piped())?;
    let streams = (
        running.child.stdin.take(),
        running.child.stdout.take(),
        running.child.stderr.take(),
    );
    let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
        unreachable!("all three streams were asked for as pipes");
    };
    let backend = settings.backend.clone();
    let (outgoing, lines) = mpsc::channel(OUTGOING);
    let (end, maker) = PipeEnd::new();
    let (exit, exited) = watch::channel(None);
    let (unread, rest) = oneshot::channel();
    let driver = Driver {
        running,
        stdin,
        lines,
        stderr,
        text: FreeText::new(backend.clone(), "stderr", log.clone()),
        rest,
        // Fires with the pipe's own wish to end, or when the child is of no more use.
        stop: maker.closing.child_token(),
    };
    let incoming = Incoming {
        backend: backend.clone(),
        lines: Some(LineReader::new(stdout, settings.longest_line)),
        unread: Some(unread),
        exited,
        log,
        closing: maker.closing.clone(),
        stop: driver.stop.clone(),
        farewell: VecDeque::new(),
        over: false,
    };
    background.spawn(async move {
        exit.send_replace(Some(driver.run().await));
        maker.ended.cancel();
    });
    Ok(Pipe {
        backend,
        outgoing,
        incoming: Box::pin(incoming.stream()),
        end,
    })
}

/// What moves the bytes of a child and waits for its end.
struct Driver {
    running: RunningChild,
    stdin: ChildStdin,
    lines: mpsc::Receiver<OutgoingMessage>,
    stderr: ChildStderr,
    text: FreeText,
    /// Its stdout, once nobody reads it any more.
    rest: oneshot::Receiver<ChildStdout>,
    stop: CancellationToken,
}

impl Driver {
    async fn run(self) -> Ended {
        let Self {
            running,
            stdin,
            mut lines,
            stderr,
            text,
            rest,
            stop,
        } = self;
        let gone = CancellationToken::new();
        let process = async {
            let exit = running.ended(stop.clone()).await;
            gone.cancel();
            exit
        };
        let writing = async {
            let mut stdin = LineWriter::new(stdin);
            let writing = async {
                if write_lines(&mut stdin, &mut lines, &stop).await.is_err() {
                    // Usually the child has just ended. One that lives on and does not listen is of no use.
                    tokio::time::sleep(EXIT_FOLLOWS).await;
                    stop.cancel();
                }
            };
            gone.run_until_cancelled(writing).await;
            stdin.unwritten().collect::<Vec<_>>()
        };
        // A child that is told to end may still have something to say; to close its stdout would be a second error.
        let draining = gone.run_until_cancelled(async {
            if let Ok(mut stdout) = rest.await {
                let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
            }
        });
        let logging = async {
            tokio::select! {
                () = text.listen(stderr) => {}
                () = async {
                    gone.cancelled().await;
                    tokio::time::sleep(STDERR_FOLLOWS).await;
                } => {}
            }
        };
        let (exit, mut unwritten, ..) = tokio::join!(process, writing, draining, logging);
        lines.close();
        while let Ok(message) = lines.try_recv() {
            unwritten.extend(message.request);
        }
        Ended { exit, unwritten }
    }
}

/// Writes messages until told to stop or there is nobody left who could send.
async fn write_lines(
    stdin: &mut LineWriter<ChildStdin>,
    lines: &mut mpsc::Receiver<OutgoingMessage>,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    loop {
        let message = match lines.try_recv() {
            Ok(message) => Some(message),
            Err(_) => {
                stdin.flush().await?;
                tokio::select! {
                    biased;
                    message = lines.recv() => message,
                    () = stop.cancelled() => None,
                }
            }
        };
        let Some(message) = message else {
            return stdin.flush().await;
        };
        stdin.push(message).await?;
    }
}

/// How a child ended.
#[derive(Debug, Clone)]
struct Ended {
    exit: Exit,
    /// The requests that it cannot have seen.
    unwritten: Vec<u64>,
}

struct Incoming {
    backend: BackendName,
    /// There until it is dropped.
    lines: Option<LineReader<ChildStdout>>,
    unread: Option<oneshot::Sender<ChildStdout>>,
    exited: watch::Receiver<Option<Ended>>,
    log: TextLog,
    closing: CancellationToken,
    stop: CancellationToken,
    /// What is said after the last line.
    farewell: VecDeque<Result<PipeEvent, Error>>,
    over: bool,
}

impl Incoming {
    fn stream(self) -> impl Stream<Item = Result<PipeEvent, Error>> + Send {
        futures_util::stream::unfold(self, |mut incoming| async move {
            let item = incoming.next().await?;
            Some((item, incoming))
        })
    }

    async fn next(&mut self) -> Option<Result<PipeEvent, Error>> {
        if self.over {
            return self.farewell.pop_front();
        }
        loop {
            match self.lines.as_mut()?.next().await {
                Ok(Some(line)) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(Some(line)) => return Some(Ok(PipeEvent::Message(line))),
                Err(error @ LineError::TooLong(_)) => {
                    self.stop.cancel();
                    self.over = true;
                    let kind = ErrorKind::BackendMisbehaved(self.backend.clone());
                    let message = format!("backend `{}`: {error}", self.backend);
                    return Some(Err(Error::new(kind, message)));
                }
                Ok(None) | Err(LineError::Io(_)) => {
                    self.over = true;
                    self.end().await;
                    return self.farewell.pop_front();
                }
            }
        }
    }

    /// Finds out why there is no more to read, which is not worth a word if we wanted it so.
    async fn end(&mut self) {
        let ended = self.exited.wait_for(Option::is_some);
        let ended = match tokio::time::timeout(EXIT_FOLLOWS, ended).await {
            Ok(Ok(ended)) => ended.clone(),
            _ => None,
        };
        if self.closing.is_cancelled() {
            return;
        }
        let (failure, unwritten) = match ended {
            Some(Ended { exit, unwritten }) if !self.stop.is_cancelled() => {
                (StdioError::ended(exit, &self.log), unwritten)
            }
            _ => (StdioError::Deaf, Vec::new()),
        };
        self.stop.cancel();
        let failure = failure.at(&self.backend);
        for request in unwritten {
            let error = failure.clone().with_kind(ErrorKind::SessionUnknown);
            let event = PipeEvent::Undelivered { request, error };
            self.farewell.push_back(Ok(event));
        }
        self.farewell.push_back(Err(failure));
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let (Some(lines), Some(unread)) = (self.lines.take(), self.unread.take()) {
            // Nobody takes it if the process has ended.
            let _ = unread.send(lines.into_inner());
        }
    }
}
