//! Definitions of tools, prompts, resources and templates in the words of an older revision.

use serde_json::Value;

use crate::object::{self, ObjectEdit};
use crate::visit::may_have_key;
use crate::{RawJson, Revision};

/// A definition of a list (`member` names which: `tools`, `prompts`, …) for a client of `revision`.
///
/// - `execution` is of 2025-11-25 only (digest §3.0). Whether it holds there is up to whoever merged the lists.
/// - Stateful revisions know an `outputSchema` only as an object's, and 2025-03-26 and before know none.
/// - 2024-11-05 knows no tool annotations, titles and icons.
#[must_use]
pub fn downgrade_definition(member: &str, definition: &RawJson, revision: Revision) -> RawJson {
    let text = definition.as_bytes();
    let mut edit = ObjectEdit::new(definition);
    if member == "tools" {
        if revision != Revision::V2025_11_25 && may_have_key(text, b"\"execution\"") {
            edit = edit.remove("execution");
        }
        if revision < Revision::V2026_07_28 && may_have_key(text, b"\"outputSchema\"") {
            edit = downgrade_output_schema(edit, definition, revision);
        }
    }
    if revision == Revision::V2024_11_05 {
        edit = edit.remove("title").remove("icons");
        if member == "tools" {
            edit = edit.remove("annotations");
        }
    }
    edit.finish()
}

fn downgrade_output_schema<'a>(
    edit: ObjectEdit<'a>,
    definition: &RawJson,
    revision: Revision,
) -> ObjectEdit<'a> {
    if revision < Revision::V2025_06_18 {
        return edit.remove("outputSchema");
    }
    let Some(schema) = object::member(definition, "outputSchema") else {
        return edit;
    };
    match wrap_schema(&schema) {
        Wrapped::Unchanged => edit,
        Wrapped::Schema(wrapped) => edit.set("outputSchema", wrapped),
        Wrapped::Unreadable => edit.remove("outputSchema"),
    }
}

enum Wrapped {
    Unchanged,
    Schema(RawJson),
    Unreadable,
}

/// A schema whose root is `type: object`, for the same values as [`wrap_value`](super::result) leaves: objects as they
/// are, everything else as `{"result": …}`.
fn wrap_schema(schema: &RawJson) -> Wrapped {
    let kind = object::member(schema, "type");
    let kind = kind.as_ref().map_or("", RawJson::as_str);
    if kind == "\"object\"" {
        return Wrapped::Unchanged;
    }
    let Ok(mut inner) = schema.read::<Value>() else {
        return Wrapped::Unreadable;
    };
    let dialect = object::member(schema, "$schema");
    if let Value::Object(root) = &mut inner {
        // A dialect is declared at the root of a document only.
        root.remove("$schema");
    }
    let never_object =
        kind.starts_with('"') || (kind.starts_with('[') && !kind.contains("\"object\""));
    // Within a schema that has an `$id`, local references are relative to it wherever it stands.
    let has_id = inner.get("$id").is_some();
    let wrapped = if never_object {
        if !has_id {
            move_references(&mut inner, "#/properties/result");
        }
        let properties = object::assemble([("result", RawJson::from_serialize(&inner))]);
        vec![
            ("properties", properties),
            ("required", RawJson::from_serialize(&["result"])),
        ]
    } else {
        if !has_id {
            move_references(&mut inner, "#/$defs/output");
        }
        let output = serde_json::json!({"$ref": "#/$defs/output"});
        let either =
            serde_json::json!([output, {"properties": {"result": output}, "required": ["result"]}]);
        let definitions = object::assemble([("output", RawJson::from_serialize(&inner))]);
        vec![
            ("anyOf", RawJson::from_serialize(&either)),
            ("$defs", definitions),
        ]
    };
    let head = dialect.map(|dialect| ("$schema", dialect));
    let kind = ("type", RawJson::string("object"));
    Wrapped::Schema(object::assemble(
        head.into_iter().chain([kind]).chain(wrapped),
    ))
}

/// Lets references to places in a schema follow it to where it now stands. serde_json bounds the depth.
fn move_references(schema: &mut Value, to: &str) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(target)
                        if key == "$ref" && (target == "#" || target.starts_with("#/")) =>
                    {
                        target.replace_range(..1, to);
                    }
                    // What stands in these is data, not schema.
                    _ if matches!(key.as_str(), "const" | "enum" | "default" | "examples") => {}
                    _ => move_references(value, to),
                }
            }
        }
        Value::Array(elements) => elements
            .iter_mut()
            .for_each(|element| move_references(element, to)),
        _ => {}
    }
}
