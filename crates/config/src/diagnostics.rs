//! What is wrong with a config, all of it at once.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::config::Location;

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it was written.
    pub location: Location,
    /// The key, such as `backends.github`; empty for the file as a whole.
    pub path: String,
    /// What is wrong: lower case, without a full stop, things in backticks. Never the value of a secret.
    pub message: String,
    /// What to do, when we can guess.
    pub help: Option<String>,
}

/// Every complaint about one config, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// A single complaint about a file as a whole.
    #[must_use]
    pub fn about_file(file: &Path, message: impl Into<String>) -> Self {
        Self(vec![Diagnostic {
            location: Location::file(file),
            path: String::new(),
            message: message.into(),
            help: None,
        }])
    }

    /// These complaints; `None` if there are none.
    #[must_use]
    pub fn of(complaints: Vec<Diagnostic>) -> Option<Self> {
        (!complaints.is_empty()).then_some(Self(complaints))
    }

    /// The complaints.
    #[must_use]
    pub fn all(&self) -> &[Diagnostic] {
        &self.0
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(only: Diagnostic) -> Self {
        Self(vec![only])
    }
}

/// Collects complaints on the way.
#[derive(Debug)]
pub(crate) struct Complaints {
    file: Arc<Path>,
    found: Vec<Diagnostic>,
}

/// A place in the document, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Complaints {
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            file: file.into(),
            found: Vec::new(),
        }
    }

    pub(crate) fn location(&self, mark: Mark) -> Location {
        Location {
            file: Arc::clone(&self.file),
            line: mark.line,
            column: mark.column,
        }
    }

    pub(crate) fn add(&mut self, mark: Mark, path: impl Into<String>, message: impl Into<String>) {
        let location = self.location(mark);
        self.found.push(Diagnostic {
            location,
            path: path.into(),
            message: message.into(),
            help: None,
        });
    }

    pub(crate) fn add_with_help(
        &mut self,
        mark: Mark,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(mark, path, message);
        if let Some(last) = self.found.last_mut() {
            last.help = Some(help.into());
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether something was said about `path` itself.
    pub(crate) fn mention(&self, path: &str) -> bool {
        self.found.iter().any(|complaint| complaint.path == path)
    }

    /// Whether something was said about `path` or what is below it.
    pub(crate) fn mention_below(&self, path: &str) -> bool {
        self.found.iter().any(|complaint| {
            let rest = complaint.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// `value`, if there is nothing to complain about.
    pub(crate) fn unless_any<T>(mut self, value: T) -> Result<T, Diagnostics> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found
            .sort_by_key(|complaint| (complaint.location.line, complaint.location.column));
        Err(Diagnostics(self.found))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.location)?;
        match self.path.as_str() {
            "" => write!(f, "  {}", self.message)?,
            path => write!(f, "  {path}: {}", self.message)?,
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, complaint) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            complaint.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
