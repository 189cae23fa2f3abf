//! Files that are written from the types are fresh. `ISTHMUS_BLESS=1` writes them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use isthmus_config::{Environment, json_schema, reference_page};

fn check(name: &str, fresh: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    if Environment::of_process().get("ISTHMUS_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, fresh).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == fresh,
        "docs/{name} is stale: run `ISTHMUS_BLESS=1 cargo test -p isthmus-config`"
    );
}

#[test]
fn the_json_schema_is_fresh() {
    check("gateway.schema.json", &format!("{:#}\n", json_schema()));
}

#[test]
fn the_reference_page_is_fresh() {
    check("configuration.md", &reference_page());
}

#[test]
fn every_key_is_explained() {
    fn explained(schema: &serde_json::Value, path: &str) {
        let Some(members) = schema.as_object() else {
            return;
        };
        if let Some(properties) = members.get("properties").and_then(|p| p.as_object()) {
            for (key, property) in properties {
                assert!(property.get("description").is_some(), "{path}/{key}");
            }
        }
        for (key, inner) in members {
            explained(inner, &format!("{path}/{key}"));
        }
    }
    explained(&json_schema(), "");
}
