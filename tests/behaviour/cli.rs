//! The command line around configs: what it prints where, and what its exit codes mean.

use std::path::Path;

use serde_json::Value;

use crate::support::cli::{isthmus, isthmus_with, write};

#[tokio::test]
async fn check_says_what_a_good_config_comes_to() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder,
        "good.yaml",
        "backends: {one: {stdio: {command: x}}, two: {http: {urls: [http://127.0.0.1/mcp]}}}\n",
    );
    let ran = isthmus(&folder, &["check", "good.yaml"]).await;
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "good.yaml: ok: 1 listener, 1 route, 2 backends\n", "")
    );
}

#[tokio::test]
async fn every_complaint_about_a_config_names_file_line_and_column_and_the_exit_code_is_three() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder,
        "bad.yaml",
        "routes:\n  /mcp: {backends: [nobody]}\nbackends:\n  one:\n    htttp: {}\n  two:\n    stdio: {command: x}\n    timeouts: {call: 0s}\n",
    );
    for arguments in [
        &["check", "bad.yaml"][..],
        &["run", "bad.yaml"],
        &["stdio", "bad.yaml"],
        &["tools", "-c", "bad.yaml"],
    ] {
        let ran = isthmus(&folder, arguments).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (3, ""),
            "{arguments:?}: {ran:?}"
        );
        for place in ["bad.yaml:2:21  ", "bad.yaml:5:5  ", "bad.yaml:8:22  "] {
            assert!(ran.err.contains(place), "{place} {ran:?}");
        }
        assert!(
            ran.err.contains(
                "unknown key `htttp`\n  help: a backend is one of `stdio`, `http`, `sse`"
            ),
            "{ran:?}"
        );
    }
}

#[tokio::test]
async fn a_config_that_is_not_there_is_told_with_the_places_that_were_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    for subcommand in ["check", "run", "stdio", "tools"] {
        let ran = isthmus(&folder, &[subcommand]).await;
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
        let user = folder.path().join("config/isthmus/gateway.yaml");
        assert!(
            ran.err.contains("`gateway.yaml`") && ran.err.contains(user.to_str().unwrap()),
            "{ran:?}"
        );
        assert!(ran.err.contains("isthmus import"), "{ran:?}");
    }
    let ran = isthmus(&folder, &["check", "elsewhere.yaml"]).await;
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (3, "there is no file `elsewhere.yaml`\n")
    );
}

#[tokio::test]
async fn a_config_is_found_in_the_folder_before_the_users_own() {
    let folder = tempfile::tempdir().unwrap();
    let user = folder.path().join("config/isthmus");
    std::fs::create_dir_all(&user).unwrap();
    std::fs::write(user.join("gateway.yaml"), "backends: {}\n").unwrap();
    let ran = isthmus(&folder, &["check"]).await;
    assert!(ran.out.starts_with(user.to_str().unwrap()), "{ran:?}");
    write(&folder, "gateway.yaml", "backends: {}\n");
    let ran = isthmus(&folder, &["check"]).await;
    assert!(ran.out.starts_with("gateway.yaml: ok"), "{ran:?}");
}

#[tokio::test]
async fn schema_prints_the_schema_that_is_checked_in() {
    let ran = isthmus(&tempfile::tempdir().unwrap(), &["schema"]).await;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/gateway.schema.json");
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(kept).unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), kept);
    assert_eq!(ran.code, 0);
}

