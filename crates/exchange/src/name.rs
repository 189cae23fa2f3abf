//! Names with a meaning. One becomes another only through the catalog or a parser.

use std::fmt;
use std::sync::Arc;

/// The name of a backend: `[a-z][a-z0-9-]{0,31}` (design §6), so that it may also stand before a URI as a scheme.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendName(Arc<str>);

/// The text is not a backend name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a backend name: use 1 to 32 of a-z, 0-9 and `-`, starting with a letter")]
pub struct InvalidBackendName(pub String);

impl BackendName {
    /// Checks and keeps a name.
    ///
    /// # Errors
    ///
    /// [`InvalidBackendName`] if `text` does not match `[a-z][a-z0-9-]{0,31}`.
    pub fn parse(text: &str) -> Result<Self, InvalidBackendName> {
        let mut characters = text.bytes();
        let starts_well = characters.next().is_some_and(|c| c.is_ascii_lowercase());
        let goes_on_well =
            characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        if starts_well && goes_on_well && text.len() <= 32 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidBackendName(text.to_owned()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `text` as it is.
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text_name! {
    /// The name of a tool or prompt as our clients see it. Made by the catalog only.
    ExposedName
}
text_name! {
    /// The path of a route, such as `/mcp`.
    RouteName
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

shown_as_text!(BackendName, ExposedName, RouteName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_name_is_short_lower_case_and_starts_with_a_letter() {
        for good in ["a", "files", "github-2", "a2345678901234567890123456789012"] {
            assert_eq!(BackendName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "A",
            "2a",
            "-a",
            "a_b",
            "a.b",
            "ä",
            "a23456789012345678901234567890123",
        ] {
            assert!(BackendName::parse(bad).is_err(), "{bad}");
        }
    }
}
