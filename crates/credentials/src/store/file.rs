//! The file with the grants: opened for one look or one change.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use redb::{Database, DatabaseError, ReadableDatabase as _, TableDefinition, TableError};

use super::StoreError;

/// What came of an attempt.
pub(super) enum Attempt<T> {
    Done(T),
    /// Somebody else has the file open.
    InUse,
}

/// Everything whose key begins with `prefix`.
pub(super) fn range(
    path: &Path,
    prefix: &str,
) -> Result<Attempt<Vec<(String, String)>>, StoreError> {
    let Some(file) = open(path, false)? else {
        return Ok(Attempt::Done(Vec::new()));
    };
    with(path, file, |database| {
        let reading = database.begin_read()?;
        let table = match reading.open_table(GRANTS) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table?,
        };
        let mut found = Vec::new();
        for entry in table.range(prefix..)? {
            let (key, value) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((key.value().to_owned(), value.value().to_owned()));
        }
        Ok(found)
    })
}

/// Sets one entry. It is on the disk afterwards.
pub(super) fn insert(path: &Path, key: &str, value: &str) -> Result<Attempt<()>, StoreError> {
    let Some(file) = open(path, true)? else {
        return Ok(Attempt::InUse);
    };
    with(path, file, |database| {
        let writing = database.begin_write()?;
        writing.open_table(GRANTS)?.insert(key, value)?;
        writing.commit()?;
        Ok(())
    })
}

/// Removes everything whose key begins with `prefix`. Says whether there was anything.
pub(super) fn remove(path: &Path, prefix: &str) -> Result<Attempt<bool>, StoreError> {
    let Some(file) = open(path, false)? else {
        return Ok(Attempt::Done(false));
    };
    with(path, file, |database| {
        let writing = database.begin_write()?;
        let mut there = false;
        writing.open_table(GRANTS)?.retain(|key, _| {
            let keeps = !key.starts_with(prefix);
            there |= !keeps;
            keeps
        })?;
        writing.commit()?;
        Ok(there)
    })
}

/// `None` if there is no file and none is to be made.
fn open(path: &Path, make: bool) -> Result<Option<File>, StoreError> {
    let failed = |source| StoreError::Open {
        path: path.to_owned(),
        source,
    };
    if let (true, Some(folder)) = (make, path.parent()) {
        folder_for_owner(folder).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(make).mode(0o600);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !make => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(StoreError::Exposed { path, mode });
    }
    Ok(Some(file))
}

/// Makes a folder that is not there yet for its owner only.
pub(super) fn folder_for_owner(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn with<T>(
    path: &Path,
    file: File,
    work: impl FnOnce(&Database) -> Result<T, redb::Error>,
) -> Result<Attempt<T>, StoreError> {
    let broken = |source: redb::Error| StoreError::Broken {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let opened = Database::builder().set_cache_size(CACHE).create_file(file);
    let database = match opened {
        Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(Attempt::InUse),
        opened => opened.map_err(|error| broken(error.into()))?,
    };
    work(&database).map(Attempt::Done).map_err(broken)
}

const GRANTS: TableDefinition<'_, &str, &str> = TableDefinition::new("grants 1");
/// There is little in it, and it is read once.
const CACHE: usize = 1 << 20;
