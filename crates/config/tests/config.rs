//! What a config says once it is resolved, and what counts as a change.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use isthmus_config::{
    Backend, Config, Environment, EraSetting, Glob, Process, SessionPolicy, Wire, load, parse,
};

fn environment() -> Environment {
    Environment::new(
        [
            ("HOME", "/home/somebody"),
            ("PATH", "/usr/bin"),
            ("LC_ALL", "C"),
            ("NODE_ENV", "test"),
            ("SECRET_OF_THE_GATEWAY", "hunter2"),
            ("TOKEN", "hunter2"),
        ],
        "/srv",
    )
}

fn read(text: &str) -> Config {
    match parse(text, Path::new("conf/gateway.yaml"), &environment()) {
        Ok(config) => config,
        Err(complaints) => panic!("{complaints}"),
    }
}

fn backend(body: &str) -> Backend {
    let config = read(&format!("backends:\n  it:\n{body}"));
    config.backend("it").unwrap().clone()
}

fn process(backend: &Backend) -> &Process {
    backend.wire.process().unwrap()
}

fn env(process: &Process) -> Vec<(&str, &str)> {
    process
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect()
}

#[test]
fn an_empty_document_is_one_loopback_listener_and_one_route() {
    let config = read("");
    let [listener] = config.listeners.as_slice() else {
        panic!("one listener");
    };
    assert_eq!(listener.address.to_string(), "127.0.0.1:8080");
    assert!(listener.allows_origin("http://localhost:6274"));
    assert_eq!(config.routes.len(), 1);
    assert_eq!(config.routes[0].path, "/mcp");
    assert_eq!(config.routes[0].cold_start, Duration::from_secs(5));
    assert_eq!(config.bounds, isthmus_config::Bounds::default());
    assert_eq!(
        config.state_directory,
        Some(PathBuf::from("/home/somebody/.local/state/isthmus"))
    );
    assert_eq!(config.files, [PathBuf::from("/srv/conf/gateway.yaml")]);
}

#[test]
fn backends_keep_their_order_and_a_route_reaches_all_of_them_by_default() {
    let config = read(
        "backends: {z: {stdio: {command: z}}, a: {stdio: {command: a}}, m: {stdio: {command: m}}}",
    );
    let names: Vec<&str> = config.backends.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "m"]);
    assert_eq!(config.routes[0].backends, names);
}

#[test]
fn a_child_gets_a_few_variables_and_never_the_gateways_secrets() {
    let it = backend(
        "    stdio: {command: a, inherit_env: [NODE_*], env: {LC_ALL: de, X: {env: TOKEN}}}",
    );
    assert_eq!(
        env(process(&it)),
        [
            ("HOME", "/home/somebody"),
            ("LC_ALL", "de"),
            ("NODE_ENV", "test"),
            ("PATH", "/usr/bin"),
            ("X", "hunter2"),
        ]
    );
}

#[test]
fn what_env_sets_wins_over_the_env_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "A=file\nB=file\nPATH=/file\n").unwrap();
    let file = folder.path().join("gateway.yaml");
    let text = "backends: {it: {stdio: {command: a, env_file: .env, env: {B: written}}}}";
    let config = parse(text, &file, &Environment::new([("PATH", "/gateway")], "/")).unwrap();
    let it = config.backend("it").unwrap();
    assert_eq!(
        env(process(it)),
        [("PATH", "/file"), ("A", "file"), ("B", "written")]
    );
    assert_eq!(config.files, [file, folder.path().join(".env")]);
}

#[test]
fn paths_start_at_the_folder_of_the_config() {
    let check = |command: &str, expected: &str| {
        let it = backend(&format!(
            "    stdio: {{command: {command}, directory: ./work}}"
        ));
        assert_eq!(process(&it).command.to_str(), Some(expected));
        assert_eq!(process(&it).directory.to_str(), Some("/srv/conf/work"));
    };
    check("npx", "npx");
    check("./server", "/srv/conf/server");
    check("../bin/server", "/srv/bin/server");
    check("/bin/server", "/bin/server");
    check("~/bin/server", "/home/somebody/bin/server");
    let it = backend("    stdio: {command: a}");
    assert_eq!(process(&it).directory.to_str(), Some("/srv/conf"));
}

#[test]
fn words_and_values_arrive_as_written() {
    let it = backend(
        "    stdio: {command: a, args: [--port, 5, 1.0, true, '${TOKEN}', \"x${TOKEN}\"]}\n    \
         sessions: shared\n    era: stateful\n    prefix: ''\n    timeouts: {call: 1h}\n",
    );
    assert_eq!(
        process(&it).args,
        ["--port", "5", "1.0", "true", "${TOKEN}", "xhunter2"]
    );
    assert_eq!(it.sessions, Some(SessionPolicy::Shared));
    assert_eq!(it.era, EraSetting::Stateful);
    assert_eq!(it.prefix, "");
    assert_eq!(it.timeouts.call, Duration::from_secs(3600));
    assert_eq!(it.timeouts.list, Duration::from_secs(30));
}

