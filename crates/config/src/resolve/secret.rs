//! Secrets: fetched here, and never named by value.

use super::Resolver;
use crate::config::Secret;
use crate::document;
use crate::yaml::{Spanned, is_variable};

impl Resolver<'_> {
    /// Follows a reference. Complains if it leads nowhere.
    pub(super) fn secret(
        &mut self,
        written: &Spanned<document::Secret>,
        path: &str,
    ) -> Option<Secret> {
        match &written.value {
            document::Secret::Text(text) => Some(Secret::new(text.as_str())),
            document::Secret::Env(name) => self.variable(name, written, path).map(Secret::new),
            document::Secret::File(file) => {
                let text = self.read(file, written.mark, path)?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                Some(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
            }
        }
    }

    fn variable(
        &mut self,
        name: &str,
        written: &Spanned<document::Secret>,
        path: &str,
    ) -> Option<String> {
        if let Some(value) = self.environment.get(name) {
            return Some(value.to_owned());
        }
        // What is no name may be the secret itself, put in the wrong place: it is not repeated.
        if is_variable(name) {
            let message = format!("environment variable `{name}` is not set");
            let help = format!("export {name} before you start isthmus");
            self.complaints
                .add_with_help(written.mark, path, message, help);
        } else {
            let message = "this is not the name of an environment variable";
            let help = "write `{env: NAME}`, and export NAME before you start isthmus";
            self.complaints
                .add_with_help(written.mark, path, message, help);
        }
        None
    }
}