#[tokio::test]
async fn lists_of_servers_of_four_clients_become_configs_that_pass_the_check() {
    let stdio = r#""command": "npx", "args": ["-y", "server"], "env": {"API_TOKEN": "hunter2", "PLAIN": "1"}"#;
    let files = [
        (
            "claude_desktop_config.json",
            format!(r#"{{"mcpServers": {{"My Files": {{{stdio}}}}}}}"#),
        ),
        (
            ".mcp.json",
            format!(
                r#"{{"mcpServers": {{"files": {{"type": "stdio", {stdio}}},
                    "far": {{"type": "http", "url": "https://mcp.example/mcp", "headers": {{"Authorization": "Bearer ${{API_TOKEN}}"}}}},
                    "old": {{"type": "sse", "url": "https://mcp.example/sse"}}}}}}"#
            ),
        ),
        (
            "vscode.json",
            format!(
                r#"{{ // VS Code allows comments.
                    "inputs": [{{"type": "promptString", "id": "key", "description": "A key", "password": true}}],
                    "servers": {{"files": {{"type": "stdio", {stdio}}},
                        "far": {{"type": "http", "url": "https://mcp.example/mcp", "headers": {{"X-Key": "${{input:key}}"}}}}}}}}"#
            ),
        ),
        (
            "cursor.json",
            format!(
                r#"{{"mcpServers": {{"files": {{{stdio}}}, "far": {{"url": "https://mcp.example/mcp"}}, "off": {{"command": "x", "disabled": true}}}}}}"#
            ),
        ),
    ];
    for (name, text) in files {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, name, &text);
        let ran = isthmus(&folder, &["import", name]).await;
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        assert!(
            !ran.out.contains("hunter2") && !ran.err.contains("hunter2"),
            "{name}: {ran:?}"
        );
        assert!(ran.err.contains("export API_TOKEN"), "{name}: {ran:?}");
        write(&folder, "gateway.yaml", &ran.out);
        let exported = ["API_TOKEN", "KEY"].map(|name| (name, "something"));
        let checked = isthmus_with(&folder, &["check"], &exported).await;
        assert_eq!(checked.code, 0, "{name}: {checked:?}\n{}", ran.out);
        // What was promised is held: without it the check says what is missing.
        let unset = isthmus(&folder, &["check"]).await;
        assert!(
            unset.code == 3 && unset.err.contains("API_TOKEN"),
            "{name}: {unset:?}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_imported_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "broken.json", "{\n  \"mcpServers\": {7 1}\n}");
    write(&folder, "other.json", "{\"something\": 1}");
    let broken = isthmus(&folder, &["import", "broken.json"]).await;
    assert!(
        broken.code == 3 && broken.err.starts_with("broken.json:2:"),
        "{broken:?}"
    );
    let other = isthmus(&folder, &["import", "other.json"]).await;
    assert!(
        other.code == 3 && other.err.contains("mcpServers"),
        "{other:?}"
    );
    let absent = isthmus(&folder, &["import", "absent.json"]).await;
    assert!(
        absent.code == 4 && absent.err.contains("cannot read `absent.json`"),
        "{absent:?}"
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    write(
        &folder,
        "gateway.yaml",
        &format!("listeners: {{door: {{address: {address}}}}}\nbackends: {{}}\n"),
    );
    let ran = isthmus(&folder, &["run"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{ran:?}");
    assert!(
        ran.err
            .contains(&format!("listener `door` cannot listen on {address}")),
        "{ran:?}"
    );
    assert!(ran.err.contains("another program listens there"), "{ran:?}");
}

/// Reviewed like code; `ISTHMUS_BLESS=1` writes it anew.
#[tokio::test]
async fn the_help_is_what_the_snapshot_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut helps = String::new();
    for subcommand in [
        "",
        "run",
        "stdio",
        "check",
        "schema",
        "import",
        "key new",
        "login",
        "logout",
        "tools",
        "resources",
        "prompts",
        "explain",
        "call",
    ] {
        let arguments: Vec<_> = subcommand.split_whitespace().chain(["--help"]).collect();
        let ran = isthmus(&folder, &arguments).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        let out: Vec<_> = ran.out.lines().map(str::trim_end).collect();
        helps.push_str(&format!(
            "$ isthmus {}\n{}\n\n",
            arguments.join(" "),
            out.join("\n").trim_end()
        ));
    }
    let kept =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/behaviour/snapshots/help.txt");
    if std::env::var_os("ISTHMUS_BLESS").is_some() {
        std::fs::write(&kept, &helps).unwrap();
    }
    assert_eq!(
        helps,
        std::fs::read_to_string(kept).unwrap_or_default(),
        "`ISTHMUS_BLESS=1` writes the snapshot anew"
    );
}
