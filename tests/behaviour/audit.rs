//! The audit log: a line for every request, also for those that were refused and those whose client left.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::send;
use crate::support::{Backend, Gateway, Reaction, Stateless};

async fn backend() -> Backend {
    Backend::start("2026-07-28", |method, _| match method {
        "tools/list" => Some(Reaction::Result(
            json!({"ttlMs": 60_000, "cacheScope": "public", "tools": [
                {"name": "read", "inputSchema": {"type": "object"}}, {"name": "secret", "inputSchema": {"type": "object"}}]}),
        )),
        "tools/call" => Some(Reaction::Result(
            json!({"content": [{"type": "text", "text": "done"}]}),
        )),
        _ => None,
    })
    .await
}

/// The lines, once there are `count`.
async fn lines(folder: &Path, count: usize) -> Vec<Value> {
    let waiting = async {
        loop {
            let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap_or_default();
            let lines: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            if lines.len() >= count {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    found.expect("too few lines")
}

async fn call(gateway: &Gateway, name: &str, arguments: Value) -> Value {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let meta = json!({"traceparent": trace});
    Stateless::new(&gateway.url())
        .post(
            "tools/call",
            json!({"name": name, "arguments": arguments}),
            meta,
        )
        .await
        .json()
        .await
}

#[tokio::test]
async fn a_line_says_who_called_what_where_it_went_and_with_which_arguments_a_rule_allows() {
    let backend = backend().await;
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().to_owned();
    let audit =
        "audit:\n  file: {path: audit.jsonl}\n  arguments: [{names: ['b__read'], hide: [token]}]\n";
    let fleet = format!("{audit}backends:\n{}", backend.entry("b"));
    let gateway = Gateway::start_in(folder, &fleet);
    call(
        &gateway,
        "b__read",
        json!({"path": "a.txt", "token": "hunter2"}),
    )
    .await;
    call(&gateway, "b__secret", json!({"token": "hunter2"})).await;
    call(&gateway, "b__missing", json!({})).await;
    let lines = lines(&files, 3).await;
    assert_eq!(lines[0]["name"], "b__read");
    assert_eq!(lines[0]["native"], "read");
    assert_eq!(lines[0]["backend"], "b");
    assert_eq!(lines[0]["kind"], "tool");
    assert_eq!(lines[0]["outcome"], "complete");
    assert_eq!(lines[0]["principal"]["method"], "none");
    assert_eq!(lines[0]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(
        lines[0]["arguments"],
        json!({"path": "a.txt", "token": "[hidden]"})
    );
    assert!(lines[1]["arguments"].is_null());
    assert_eq!(
        (&lines[2]["outcome"], &lines[2]["backend"]),
        (&json!("error"), &Value::Null)
    );
    let written = std::fs::read_to_string(files.join("audit.jsonl")).unwrap();
    assert!(!written.contains("hunter2"));
}

#[tokio::test]
async fn who_is_not_let_in_and_who_is_refused_by_a_rule_leave_lines() {
    let backend = backend().await;
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().to_owned();
    let rules = "authorization: {default: allow, rules: [{hide: 'native == \"secret\"', name: no secrets}]}\n";
    let fleet = format!(
        "audit: {{file: {{path: audit.jsonl}}}}\n{rules}backends:\n{}",
        backend.entry("b")
    );
    let gateway = Gateway::start_in(folder, &fleet);
    call(&gateway, "b__secret", json!({})).await;
    let line = &lines(&files, 1).await[0];
    assert_eq!(line["outcome"], "error");
    assert_eq!(
        (&line["decision"], &line["rule"]),
        (&json!("hide"), &json!("no secrets"))
    );

    let key = "api_keys: {anna: {sha256: '0000000000000000000000000000000000000000000000000000000000000000'}}\nauthentication: [api_keys: {}]\n";
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().to_owned();
    let guarded = Gateway::start_in(
        folder,
        &format!(
            "audit: {{file: {{path: audit.jsonl}}}}\n{key}backends:\n{}",
            backend.entry("b")
        ),
    );
    let answer = send(
        "POST",
        &guarded.url(),
        &[("authorization", "Bearer isthmus_no")],
        "{}".to_owned(),
    )
    .await;
    assert_eq!(answer.status, 401);
    let line = &lines(&files, 1).await[0];
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&json!("refused"), &json!(401))
    );
    assert!(!line.to_string().contains("isthmus_no"));
}

#[tokio::test]
async fn lines_that_wait_are_written_when_the_gateway_ends() {
    let backend = backend().await;
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().to_owned();
    let fleet = format!(
        "audit: {{file: {{path: audit.jsonl}}, when_full: block}}\nbackends:\n{}",
        backend.entry("b")
    );
    let mut gateway = Gateway::start_in(folder, &fleet);
    let copy = tempfile::tempdir().unwrap();
    for _ in 0..50 {
        call(&gateway, "b__read", json!({})).await;
    }
    gateway.signal("TERM");
    gateway.ends().await;
    std::fs::copy(files.join("audit.jsonl"), copy.path().join("audit.jsonl")).unwrap();
    assert_eq!(lines(copy.path(), 50).await.len(), 50);
}
