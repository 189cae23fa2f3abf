//! The document as JSON Schema.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Map, Value};

use super::Document;

/// The JSON Schema (2020-12) of `gateway.yaml`.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Document>();
    RecursiveTransform(tidy).transform(&mut schema);
    schema.insert("title".to_owned(), "gateway.yaml".into());
    schema.into()
}

/// Takes out what schemars adds and editors do not need.
fn tidy(schema: &mut Schema) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    without_null(members);
    // `uint` and the like are Rust's names.
    let format = members.get("format").and_then(Value::as_str);
    if let Some(bits) = format.and_then(|format| format.strip_prefix("uint")) {
        if bits == "32" {
            members.entry("maximum").or_insert(u32::MAX.into());
        }
        members.remove("format");
    }
    if let Some(Value::String(text)) = members.get_mut("description") {
        *text = text
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "))
            .collect::<Vec<_>>()
            .join("\n\n");
    }
}

/// What may be left out is not written as `null`: takes out what schemars adds for `Option`.
fn without_null(members: &mut Map<String, Value>) {
    if members.get("default") == Some(&Value::Null) {
        members.remove("default");
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = members.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice.get("type").and_then(Value::as_str) != Some("null"));
    if choices.len() == 1
        && let Some(Value::Object(only)) = choices.pop()
    {
        members.remove("anyOf");
        for (key, value) in only {
            members.entry(key).or_insert(value);
        }
    }
}
