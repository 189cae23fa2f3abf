//! One after the other, across processes.
//!
//! A refresh token is worth one refresh where the authorization server rotates it: who uses an old one loses the grant. So
//! whoever renews a grant holds a lock on a file meanwhile, and looks again once he has it. The system gives the lock back
//! when its holder ends, however that happens.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::StoreError;
use super::file::folder_for_owner;

/// Nobody else renews meanwhile. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _locked: File,
}

/// `None` if somebody else has it.
pub(super) fn take(path: &Path) -> Result<Option<Turn>, StoreError> {
    let failed = |source| StoreError::Open {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        folder_for_owner(folder).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Turn { _locked: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
