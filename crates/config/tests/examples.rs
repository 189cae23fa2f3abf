//! Every config that we show somebody loads: the root `gateway.yaml` and the examples in the documents.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use isthmus_config::{Environment, parse};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Complaints that do not come from the reader's own machine.
fn complaints(text: &str, file: &Path) -> Vec<String> {
    let environment = Environment::new([("HOME", "/nowhere"), ("PATH", "/usr/bin")], root());
    let Err(complaints) = parse(text, file, &environment) else {
        return Vec::new();
    };
    complaints
        .all()
        .iter()
        .filter(|complaint| {
            !complaint.message.contains("is not set")
                && !complaint.message.contains("cannot be read")
        })
        .map(|complaint| format!("{}: {complaint}", file.display()))
        .collect()
}

/// The blocks of a Markdown text that show a config.
fn configs_in(text: &str) -> Vec<&str> {
    text.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| block.lines().any(|line| line == "backends:"))
        .collect()
}

#[test]
fn the_root_config_loads() {
    let file = root().join("gateway.yaml");
    if let Ok(text) = fs::read_to_string(&file) {
        assert_eq!(complaints(&text, &file), Vec::<String>::new());
    }
}

#[test]
fn configs_in_the_documents_load() {
    let mut files: Vec<PathBuf> = ["", "docs", "deploy"]
        .into_iter()
        .filter_map(|folder| fs::read_dir(root().join(folder)).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for block in configs_in(&text) {
            assert_eq!(complaints(block, &file), Vec::<String>::new());
        }
    }
}