#[test]
fn shaping_arrives_as_written() {
    let config = read(
        "backends: {a: {stdio: {command: a}}}\nroutes:\n  /mcp:\n    tools:\n      exclude: [a__x*]\n      \
         rename: {a__y: why}\n      override: {a__y: {title: Y, annotations: {readOnlyHint: true, n: 5}}}\n",
    );
    let tools = &config.routes[0].tools;
    assert_eq!(tools.exclude, [Glob::new("a__x*")]);
    assert!(tools.shows("a__y") && !tools.shows("a__xyz"));
    assert_eq!(tools.renamed("a__y"), Some("why"));
    let words = tools.override_of("a__y").unwrap();
    assert_eq!(words.title.as_deref(), Some("Y"));
    assert_eq!(
        serde_json::to_string(&words.annotations).unwrap(),
        r#"{"readOnlyHint":true,"n":5}"#
    );
}

#[test]
fn an_sse_backend_is_stateful() {
    let it = backend("    sse: {url: \"http://127.0.0.1:1/sse\"}");
    assert_eq!(it.era, EraSetting::Stateful);
    assert!(matches!(it.wire, Wire::Sse(_)));
}

#[test]
fn every_config_knows_where_its_values_stand() {
    let config = read("# above\nbackends:\n  it:\n    stdio:\n      command: ./x\n");
    let it = config.backend("it").unwrap();
    let location = it.location.as_ref().unwrap();
    assert_eq!(location.to_string(), "conf/gateway.yaml:3:3");
    let command = process(it).command.location.as_ref().unwrap();
    assert_eq!(command.to_string(), "conf/gateway.yaml:5:16");
}

#[test]
fn a_backend_that_only_moved_or_was_written_otherwise_is_equal() {
    let before = backend("    stdio: {command: a, env: {A: {env: TOKEN}}}\n");
    for same in [
        "    # moved\n    stdio:\n      command: a\n      env: {A: hunter2}\n",
        "    stdio: {command: a, args: [], env: {A: '${TOKEN:-}'}}\n",
        "    era: auto\n    prefix: it\n    stdio: {command: \"a\", env: {A: {env: TOKEN}}}\n",
    ] {
        let after = backend(&same.replace("'${TOKEN:-}'", "\"${TOKEN:-}\""));
        assert_eq!(before, after, "{same}");
    }
    for other in [
        "    stdio: {command: b, env: {A: {env: TOKEN}}}\n",
        "    stdio: {command: a, env: {A: other}}\n",
        "    stdio: {command: a, env: {A: {env: TOKEN}}}\n    idle: 1s\n",
    ] {
        assert_ne!(before, backend(other), "{other}");
    }
}

#[test]
fn a_config_with_secrets_prints_none() {
    let config = read(
        "backends:\n  a: {stdio: {command: a, args: [\"--key=${TOKEN}\"], env: {A: {env: TOKEN}}}}\n  \
         b: {http: {urls: [\"https://b.example/?key=${TOKEN}\"], headers: {X: \"${TOKEN}\"}}}\n  \
         c: {sse: {url: \"https://b.example/?key=${TOKEN}\", headers: {X: \"${TOKEN}\"}}}\n",
    );
    let printed = format!("{config:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("https://b.example/?…"), "{printed}");
    assert!(!format!("{:?}", environment()).contains("hunter2"));
}

#[test]
fn a_file_that_cannot_be_read_is_one_complaint() {
    let missing = load(Path::new("/nowhere/gateway.yaml")).unwrap_err();
    let text = missing.to_string();
    assert!(
        text.starts_with("/nowhere/gateway.yaml  cannot be read"),
        "{text}"
    );
}

#[test]
fn a_key_of_seals_is_32_bytes() {
    let config = read(&format!(
        "seal_keys: [{{id: 3, key: \"{}\"}}]",
        "0f".repeat(32)
    ));
    assert_eq!(config.seal_keys[0].id, 3);
    assert_eq!(config.seal_keys[0].bytes(), Some([15; 32]));
}

#[test]
fn a_renewed_certificate_is_a_changed_config() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    let write = |name: &str, kind: &str, content: &str| {
        let pem = format!("-----BEGIN {kind}-----\n{content}\n-----END {kind}-----\n");
        std::fs::write(folder.path().join(name), pem).unwrap();
    };
    write("chain.pem", "CERTIFICATE", "AAAA");
    write("key.pem", "PRIVATE KEY", "AAAA");
    let text = "listeners: {main: {address: 127.0.0.1:0, tls: {certificates: [{chain: chain.pem, key: key.pem}]}}}";
    let load = || parse(text, &file, &Environment::default()).unwrap();
    let before = load();
    assert_eq!(before, load());
    assert!(before.files.contains(&folder.path().join("key.pem")));
    assert!(
        !format!("{before:?}").contains("PRIVATE"),
        "keys never print"
    );
    write("chain.pem", "CERTIFICATE", "BBBB");
    assert_ne!(before, load());
}
