//! Whatever bytes a config or an import holds: no panic, no endless work, and never a disagreement between the schema
//! and the types behind it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use isthmus_config::{Environment, import, parse};
use proptest::prelude::*;
use proptest::test_runner::Config;

/// The body of the fuzz target for configs.
fn read_config(text: &str) {
    let environment = Environment::new([("SET", "value"), ("HOME", "/nowhere")], "/nowhere");
    if let Err(complaints) = parse(text, Path::new("gateway.yaml"), &environment) {
        let said = complaints.to_string();
        assert!(!said.is_empty());
        assert!(!said.contains("a defect of isthmus"), "{text}\n{said}");
    }
}

/// The body of the fuzz target for imports: what comes out has no mistakes but variables that are not set.
fn read_import(text: &str) {
    let Ok(imported) = import(text, Path::new("mcp.json")) else {
        return;
    };
    let environment = Environment::new([("HOME", "/nowhere")], "/nowhere");
    if let Err(complaints) = parse(&imported.yaml, Path::new("gateway.yaml"), &environment) {
        for complaint in complaints.all() {
            let expected = complaint.message.contains("is not set")
                || complaint.path.ends_with("env_file")
                // A URL of a variable that is not set has a hole in it.
                || imported.yaml.contains("${");
            assert!(expected, "{}\n{complaint}", imported.yaml);
        }
    }
}

fn every_key() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/every_key_loads.yaml");
    let text = fs::read_to_string(path).unwrap();
    text.split("\n-----").next().unwrap().to_owned()
}

/// Pieces of which configs, and mistakes in them, are made.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "listeners",
        "main",
        "address",
        "127.0.0.1:0",
        "routes",
        "/mcp",
        "backends",
        "files",
        "stdio",
        "command",
        "npx",
        "http",
        "urls",
        "sse",
        "url",
        "https://a.example/mcp",
        "env",
        "tools",
        "rename",
        "override",
        "annotations",
        "bounds",
        "5s",
        "16MiB",
        "true",
        "null",
        "~",
        "5",
        "&a",
        "*a",
        "<<",
        "!!str",
        "---",
        "...",
        "${SET}",
        "${",
        "}",
        "{",
        "[",
        "]",
        "{env: SET}",
        "{file: x}",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        ", ",
        "\"",
        "'",
        "#",
        "|",
        ">",
        "\t",
        "%YAML",
    ];
    prop_oneof![
        9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

fn json_piece() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"mcpServers\":{",
        "\"a\":{",
        "\"command\":",
        "\"url\":",
        "\"args\":",
        "\"env\":{",
        "\"headers\":{",
        "\"X\":",
        "\"npx\"",
        "\"https://a.example/?token=x\"",
        "\"${input:x}\"",
        "\"${workspaceFolder}/x\"",
        "\"${env:A}\"",
        "\"Bearer ghp_0123456789abcdef\"",
        "5",
        "true",
        "null",
        "//",
        "/*",
        "*/",
        "\n",
        "\"",
        "\\",
        "\"type\":\"sse\",",
    ];
    prop_oneof![
        9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(400) })]

    #[test]
    fn arbitrary_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        read_config(&text);
        read_import(&text);
    }

    #[test]
    fn arbitrary_pieces_are_read_without_panic(pieces in proptest::collection::vec(piece(), 0..60)) {
        read_config(&pieces.concat());
    }

    #[test]
    fn arbitrary_pieces_are_imported_without_panic(pieces in proptest::collection::vec(json_piece(), 0..60)) {
        read_import(&pieces.concat());
    }

    #[test]
    fn a_server_with_arbitrary_texts_is_imported_into_what_loads(
        name in any::<String>(),
        command in any::<String>(),
        args in proptest::collection::vec(any::<String>(), 0..4),
        env in proptest::collection::vec((any::<String>(), any::<String>()), 0..3),
        url in proptest::option::of("https?://[a-z@:/?=&#${} ]{0,20}"),
    ) {
        let env: serde_json::Map<_, _> =
            env.into_iter().map(|(name, value)| (name, value.into())).collect();
        let mut server = serde_json::json!({"command": command, "args": args, "env": env});
        if let Some(url) = url {
            server["url"] = url.into();
            server["type"] = "http".into();
        }
        read_import(&serde_json::json!({"mcpServers": {name: server}}).to_string());
    }

    #[test]
    fn a_config_with_one_part_replaced_is_read_without_panic(
        start in 0..4_000usize,
        length in 0..40usize,
        pieces in proptest::collection::vec(piece(), 0..3),
    ) {
        let text: Vec<char> = every_key().chars().collect();
        let start = start % text.len();
        let end = (start + length).min(text.len());
        let changed: String = text[..start]
            .iter()
            .copied()
            .chain(pieces.concat().chars())
            .chain(text[end..].iter().copied())
            .collect();
        read_config(&changed);
    }
}

#[test]
fn deep_and_repeated_documents_are_refused_quickly() {
    let check = |text: &str, expected: &str| {
        let said = parse(text, Path::new("f"), &Environment::default())
            .unwrap_err()
            .to_string();
        assert!(said.contains(expected), "{said}");
    };
    check(&"[".repeat(100_000), "not YAML");
    check(&"a: {".repeat(100_000), "not YAML");
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (name, before) in ('b'..'k').zip('a'..) {
        bomb.push_str(&format!("{name}: &{name} [*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n"));
    }
    check(&bomb, "repetitions by `*` included");
    let mut ladder = format!("a: &a {}x{}\n", "[".repeat(20), "]".repeat(20));
    ladder.push_str(&format!("b: &b {}*a{}\n", "[".repeat(20), "]".repeat(20)));
    check(&ladder, "nested too deep");
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(100_000),
        "*a,".repeat(1000)
    );
    check(&long, "repetitions by `*` included");
    check("a: &a [*a]", "cannot contain itself");
    check(&"x".repeat(5 << 20), "bytes");
}
