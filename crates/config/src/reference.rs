//! The configuration reference as a page, written from the schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::document::json_schema;

/// `docs/configuration.md`: every key with type, default and meaning.
#[must_use]
pub fn reference_page() -> String {
    let schema = json_schema();
    let empty = Map::new();
    let definitions = schema
        .get("$defs")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let page = Page { definitions };
    let mut text = String::from(
        "# Configuration reference\n\n<!-- Generated from the types in `crates/config`: do not edit. A test of that \
         crate fails when it is stale; `ISTHMUS_BLESS=1 cargo test -p isthmus-config` writes it. -->\n\n",
    );
    let _ = write!(
        text,
        "{}\n\nEditors complete and check the file with a first line of\n`# yaml-language-server: $schema=` and the path \
         of [`gateway.schema.json`](gateway.schema.json).\n`isthmus check` reports everything that is wrong with a \
         config, with file, line and column.\n\n",
        description(&schema)
    );
    text.push_str("Durations are a whole number and `ms`, `s`, `min`, `h` or `d`, as in `5s`. Sizes are a whole number and `B`, `KiB`, `MiB`, `GiB`,\n`kB`, `MB` or `GB`, as in `16MiB`.\n");
    text.push_str("\n## The file\n\n");
    page.table(&schema, &mut text);
    for (name, section) in page.sections(&schema) {
        let _ = write!(text, "\n## {name}\n\n{}\n\n", description(section.schema));
        let places: Vec<String> = section
            .places
            .iter()
            .map(|place| format!("`{place}`"))
            .collect();
        let _ = write!(text, "Written at {}.\n\n", places.join(", "));
        page.table(section.schema, &mut text);
    }
    text
}

struct Page<'a> {
    definitions: &'a Map<String, Value>,
}

/// A type with keys, and the keys under which it stands.
struct Section<'a> {
    schema: &'a Value,
    places: Vec<String>,
}

impl<'a> Page<'a> {
    /// Every type with keys that can be reached from `root`, nearest first.
    fn sections(&self, root: &'a Value) -> Vec<(&'a str, Section<'a>)> {
        let mut sections: Vec<(&'a str, Section<'a>)> = Vec::new();
        let mut queue = vec![(String::new(), root)];
        let mut next = 0;
        while let Some((path, schema)) = queue.get(next).cloned() {
            next += 1;
            for (key, property) in properties(schema) {
                let key = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let (suffix, inner) = inside(property);
                let Some((name, target)) = self.target(inner) else {
                    continue;
                };
                if properties(target).is_empty() {
                    continue;
                }
                let place = format!("{key}{suffix}");
                if let Some((_, section)) = sections.iter_mut().find(|(known, _)| *known == name) {
                    section.places.push(place);
                } else {
                    let places = vec![place.clone()];
                    sections.push((
                        name,
                        Section {
                            schema: target,
                            places,
                        },
                    ));
                    queue.push((place, target));
                }
            }
        }
        sections
    }

    fn target(&self, schema: &'a Value) -> Option<(&'a str, &'a Value)> {
        let name = schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
        Some((name, self.definitions.get(name)?))
    }

    fn table(&self, schema: &'a Value, text: &mut String) {
        text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (key, property) in properties(schema) {
            let default = match property.get("default") {
                Some(default) => format!("`{}`", plain(default)),
                None if required.contains(&key.as_str()) => "**required**".to_owned(),
                None => String::new(),
            };
            let meaning = format!("{}{}", description(property), self.words(property));
            let _ = writeln!(
                text,
                "| `{key}` | {} | {default} | {} |",
                self.kind(property),
                meaning.replace('|', "\\|").replace('\n', " ")
            );
        }
    }

    /// What may be written, in words.
    fn kind(&self, schema: &'a Value) -> String {
        if let Some((name, target)) = self.target(schema) {
            return match name {
                "Secret" => "text or secret".to_owned(),
                _ if properties(target).is_empty() => "word".to_owned(),
                _ => format!("[{name}](#{})", name.to_lowercase()),
            };
        }
        let number = |key: &str| schema.get(key).and_then(Value::as_u64);
        let format = schema.get("format").and_then(Value::as_str);
        match schema.get("type").and_then(Value::as_str) {
            Some("array") => format!("list of {}", self.kind(items(schema))),
            Some("object") => match schema.get("additionalProperties") {
                Some(inner @ Value::Object(_)) => format!("names to {}", self.kind(inner)),
                _ => "any keys and values".to_owned(),
            },
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("integer") => match (number("minimum"), number("maximum")) {
                (Some(least), Some(most)) if most < u64::from(u32::MAX) => {
                    format!("number from {least} to {most}")
                }
                (Some(least), _) if least > 0 => format!("number from {least}"),
                _ => "number".to_owned(),
            },
            _ => match format {
                Some("span") => "duration above zero",
                Some("wait") => "duration",
                Some("size") => "size",
                _ => "text",
            }
            .to_owned(),
        }
    }

    /// The words of an enumeration and what they mean.
    fn words(&self, schema: &'a Value) -> String {
        let Some((_, target)) = self.target(schema) else {
            return String::new();
        };
        let choices = target.get("oneOf").and_then(Value::as_array);
        let words: Vec<String> = choices
            .into_iter()
            .flatten()
            .filter_map(|choice| {
                let word = choice.get("const")?.as_str()?;
                let meaning = description(choice);
                Some(format!("`{word}`: {}", meaning.trim_end_matches('.')))
            })
            .collect();
        if words.is_empty() {
            return String::new();
        }
        format!("<br>{}", words.join("<br>"))
    }
}

/// The schema of what a list or a map holds, and how its place is written.
fn inside(property: &Value) -> (&'static str, &Value) {
    match property.get("type").and_then(Value::as_str) {
        Some("array") => ("[]", items(property)),
        Some("object") => (
            ".*",
            property.get("additionalProperties").unwrap_or(property),
        ),
        _ => ("", property),
    }
}

fn items(schema: &Value) -> &Value {
    schema.get("items").unwrap_or(&Value::Null)
}

fn properties(schema: &Value) -> Vec<(&String, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().collect()
}

fn description(schema: &Value) -> &str {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A default as it would be written in YAML.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{key}: {}", plain(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}
