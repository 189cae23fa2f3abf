//! Every file in `cases/`: a config above a dashed line, what is said about it below (nothing: it loads).
//!
//! `ISTHMUS_BLESS=1` writes what is said now; read the difference before you commit it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use isthmus_config::{Environment, parse};

#[test]
fn every_case_gets_the_complaints_written_below_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let environment = environment(&folder);
    let bless = Environment::of_process().get("ISTHMUS_BLESS").is_some();
    let mut cases = 0;
    let mut wrong = Vec::new();
    for path in yaml_files(&folder) {
        let file = fs::read_to_string(&path).unwrap();
        let line = file
            .lines()
            .find(|line| line.len() >= 10 && line.bytes().all(|byte| byte == b'-'))
            .unwrap_or_else(|| panic!("{} has no dashed line", path.display()));
        let (input, expected) = file.split_once(&format!("{line}\n")).unwrap();
        let found = match parse(input, Path::new("gateway.yaml"), &environment) {
            Ok(_) => String::new(),
            Err(complaints) => {
                format!("{complaints}\n").replace(&format!("{}/", folder.display()), "")
            }
        };
        if found != expected {
            wrong.push(format!("{}:\n{found}", path.display()));
            if bless {
                fs::write(&path, format!("{input}{line}\n{found}")).unwrap();
            }
        }
        cases += 1;
    }
    assert!(cases > 0);
    assert!(wrong.is_empty() || bless, "{}", wrong.join("\n"));
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
}

fn environment(folder: &Path) -> Environment {
    let seal_key = "0123456789abcdef".repeat(4);
    Environment::new(
        [
            ("HOME", "/home/somebody"),
            ("PATH", "/usr/bin"),
            ("PORT", "8080"),
            ("SET", "value"),
            ("TOKEN", "hunter2"),
            ("SEAL_KEY", seal_key.as_str()),
        ],
        folder,
    )
}
