//! What logins have given, encrypted, in a file of the state folder.
//!
//! A command and any number of gateways of one machine share the file: each opens it for one look or one change, which takes
//! milliseconds, and waits while another one has it. A grant is sealed for the account and the authorization server that it
//! belongs to, so that it opens nowhere else, and the file names neither of them in the clear. What cannot be opened, because
//! the key is another one, counts as not there.

mod file;
mod grant;
mod turn;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use isthmus_exchange::BackendName;
use isthmus_seal::{Purpose, SealKeys};
use tokio::time::Instant;

pub(crate) use grant::{Grant, GrantClient};
pub(crate) use turn::Turn;

use crate::Holder;
use file::Attempt;

/// What logins have given. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct GrantStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    keys: Arc<SealKeys>,
}

/// Whose grants, for which backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account(String);

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or made.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("`{}` has mode {mode:04o}: others can read it; `chmod 600` it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else has had it open for too long.
    #[error("`{}` is in use", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// What stands in it is broken, or the disk is.
    #[error("`{}` cannot be used", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
}

impl GrantStore {
    /// The store in `folder`, which is made when something is kept there first. Nothing is touched yet.
    #[must_use]
    pub fn new(folder: &Path, keys: Arc<SealKeys>) -> Self {
        Self(Arc::new(Inner {
            folder: folder.to_owned(),
            keys,
        }))
    }

    /// What there is for an account: mostly one grant, more if its backend has changed the authorization server.
    pub(crate) async fn grants(&self, account: &Account) -> Result<Vec<Grant>, StoreError> {
        let prefix = account.prefix();
        let range = prefix.clone();
        let found = self.attempt(move |path| file::range(path, &range)).await?;
        let open = |(key, sealed): (String, String)| {
            let opened = self.0.keys.unseal(Purpose::Grant, &key, &sealed).ok();
            let grant = opened.and_then(|bytes| Grant::read(&bytes));
            if grant.is_none() {
                tracing::warn!(
                    "a login cannot be opened with the seal keys there are, and counts as not there"
                );
            }
            grant.filter(|grant| account.key(&grant.issuer) == key)
        };
        Ok(found.into_iter().filter_map(open).collect())
    }

    /// Keeps `grant` in place of what there was from the same authorization server.
    pub(crate) async fn put(&self, account: &Account, grant: &Grant) -> Result<(), StoreError> {
        let key = account.key(&grant.issuer);
        let sealed = self.0.keys.seal(Purpose::Grant, &key, &grant.write());
        let change = move |path: &Path| file::insert(path, &key, &sealed);
        self.attempt(change).await
    }

    /// Forgets the account's grant from `issuer`, or from everybody. Says whether there was any.
    pub(crate) async fn remove(
        &self,
        account: &Account,
        issuer: Option<&str>,
    ) -> Result<bool, StoreError> {
        let prefix = issuer.map_or_else(|| account.prefix(), |issuer| account.key(issuer));
        self.attempt(move |path| file::remove(path, &prefix)).await
    }

    /// Waits until nobody else, in any process, renews this account's grants.
    pub(crate) async fn turn(&self, account: &Account) -> Result<Turn, StoreError> {
        let bucket = account.prefix().chars().take(2).collect::<String>();
        let path = self.0.folder.join(format!("logins-{bucket}.lock"));
        let ends = Instant::now() + LONGEST_TURN;
        loop {
            let place = path.clone();
            match blocking(&path, move || turn::take(&place)).await? {
                Some(turn) => return Ok(turn),
                None if Instant::now() >= ends => return Err(StoreError::Busy { path }),
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Completes when the file has changed.
    pub(crate) async fn changed(&self) {
        let path = self.0.folder.join(FILE);
        let stamp = || {
            let found = std::fs::metadata(&path).ok()?;
            Some((found.modified().ok(), found.len()))
        };
        let before = stamp();
        while stamp() == before {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Runs `work` when nobody else has the file open.
    async fn attempt<T, Work>(&self, work: Work) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Work: Fn(&Path) -> Result<Attempt<T>, StoreError> + Clone + Send + 'static,
    {
        let path = self.0.folder.join(FILE);
        let ends = Instant::now() + LONGEST_WAIT;
        loop {
            let (work, place) = (work.clone(), path.clone());
            match blocking(&path, move || work(&place)).await? {
                Attempt::Done(done) => return Ok(done),
                Attempt::InUse if Instant::now() >= ends => return Err(StoreError::Busy { path }),
                Attempt::InUse => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

impl Account {
    pub(crate) fn new(backend: &BackendName, holder: &Holder) -> Self {
        let holder = match holder.principal_id() {
            None => "operator".to_owned(),
            Some(principal) => format!("caller {}", principal.as_str()),
        };
        // The length in front makes the joined text unambiguous whatever the parts contain.
        let backend = backend.as_str();
        Self(format!("{}:{backend}:{holder}", backend.len()))
    }

    /// What the keys of all its grants begin with.
    fn prefix(&self) -> String {
        hashed(&self.0)
    }

    fn key(&self, issuer: &str) -> String {
        format!("{}/{}", self.prefix(), hashed(issuer))
    }
}

fn hashed(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        // Writing to a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(StoreError::Open {
            path: path.to_owned(),
            source: std::io::Error::other(error),
        })
    })
}

const FILE: &str = "logins.redb";
/// How soon a change is noticed. Only who waits for one looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a look or a change waits for others, each of which takes milliseconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long to wait for others who ask an authorization server.
const LONGEST_TURN: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
