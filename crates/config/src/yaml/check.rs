//! A tree against the schema.
//!
//! Reports everything that does not fit and hands back what does: the wrong parts are left out, and so is whatever
//! cannot do without them. So the later steps see a tree that fits, and can still find the mistakes of another kind.
//! Understands the part of JSON Schema that our own types produce, no more.

use serde_json::{Map, Value};

use super::node::{Content, Entry, Node, Scalar, at, join};
use super::shape::Shape;
use super::suggest;
use crate::diagnostics::{Complaints, Mark};
use crate::document::{parse_duration, parse_size};
use crate::resolve::{FORWARDED, INSTEAD};

/// Checks `root` against `schema` and returns what fits.
pub(crate) fn check(root: &Node, schema: &Value, complaints: &mut Complaints) -> Option<Node> {
    let mut checker = Checker {
        definitions: schema.get("$defs").and_then(Value::as_object),
        complaints,
    };
    let place = Place {
        path: "",
        mark: root.mark,
    };
    checker.value(root, Shape::of(schema), place)
}

struct Checker<'a> {
    definitions: Option<&'a Map<String, Value>>,
    complaints: &'a mut Complaints,
}

/// What a value belongs to: where to point when it is not there.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    mark: Mark,
}

impl<'a> Checker<'a> {
    fn value(&mut self, node: &Node, shape: Shape<'a>, place: Place<'_>) -> Option<Node> {
        let shape = self.follow(shape);
        if let Some(words) = shape.words() {
            return self.word(node, &words, place);
        }
        if let Some(choices) = shape.list("anyOf") {
            return self.choice(node, choices, shape, place);
        }
        match (shape.kind(), &node.content) {
            ("object", Content::Mapping(entries)) => self.mapping(node, entries, shape, place),
            ("object", Content::Null) => self.mapping(node, &[], shape, place),
            ("array", Content::Sequence(nodes)) => self.sequence(node, nodes, shape, place),
            ("string", Content::Scalar(scalar)) => self.text(node, scalar, shape, place),
            ("boolean", Content::Scalar(scalar)) => self.boolean(node, scalar, place),
            ("integer", Content::Scalar(scalar)) => self.integer(node, scalar, shape, place),
            ("", _) => Some(node.clone()),
            (kind, _) => {
                self.mismatch(node, kind, place);
                None
            }
        }
    }

