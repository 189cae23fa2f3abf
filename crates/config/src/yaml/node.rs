//! The tree.

use crate::diagnostics::Mark;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    pub(crate) content: Content,
}

/// What a value is. Numbers and booleans are not told from text here: that is for the schema to say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// In the order of the file, keys unique.
    Mapping(Vec<Entry>),
}

/// A text, quoted or not.
#[derive(Clone, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// How a text was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes: may be meant as a number or boolean.
    Plain,
    /// In single quotes: `${X}` has no meaning.
    Literal,
    /// In double quotes or as a block.
    Quoted,
    /// Holds values of the environment: may be meant as a number, and must not be printed.
    Interpolated,
}

/// One key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_mark: Mark,
    pub(crate) value: Node,
}

impl Node {
    /// The value of `key`, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The entries, if this is a mapping.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }
}

impl Scalar {
    /// Whether it may be read as something else than text.
    pub(crate) const fn is_loose(&self) -> bool {
        matches!(self.style, Style::Plain | Style::Interpolated)
    }

    /// The text in backticks for a message, unless it may be secret or is long.
    pub(crate) fn shown(&self) -> String {
        match self.style {
            Style::Interpolated => "the value".to_owned(),
            _ if self.text.chars().count() > 60 => "this text".to_owned(),
            _ => format!("`{}`", self.text.escape_debug()),
        }
    }
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

/// `parent.key`, or `key` at the top.
pub(crate) fn join(parent: &str, key: &str) -> String {
    match parent {
        "" => key.to_owned(),
        parent => format!("{parent}.{key}"),
    }
}

/// `parent[index]`.
pub(crate) fn at(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}
