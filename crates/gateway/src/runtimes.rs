//! Where work runs: one current-thread runtime per core for client connections, one shared runtime for all else.
//!
//! Measured (design §12): connections on per-core runtimes with upstream pools of their own cost a third less than on one
//! work-stealing runtime at one connection, and a fifth less at many. Everything that outlives a connection (children,
//! GET streams, catalog refresh, sessions' calls) lives on the background runtime. Futures are `Send` throughout, so this
//! file alone decides.
//!
//! A call that outlives its connection is carried on by the background with the timers and sockets it began with, which
//! the runtime of its core drives: so the cores' runtimes stay until nothing runs on the background any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::Context as _;
use isthmus_exchange::BoxFuture;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Connections that wait to be picked up by a core.
const WAITING_CONNECTIONS: usize = 1024;

/// What a core does with a connection until it ends.
pub(crate) type Serve = Arc<dyn Fn(TcpStream, SocketAddr) -> BoxFuture<'static, ()> + Send + Sync>;

/// One connection on its way to a core.
struct Arrival {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    serve: Serve,
}

/// The per-core runtimes.
pub(crate) struct Cores {
    cores: Vec<Core>,
}

struct Core {
    arrivals: mpsc::Sender<Arrival>,
    open: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// How many cores serve connections.
pub(crate) fn core_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The runtime for everything that is not a client connection.
///
/// # Errors
///
/// The operating system's, when threads cannot be started.
pub(crate) fn background(slot: usize) -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(core_count())
        .thread_name("background")
        .on_thread_start(move || isthmus_egress::enter_slot(slot))
        .enable_all()
        .build()
        .context("cannot start the background threads")
}

impl Cores {
    /// Starts one thread with a runtime for each of `count` cores. `stop` makes them finish, `end` ends them.
    ///
    /// # Errors
    ///
    /// The operating system's, when threads cannot be started.
    pub(crate) fn start(
        count: usize,
        stop: &CancellationToken,
        end: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let cores = (0..count)
            .map(|index| Core::start(index, stop.clone(), end.clone()))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { cores })
    }

    /// Hands a connection to the core with the fewest open ones, before its first read.
    ///
    /// # Errors
    ///
    /// The operating system's when the socket cannot be handed over; the connection is closed then.
    pub(crate) async fn hand_over(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        serve: Serve,
    ) -> anyhow::Result<()> {
        let core = self
            .cores
            .iter()
            .min_by_key(|core| core.open.load(Ordering::Relaxed))
            .context("there is at least one core")?;
        let stream = stream.into_std()?;
        core.open.fetch_add(1, Ordering::Relaxed);
        core.arrivals
            .send(Arrival {
                stream,
                peer,
                serve,
            })
            .await
            .context("the core has stopped")
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.cores
            .iter()
            .map(|core| core.open.load(Ordering::Relaxed))
            .sum()
    }

    /// Waits until every core has finished its connections.
    pub(crate) fn join(mut self) {
        for core in &mut self.cores {
            if let Some(thread) = core.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("a thread that served connections panicked");
            }
        }
    }
}

impl Core {
    fn start(
        index: usize,
        stop: CancellationToken,
        end: CancellationToken,
    ) -> anyhow::Result<Self> {
        let (arrivals, queue) = mpsc::channel(WAITING_CONNECTIONS);
        let open = Arc::new(AtomicUsize::new(0));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a core's runtime")?;
        let counter = open.clone();
        let thread = std::thread::Builder::new()
            .name(format!("core-{index}"))
            .spawn(move || {
                isthmus_egress::enter_slot(index);
                runtime.block_on(async {
                    run(queue, counter, stop).await;
                    end.cancelled().await;
                });
            })
            .context("cannot start a core's thread")?;
        Ok(Self {
            arrivals,
            open,
            thread: Some(thread),
        })
    }
}

/// Counts a connection for as long as it is open, also if serving it panics.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn run(mut queue: mpsc::Receiver<Arrival>, open: Arc<AtomicUsize>, stop: CancellationToken) {
    let connections = tokio_util::task::TaskTracker::new();
    loop {
        let arrival = tokio::select! {
            () = stop.cancelled() => break,
            arrival = queue.recv() => arrival,
        };
        let Some(Arrival {
            stream,
            peer,
            serve,
        }) = arrival
        else {
            break;
        };
        let counted = Open(open.clone());
        match TcpStream::from_std(stream) {
            Ok(stream) => {
                connections.spawn_on(
                    async move {
                        serve(stream, peer).await;
                        drop(counted);
                    },
                    &Handle::current(),
                );
            }
            Err(error) => tracing::debug!(%error, "a connection could not be taken over"),
        }
    }
    connections.close();
    connections.wait().await;
}