    /// The schema behind a reference.
    fn follow(&self, mut shape: Shape<'a>) -> Shape<'a> {
        while let Some(name) = shape.reference() {
            let Some(schema) = self.definitions.and_then(|all| all.get(name)) else {
                break;
            };
            shape = Shape {
                schema,
                name: Some(name),
            };
        }
        shape
    }

    fn mapping(
        &mut self,
        node: &Node,
        entries: &[Entry],
        shape: Shape<'a>,
        place: Place<'_>,
    ) -> Option<Node> {
        let properties = shape.schema.get("properties").and_then(Value::as_object);
        let others = shape.schema.get("additionalProperties");
        let mut kept = Vec::new();
        let mut unknown = Vec::new();
        for entry in entries {
            let property = properties.and_then(|known| known.get(&entry.key));
            match property.or(others.filter(|others| **others != Value::Bool(false))) {
                Some(schema) => self.entry(entry, Shape::of(schema), property, place, &mut kept),
                None => unknown.push(entry),
            }
        }
        let kinds = shape.kinds();
        let present: Vec<&Entry> = entries
            .iter()
            .filter(|entry| kinds.contains(&entry.key.as_str()))
            .collect();
        for entry in &unknown {
            let kinds = if present.is_empty() {
                kinds.as_slice()
            } else {
                &[]
            };
            self.unknown(entry, shape, kinds, place);
        }
        let one_kind = self.one_kind(&kinds, &present, unknown.is_empty(), shape, place);
        let complete = self.complete(entries, &mut kept, shape, place);
        (one_kind && complete).then_some(Node {
            mark: node.mark,
            content: Content::Mapping(kept),
        })
    }

    fn entry(
        &mut self,
        entry: &Entry,
        schema: Shape<'a>,
        property: Option<&Value>,
        place: Place<'_>,
        kept: &mut Vec<Entry>,
    ) {
        let path = join(place.path, &entry.key);
        let shape = self.follow(schema);
        // A key of ours with nothing after it counts as left out, unless it can be a mapping without entries.
        if property.is_some() && entry.value.content == Content::Null && shape.kind() != "object" {
            return;
        }
        let inner = Place {
            path: &path,
            mark: entry.key_mark,
        };
        if let Some(value) = self.value(&entry.value, shape, inner) {
            kept.push(Entry {
                key: entry.key.clone(),
                key_mark: entry.key_mark,
                value,
            });
        }
    }

    fn unknown(&mut self, entry: &Entry, shape: Shape<'a>, kinds: &[&str], place: Place<'_>) {
        let message = format!("unknown key `{}`", entry.key.escape_debug());
        let known: Vec<&str> = match shape.schema.get("properties") {
            Some(Value::Object(known)) => known.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        if FORWARDING.contains(&entry.key.as_str()) {
            let message = format!("there is no `{}`: {FORWARDED}", entry.key);
            self.complaints
                .add_with_help(entry.key_mark, place.path, message, INSTEAD);
            return;
        }
        let guess = suggest(&entry.key, known.iter().copied());
        let help = match guess {
            _ if !kinds.is_empty() && guess.is_none_or(|guess| kinds.contains(&guess)) => {
                format!("{} is one of {}", shape.noun(), quoted(kinds))
            }
            Some(guess) => format!("did you mean `{guess}`?"),
            None => format!("the keys here are {}", quoted(&known)),
        };
        self.complaints
            .add_with_help(entry.key_mark, place.path, message, help);
    }

    /// Whether exactly one of the keys that exclude each other is there.
    fn one_kind(
        &mut self,
        kinds: &[&str],
        present: &[&Entry],
        nothing_unknown: bool,
        shape: Shape<'a>,
        place: Place<'_>,
    ) -> bool {
        match present {
            [_] => true,
            _ if kinds.is_empty() => true,
            [] => {
                if nothing_unknown {
                    let message = format!("one of {} is missing", quoted(kinds));
                    let help = format!("{} is one of {}", shape.noun(), quoted(kinds));
                    self.complaints
                        .add_with_help(place.mark, place.path, message, help);
                }
                false
            }
            [first, second, ..] => {
                let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
                let help = format!("{} is one of {}", shape.noun(), quoted(kinds));
                self.complaints
                    .add_with_help(second.key_mark, place.path, message, help);
                false
            }
        }
    }

    /// Whether everything needed is there and fits. Where the schema has an example for what is not, that takes its
    /// place, so that what stands beside it is looked at too.
    fn complete(
        &mut self,
        written: &[Entry],
        kept: &mut Vec<Entry>,
        shape: Shape<'a>,
        place: Place<'_>,
    ) -> bool {
        let mut complete = true;
        for key in shape.list("required").unwrap_or_default() {
            let Some(key) = key.as_str() else { continue };
            if kept.iter().any(|entry| entry.key == key) {
                continue;
            }
            match written.iter().find(|entry| entry.key == key) {
                None => {
                    let message = format!("`{key}` is missing");
                    self.complaints.add(place.mark, place.path, message);
                }
                Some(entry) if entry.value.content == Content::Null => {
                    let path = join(place.path, key);
                    self.complaints
                        .add(entry.key_mark, path, "a value is missing");
                }
                Some(_) => {}
            }
            match shape.example_of(key) {
                Some(content) => kept.push(Entry {
                    key: key.to_owned(),
                    key_mark: place.mark,
                    value: Node {
                        mark: place.mark,
                        content,
                    },
                }),
                None => complete = false,
            }
        }
        // A kind whose value did not fit leaves nothing to work with either.
        let kinds = shape.kinds();
        let has_kind = kept.iter().any(|entry| kinds.contains(&entry.key.as_str()));
        complete && (kinds.is_empty() || has_kind)
    }

    fn sequence(
        &mut self,
        node: &Node,
        nodes: &[Node],
        shape: Shape<'a>,
        place: Place<'_>,
    ) -> Option<Node> {
        let items = shape.schema.get("items").unwrap_or(&Value::Null);
        let mut kept = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let path = at(place.path, index);
            let inner = Place {
                path: &path,
                mark: node.mark,
            };
            kept.extend(self.value(node, Shape::of(items), inner));
        }
        if nodes.is_empty() && shape.number("minItems") > Some(0) {
            self.complaints
                .add(node.mark, place.path, "the list is empty");
        }
        if kept.is_empty() && shape.number("minItems") > Some(0) {
            return None;
        }
        Some(Node {
            mark: node.mark,
            content: Content::Sequence(kept),
        })
    }

    fn text(
        &mut self,
        node: &Node,
        scalar: &Scalar,
        shape: Shape<'a>,
        place: Place<'_>,
    ) -> Option<Node> {
        let format = shape.schema.get("format").and_then(Value::as_str);
        let wrong = match format {
            Some("span") => match parse_duration(&scalar.text) {
                Ok(duration) if duration.is_zero() => Some("a duration above zero is needed here"),
                result => result.err(),
            },
            Some("wait") => parse_duration(&scalar.text).err(),
            Some("size") => match parse_size(&scalar.text) {
                Ok(0) => Some("a size above zero is needed here"),
                result => result.err(),
            },
            _ => None,
        };
        let Some(help) = wrong else {
            return Some(node.clone());
        };
        let noun = if format == Some("size") {
            "size"
        } else {
            "duration"
        };
        let message = format!("{} cannot be this {noun}", scalar.shown());
        self.complaints
            .add_with_help(node.mark, place.path, message, help);
        None
    }

    fn boolean(&mut self, node: &Node, scalar: &Scalar, place: Place<'_>) -> Option<Node> {
        if scalar.is_loose() && matches!(scalar.text.as_str(), "true" | "false") {
            return Some(node.clone());
        }
        let message = format!("{} is neither `true` nor `false`", scalar.shown());
        self.complaints.add(node.mark, place.path, message);
        None
    }

    fn integer(
        &mut self,
        node: &Node,
        scalar: &Scalar,
        shape: Shape<'a>,
        place: Place<'_>,
    ) -> Option<Node> {
        let digits = scalar.is_loose() && scalar.text.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<u64> = if digits {
            scalar.text.parse().ok()
        } else {
            None
        };
        let Some(number) = number else {
            let message = format!("{} is not a whole number", scalar.shown());
            self.complaints.add(node.mark, place.path, message);
            return None;
        };
        let least = shape.number("minimum").unwrap_or(0);
        let most = shape.number("maximum").unwrap_or(u64::MAX);
        if number < least {
            let message = format!("{} is too small: at least {least}", scalar.shown());
            self.complaints.add(node.mark, place.path, message);
            return None;
        }
        if number > most || usize::try_from(number).is_err() {
            let message = format!("{} is too large: at most {most}", scalar.shown());
            self.complaints.add(node.mark, place.path, message);
            return None;
        }
        Some(node.clone())
    }

    fn word(&mut self, node: &Node, words: &[&str], place: Place<'_>) -> Option<Node> {
        let Content::Scalar(scalar) = &node.content else {
            self.mismatch(node, "string", place);
            return None;
        };
        if words.contains(&scalar.text.as_str()) {
            return Some(node.clone());
        }
        let message = format!("{} is not one of {}", scalar.shown(), quoted(words));
        match suggest(&scalar.text, words.iter().copied()) {
            Some(guess) => {
                let help = format!("did you mean `{guess}`?");
                self.complaints
                    .add_with_help(node.mark, place.path, message, help);
            }
            None => self.complaints.add(node.mark, place.path, message),
        }
        None
    }

    /// One of several shapes, told apart by what the value is.
    fn choice(
        &mut self,
        node: &Node,
        choices: &'a [Value],
        shape: Shape<'a>,
        place: Place<'_>,
    ) -> Option<Node> {
        let wanted = match &node.content {
            Content::Scalar(_) => "string",
            Content::Mapping(_) => "object",
            Content::Sequence(_) => "array",
            Content::Null => "",
        };
        let choice = choices
            .iter()
            .map(Shape::of)
            .find(|choice| choice.kind() == wanted);
        let Some(choice) = choice else {
            self.mismatch(
                node,
                choices.first().map_or("", |first| Shape::of(first).kind()),
                place,
            );
            return None;
        };
        let named = Shape {
            name: shape.name,
            ..choice
        };
        self.value(node, named, place)
    }

    fn mismatch(&mut self, node: &Node, wanted: &str, place: Place<'_>) {
        let wanted_words = match wanted {
            "object" => "keys and values",
            "array" => "a list",
            "boolean" => "`true` or `false`",
            "integer" => "a whole number",
            _ => "a text",
        };
        let found = match &node.content {
            Content::Null => {
                let mark = place.mark;
                self.complaints.add(mark, place.path, "a value is missing");
                return;
            }
            // Not what it says: a secret may have got into the wrong place.
            Content::Scalar(_) => "a text".to_owned(),
            Content::Sequence(_) => "a list".to_owned(),
            Content::Mapping(_) => "keys and values".to_owned(),
        };
        let message = format!("expected {wanted_words}, found {found}");
        match (&node.content, wanted) {
            (Content::Scalar(_), "array") => {
                let help = "write it as `[…]`";
                self.complaints
                    .add_with_help(node.mark, place.path, message, help);
            }
            _ => self.complaints.add(node.mark, place.path, message),
        }
    }
}

/// `` `a`, `b`, `c` ``
fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// How other programs are told to send on what callers show.
const FORWARDING: [&str; 9] = [
    "forward",
    "forward_auth",
    "forward_authorization",
    "forward_cookies",
    "forward_headers",
    "forward_token",
    "pass_through",
    "passthrough",
    "passthrough_headers",
];
