//! Keys in a file of the state directory, so that a restart voids no token (design §9).
//!
//! The file has one key per line, 64 hexadecimal digits, oldest first; lines that start with `#` are comments. To
//! rotate, append a line. The file must be readable by its owner alone.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{KeyMaterial, SealKeys};

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not exist and cannot be made.
    #[error("cannot create the key file `{}`", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error("the key file `{}` has mode {mode:04o}: others can read the keys; `chmod 600` it, and replace the keys if they may have leaked", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A line is not a key.
    #[error("line {line} of the key file `{}` is not a key of 64 hexadecimal digits", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// It has no key, or one twice.
    #[error("the key file `{}` has no key, or one of them twice", path.display())]
    NoKeys {
        /// The file.
        path: PathBuf,
    },
}

impl SealKeys {
    /// Loads the keys in the file at `path`, or makes the file (mode 0600) with one new key.
    ///
    /// Two processes that start at once end up with the same key.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]: it cannot be read or made, is readable by others, or holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        match load(path) {
            Err(KeyFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(|source| KeyFileError::Create {
                    path: path.to_owned(),
                    source,
                })?;
                load(path)
            }
            loaded => loaded,
        }
    }
}

fn load(path: &Path) -> Result<SealKeys, KeyFileError> {
    let owned = || path.to_owned();
    let read = |source| KeyFileError::Read {
        path: owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: owned(),
            mode,
        });
    }
    let text = fs::read_to_string(path).map_err(read)?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let material = parse(line).ok_or_else(|| KeyFileError::NotAKey {
            path: owned(),
            line: index + 1,
        })?;
        keys.push((material.id(), material));
    }
    SealKeys::from_keys(&keys).map_err(|_| KeyFileError::NoKeys { path: owned() })
}

/// Writes a new file beside `path` and links it there, unless somebody was faster: nobody ever sees half a file.
fn create(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let material = KeyMaterial::random();
    let beside = directory.join(format!(
        ".seal-key-{}-{:08x}",
        std::process::id(),
        material.id().0
    ));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let written = writeln!(
        file,
        "# Keys of isthmus, oldest first; the last one seals. Keep them secret.\n{}",
        hex(&material)
    )
    .and_then(|()| file.sync_all())
    .and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&beside);
    written.and(removed)
}

fn hex(material: &KeyMaterial) -> String {
    material
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn parse(text: &str) -> Option<KeyMaterial> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(KeyMaterial(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_file_is_made_once_for_its_owner_only_and_then_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/seal.key");
        let first = SealKeys::load_or_create(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let token = first.seal(Purpose::Cursor, "a", b"x");
        let second = SealKeys::load_or_create(&path).unwrap();
        assert_eq!(second.unseal(Purpose::Cursor, "a", &token).unwrap(), b"x");
    }

    #[test]
    fn an_appended_key_seals_and_the_old_one_still_opens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        let first = SealKeys::load_or_create(&path).unwrap();
        let token = first.seal(Purpose::Cursor, "a", b"x");
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(file, "{}", hex(&KeyMaterial([7; 32]))).unwrap();
        let second = SealKeys::load_or_create(&path).unwrap();
        assert_eq!(second.newest().id, KeyMaterial([7; 32]).id());
        assert_eq!(second.unseal(Purpose::Cursor, "a", &token).unwrap(), b"x");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_advice() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        SealKeys::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SealKeys::load_or_create(&path).unwrap_err();
        assert!(error.to_string().contains("0640"), "{error}");
    }

    #[test]
    fn a_line_that_is_no_key_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        SealKeys::load_or_create(&path).unwrap();
        fs::write(&path, "# fine\n\nabc\n").unwrap();
        assert!(matches!(
            SealKeys::load_or_create(&path),
            Err(KeyFileError::NotAKey { line: 3, .. })
        ));
        fs::write(&path, "# nothing\n").unwrap();
        assert!(matches!(
            SealKeys::load_or_create(&path),
            Err(KeyFileError::NoKeys { .. })
        ));
    }
}
