//! Logins: a person consents, in a browser, that the gateway uses an account at a backend (26:basic/authorization, RFC 6749
//! §4.1, RFC 7636, RFC 9207, digest §4B).
//!
//! [`Login`] is the conversation with the authorization server up to a grant, which goes into the [`GrantStore`]; the
//! gateway's [`LoginSource`] takes tokens from there and renews them. Tokens are shown to the resource that they were made
//! for and to nobody else, and nothing that belongs to one authorization server is used with another one.

mod callback;
mod error;
mod flow;
mod pkce;
mod registration;
mod source;

use isthmus_config::PublicUrl;
use isthmus_exchange::PublicDocument;
use tokio_util::task::TaskTracker;

pub use error::LoginError;
pub use flow::{Begun, LoggedIn, Login};
pub(crate) use source::LoginSource;

use crate::GrantStore;
use registration::Introduction;

/// What logins to all backends share.
#[derive(Debug, Clone)]
pub struct Logins {
    pub(crate) store: GrantStore,
    pub(crate) introduction: Option<Introduction>,
    /// Renewals that must not end half-way.
    pub(crate) renewals: TaskTracker,
}

impl Logins {
    /// Logins whose grants are in `store`. `public_url` is by which authorization servers reach a listener, if one has it.
    #[must_use]
    pub fn new(store: GrantStore, public_url: Option<&PublicUrl>) -> Self {
        Self {
            store,
            introduction: public_url.and_then(Introduction::new),
            renewals: TaskTracker::new(),
        }
    }

    /// Completes when no login is being renewed any more. To be awaited when nothing asks for tokens any more: a renewal that
    /// ends half-way may cost its login.
    pub async fn settled(&self) {
        self.renewals.close();
        self.renewals.wait().await;
    }

    /// Completes a moment after somebody has logged in or out, or a login was renewed, in whatever process.
    pub(crate) async fn changed(&self) {
        self.store.changed().await;
        tokio::time::sleep(source::LONGEST_PAUSE).await;
    }
}

/// What a listener with this public URL serves, so that authorization servers can learn who the gateway is; `None` if only
/// this machine could read it.
#[must_use]
pub fn client_document(public_url: &PublicUrl) -> Option<PublicDocument> {
    Introduction::new(public_url).map(|introduction| introduction.document())
}
