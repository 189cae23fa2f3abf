//! What flows through the gateway: a [`Request`] in, a [`Reply`] out.
//!
//! The shape is that of revision 2026-07-28 with a little more (design §2): every request carries its caller, and
//! "input required" is an outcome like any other, but a caller may be *live*, and then questions reach it as events on
//! the still open reply. Sessions, ids, tokens, headers and status codes belong to the rims and do not appear here.
//!
//! Knows nothing of HTTP and nothing of what stands behind a name.

mod authenticator;
mod authorization;
mod caller;
mod capabilities;
mod continuation;
mod error;
mod item;
mod listen;
mod listing;
mod name;
mod principal;
mod question;
mod reply;
mod request;
mod scope;
mod stage;
mod trail;

pub use authenticator::{
    Authenticator, BoxAuthenticator, Challenge, Credentials, Field, HeaderFields, PublicDocument,
};
pub use authorization::{AllAllowed, Attempt, Authorization, Decision, Rule, Verdict};
pub use caller::{Attachment, Caller};
pub use capabilities::{CapabilityFingerprint, ClientCapabilities};
pub use continuation::{Continuation, CreatedTask, ParkId};
pub use error::{Error, ErrorKind, Fault};
pub use item::{Item, ItemId, ItemKind, Target};
pub use listen::{Acknowledged, ListenFilter, Notice};
pub use listing::{Freshness, ListedItem, Listing, PeerFacts};
pub use name::{BackendName, ExposedName, InvalidBackendName, RouteName};
pub use principal::{CallersToken, CredentialId, Identity, Principal, PrincipalId};
pub use question::{Answer, Question};
pub use reply::{
    CacheHint, Complete, Event, InputRequired, LogRecord, Outcome, Progress, Reply, Step,
};
pub use request::{Request, Retry, Subject, TraceContext, Wants};
pub use scope::{Scope, ScopeId};
pub use stage::{BoxFuture, BoxStage, Stage};
pub use trail::Trail;
