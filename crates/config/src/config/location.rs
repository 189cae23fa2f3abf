//! Where something was written.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in a file, counted from 1. Line 0 means the file as a whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as the operator named it.
    pub file: Arc<Path>,
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A value and where it was written. Equality looks at the value only, so that a comment added above a backend does
/// not restart it.
#[derive(Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written; `None` for a default.
    pub location: Option<Location>,
}

impl Location {
    /// A file as a whole.
    #[must_use]
    pub fn file(file: &Path) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }
}

impl<T> Located<T> {
    /// A value at a place.
    #[must_use]
    pub const fn new(value: T, location: Location) -> Self {
        Self {
            value,
            location: Some(location),
        }
    }

    /// A value that nobody wrote.
    #[must_use]
    pub const fn nowhere(value: T) -> Self {
        Self {
            value,
            location: None,
        }
    }
}

impl<T> From<T> for Located<T> {
    fn from(value: T) -> Self {
        Self::nowhere(value)
    }
}

impl From<&str> for Located<PathBuf> {
    fn from(value: &str) -> Self {
        Self::nowhere(value.into())
    }
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T: fmt::Debug> fmt::Debug for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
