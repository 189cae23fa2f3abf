//! Finds the `x-mcp-header` annotations of a tool's input schema (digest §1.13).

use http::HeaderName;
use serde_json::{Map, Value};

use super::MCP_PARAM_PREFIX;
use super::parameters::{InvalidHeaderParameter, Kind, Parameter};

const ANNOTATION: &str = "x-mcp-header";

/// The annotated properties of `schema`.
///
/// Looked at is what is reachable from the root through `properties` alone; an annotation anywhere else is an error.
pub(super) fn parameters(schema: &Value) -> Result<Vec<Parameter>, InvalidHeaderParameter> {
    let mut found = Vec::new();
    if let Value::Object(root) = schema {
        if root.contains_key(ANNOTATION) {
            return Err(InvalidHeaderParameter::Unreachable);
        }
        walk(root, &mut Vec::new(), &mut found)?;
    } else if annotated(schema) {
        return Err(InvalidHeaderParameter::Unreachable);
    }
    Ok(found)
}

/// serde_json bounds how deep a value nests, and with it this recursion.
fn walk(
    schema: &Map<String, Value>,
    path: &mut Vec<String>,
    found: &mut Vec<Parameter>,
) -> Result<(), InvalidHeaderParameter> {
    for (keyword, value) in schema {
        match (keyword.as_str(), value) {
            // What stands in these is data, not schema.
            ("const" | "enum" | "default" | "examples", _) => {}
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    path.push(name.clone());
                    match property {
                        Value::Object(property) => {
                            if let Some(annotation) = property.get(ANNOTATION) {
                                add(annotation, property, path, found)?;
                            }
                            walk(property, path, found)?;
                        }
                        other if annotated(other) => {
                            return Err(InvalidHeaderParameter::Unreachable);
                        }
                        _ => {}
                    }
                    path.pop();
                }
            }
            (_, value) if annotated(value) => return Err(InvalidHeaderParameter::Unreachable),
            _ => {}
        }
    }
    Ok(())
}

fn add(
    annotation: &Value,
    property: &Map<String, Value>,
    path: &[String],
    found: &mut Vec<Parameter>,
) -> Result<(), InvalidHeaderParameter> {
    let name = annotation.as_str().unwrap_or_default();
    let header = Some(name)
        .filter(|name| !name.is_empty())
        .and_then(|name| HeaderName::try_from(format!("{MCP_PARAM_PREFIX}{name}")).ok())
        .ok_or_else(|| InvalidHeaderParameter::Name(annotation.to_string()))?;
    let kind = match property.get("type").and_then(Value::as_str) {
        Some("string") => Kind::String,
        Some("boolean") => Kind::Boolean,
        Some("integer") => Kind::Number,
        _ => return Err(InvalidHeaderParameter::Type(name.to_owned())),
    };
    if found.iter().any(|other| other.header == header) {
        return Err(InvalidHeaderParameter::Twice(name.to_owned()));
    }
    found.push(Parameter {
        header,
        path: path.to_vec(),
        kind,
    });
    Ok(())
}

/// Whether an annotation stands anywhere in a part of a schema.
fn annotated(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.iter().any(|(key, value)| {
                let names = if key == "properties" {
                    value.as_object()
                } else {
                    None
                };
                match names {
                    // The keys below `properties` are names, not keywords.
                    Some(names) => names.values().any(annotated),
                    None => key == ANNOTATION || annotated(value),
                }
            })
        }
        Value::Array(elements) => elements.iter().any(annotated),
        _ => false,
    }
}
