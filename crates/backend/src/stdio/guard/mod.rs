//! The process between the gateway and a child, which sees to it that nothing outlives either of them.
//!
//! The gateway starts its own binary again as `__guard GATEWAY_PID GRACE_MS LIMITS PROGRAM ARGUMENT…`. The guard becomes a
//! session leader and a subreaper, starts the program with its own standard streams, and then waits for three things:
//! the program ends, the gateway asks (SIGTERM), or the gateway is gone. Each time every descendant, also one that
//! changed its session or was orphaned, gets SIGTERM, some grace, and SIGKILL.
//!
//! *How it notices that the gateway is gone, `kill -9` included:* it holds a pidfd of the gateway. A pipe whose write
//! end only the gateway holds would do as well, but every other child the gateway starts at the same moment could
//! inherit that end, and handing the read end over without `unsafe` means giving up a standard stream. A pidfd needs
//! nothing to be passed on, leaves the program's streams untouched, and cannot be fooled by a reused process id: it is
//! opened first and trusted only if the gateway is then still our parent. `PR_SET_PDEATHSIG` would fire when the
//! *thread* that spawned us ends.
//!
//! The program runs in a process group of its own, so that a `kill 0` inside it does not reach the guard. If it has
//! resource limits, the guard starts the binary a third time, as `__guard exec LIMITS PROGRAM ARGUMENT…`, which limits
//! itself and becomes the program: limits set on the guard would bind the guard, and limits set on the running program
//! would come late. Linux only.

mod order;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, getppid, pidfd_open,
    set_child_subreaper, setsid, wait,
};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;
use tokio::time::Instant;

pub(crate) use self::order::guard_arguments;
use self::order::{CANNOT_START, GuardError, Order, Plan};
use super::processes;

/// How often a gateway is looked for on a kernel without pidfds (before 5.3).
const PARENT_CHECK: Duration = Duration::from_millis(250);
/// How often the descendants are looked for while they are being ended.
const SWEEP: Duration = Duration::from_millis(20);
/// The longest grace for what a program leaves behind when it ends by itself.
const LEFTOVERS: Duration = Duration::from_secs(2);
/// How long processes that do not even die by SIGKILL are waited for.
const GIVE_UP: Duration = Duration::from_secs(5);

/// Runs the guard with the arguments that follow `__guard`, and returns the program's exit code (128 + n if it died of
/// signal n). Call it first thing in `main`, before any thread exists.
pub fn guard_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let outcome = Order::read(arguments).and_then(|order| match order {
        Order::Guard(plan) => plan.run(),
        Order::Become(program) => program.replace_this_process(),
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The gateway captures this and shows it as the last words of the backend.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(error.code())
        }
    }
}

/// Everything the guard waits for, registered before the program starts so that nothing is missed.
struct Watch {
    gateway: Pid,
    gateway_gone: oneshot::Receiver<()>,
    child: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
}

impl Plan {
    fn run(self) -> Result<u8, GuardError> {
        // Fails only for a group leader, which already is out of the gateway's group.
        let _ = setsid();
        set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.guard())
    }

    async fn guard(self) -> Result<u8, GuardError> {
        let mut watch = Watch::new(self.gateway)?;
        if getppid() != Some(self.gateway) {
            return Err(GuardError::Orphaned);
        }
        let child = self.program.start()?;
        release_streams()?;
        let mut status = None;
        reap(child, &mut status);
        while status.is_none() && watch.next().await == Sign::ChildrenChanged {
            reap(child, &mut status);
        }
        // Whoever the program left behind was not asked to finish anything.
        let grace = if status.is_some() {
            self.grace.min(LEFTOVERS)
        } else {
            self.grace
        };
        end_descendants(child, &mut status, grace, &mut watch).await;
        Ok(status.map_or(CANNOT_START, exit_code))
    }
}

/// What the guard noticed.
#[derive(Debug, PartialEq, Eq)]
enum Sign {
    ChildrenChanged,
    Told,
    GatewayGone,
}

impl Watch {
    fn new(gateway: Pid) -> Result<Self, GuardError> {
        let (gone, gateway_gone) = oneshot::channel();
        match pidfd_open(gateway, PidfdFlags::empty()) {
            Ok(descriptor) => announce_end(descriptor, gone)?,
            Err(Errno::SRCH) => return Err(GuardError::Orphaned),
            // A kernel before 5.3: `gone` is dropped, which makes us look at our parent instead.
            Err(_) => {}
        }
        Ok(Self {
            gateway,
            gateway_gone,
            child: unix::signal(SignalKind::child())?,
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hang_up: unix::signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Sign {
        tokio::select! {
            _ = self.child.recv() => Sign::ChildrenChanged,
            _ = self.terminate.recv() => Sign::Told,
            _ = self.interrupt.recv() => Sign::Told,
            _ = self.hang_up.recv() => Sign::Told,
            () = gateway_gone(&mut self.gateway_gone, self.gateway) => Sign::GatewayGone,
        }
    }
}

async fn gateway_gone(gone: &mut oneshot::Receiver<()>, gateway: Pid) {
    if !gone.is_terminated() && gone.await.is_ok() {
        return;
    }
    while getppid() == Some(gateway) {
        tokio::time::sleep(PARENT_CHECK).await;
    }
}

/// Waits in a thread until the process behind a pidfd has ended: tokio has no safe way to wait for a descriptor of any
/// kind. The thread ends with the guard.
fn announce_end(process: OwnedFd, ended: oneshot::Sender<()>) -> io::Result<()> {
    let wait = move || {
        let mut descriptors = [PollFd::new(&process, PollFlags::IN)];
        while poll(&mut descriptors, None) == Err(Errno::INTR) {}
        // Nobody listens once the guard is ending everything anyway.
        let _ = ended.send(());
    };
    let thread = std::thread::Builder::new().name("gateway-watch".to_owned());
    thread.spawn(wait).map(drop)
}

/// Lets go of the program's streams: the gateway is to see their end when the program closes them, not when we do.
fn release_streams() -> Result<(), GuardError> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing).map_err(io::Error::from)?;
    rustix::stdio::dup2_stdout(&nothing).map_err(io::Error::from)?;
    Ok(())
}

/// Takes away every zombie; notes the status of `child`. False when nobody is left, which for a subreaper means: no
/// descendant at all.
fn reap(child: Pid, status: &mut Option<WaitStatus>) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((id, ended))) if id == child => *status = Some(ended),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

async fn end_descendants(
    child: Pid,
    status: &mut Option<WaitStatus>,
    grace: Duration,
    watch: &mut Watch,
) {
    let begun = Instant::now();
    let mut asked = HashSet::new();
    while reap(child, status) && begun.elapsed() < grace + GIVE_UP {
        let force = begun.elapsed() >= grace;
        for process in processes::descendants(getpid()) {
            if force {
                processes::signal(process, Signal::KILL);
            } else if asked.insert(process) {
                processes::signal(process, Signal::TERM);
                // A stopped process would not notice.
                processes::signal(process, Signal::CONT);
            }
        }
        // An orphan that changes hands raises no signal here, hence the period.
        let _ = tokio::time::timeout(SWEEP, watch.child.recv()).await;
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(1)
}
