//! Where a call to a stateful backend waits while its stateless client is away, asking its user (digest §3.5).
//!
//! A *park* is such a call: one task owns the live reply, the conversation it came from and the questions that are open.
//! The client holds nothing but a name and the number of a round. Whatever its retries do, the backend is given each
//! answer once, and a principal never meets the call of another. `LIFECYCLE.md` draws the life of a park.

use std::sync::Arc;
use std::time::Duration;

use isthmus_config::Bounds;
use isthmus_exchange::{
    Continuation, Error, ErrorKind, InputRequired, ParkId, Question, Reply, Request,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::park::{Park, Resume};
pub(crate) use self::parkable::Parkable;
pub(crate) use self::seed::{Occupied, ParksOfOne, Seed};
use self::table::{Limits, Table};

mod attached;
mod budget;
mod kept;
mod meanwhile;
mod open;
mod park;
mod parkable;
mod seed;
mod table;
#[cfg(test)]
mod tests;
mod window;

/// All parked calls of a gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Parking(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    background: Handle,
    lifetime: Duration,
    table: Table,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Parking {
    /// An empty one; parks are tasks on `background`.
    #[must_use]
    pub fn new(bounds: &Bounds, background: Handle) -> Self {
        Self(Arc::new(Shared {
            background,
            lifetime: bounds.park_lifetime,
            table: Table::new(Limits {
                parks: bounds.parks,
                per_principal: bounds.parks_per_principal,
            }),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }))
    }

    /// How long a park waits for its client: what names it need not be good for longer.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    /// Goes on with the call that a retry names by [`Continuation::Parked`], whatever has become of its backend's settings
    /// meanwhile.
    ///
    /// Capabilities, principal and wishes are those of the retry. Dropping the future or the reply of a call that runs
    /// cancels it, unless another retry of it still waits.
    ///
    /// # Errors
    ///
    /// `Expired` if there is no such park (any more) or it is another principal's: the two cannot be told apart.
    /// `MissingCapability` if the retry can no longer be asked what is open: the park stays. `InvalidParams` for answers
    /// that are none, `Overloaded` if the backend has no place for the call now: the park stays too.
    pub async fn resume(&self, request: Request) -> Result<Reply, Error> {
        let Some(retry) = request.retry else {
            return Err(expired());
        };
        let Some(Continuation::Parked { park, round }) = retry.state else {
            return Err(expired());
        };
        let retries = self.0.table.find(park, request.caller.principal.id());
        let retries = retries.ok_or_else(expired)?;
        let (respond, responded) = oneshot::channel();
        let resume = Resume {
            round,
            responses: retry.responses,
            capabilities: request.caller.capabilities.clone(),
            wants: request.wants,
            deadline: request.deadline,
            respond,
        };
        retries.send(resume).await.map_err(|_| expired())?;
        responded.await.unwrap_or_else(|_| Err(expired()))
    }

    /// Ends every park: what is open is declined at the backend, and retries learn that the interaction expired.
    pub async fn close(&self) {
        self.0.closing.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Makes a park of a call that asks these questions.
    ///
    /// # Errors
    ///
    /// `Overloaded` if there are too many, `BackendUnavailable` once it was closed; then the call is cancelled.
    fn park(
        &self,
        seed: Seed,
        reply: Reply,
        questions: Vec<Question>,
    ) -> Result<InputRequired, Error> {
        let shared = &self.0;
        let ended = shared.closing.is_cancelled() || seed.ending.is_cancelled();
        if ended {
            let text = format!("`{}` is being stopped", seed.backend);
            return Err(Error::new(
                ErrorKind::BackendUnavailable(seed.backend),
                text,
            ));
        }
        let (retries, arriving) = mpsc::channel(WAITING_RETRIES);
        let place = shared.table.admit(&seed.principal, retries)?;
        let (park, required) = Park::new(shared.clone(), place, seed, reply, questions, arriving)?;
        shared.tasks.spawn_on(park.run(), &shared.background);
        Ok(required)
    }
}

/// What a retry hears that comes too late, or names nothing of its own.
fn expired() -> Error {
    Error::new(
        ErrorKind::Expired,
        "the interaction expired; send the call again",
    )
}

fn new_id() -> ParkId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    ParkId(u128::from_ne_bytes(bytes))
}

/// Retries that may wait for a park to look at them; more wait in their own tasks.
const WAITING_RETRIES: usize = 4;
