use std::path::{Path, PathBuf};
use std::time::Duration;

use isthmus_config::{Audit, AuditSink, WhenFull};
use isthmus_exchange::{
    Attachment, BackendName, BoxStage, Caller, ClientCapabilities, Principal, Scope, ScopeId,
    Subject, Target,
};
use isthmus_protocol::{Method, RawJson, Revision};
use serde_json::Value;

use super::*;

fn log(folder: &Path, when_full: WhenFull) -> (AuditLog, PathBuf) {
    let path = folder.join("audit.jsonl");
    let settings = Audit {
        sink: AuditSink::File {
            path: path.clone(),
            size: 1 << 20,
            keep: 1,
        },
        when_full,
        arguments: Vec::new(),
    };
    (AuditLog::start(&settings).unwrap(), path)
}

fn request() -> Request {
    let principal = Principal::authenticated("api_key", "", "anna", "");
    let caller = Caller {
        scope: Arc::new(Scope::principal(ScopeId(1), principal.id().clone())),
        principal,
        revision: Revision::V2026_07_28,
        capabilities: Arc::new(ClientCapabilities::none()),
        client_info: None,
        attachment: Attachment::Detached,
        address: None,
    };
    Request {
        subject: Subject::Name("files__read".to_owned()),
        ..Request::new(
            Method::ToolsCall,
            RawJson::parse(r#"{"name":"files__read","arguments":{"a":1}}"#.to_owned()).unwrap(),
            Arc::new(caller),
        )
    }
}

/// A stage that leads every request to one backend and then does as `then` says.
fn stage(log: &AuditLog, then: fn() -> Result<Reply, Error>) -> BoxStage {
    let inner = BoxStage::from_fn(move |request: Request| async move {
        let target = Target {
            backend: BackendName::parse("files").unwrap(),
            native: "read".to_owned(),
            item: None,
        };
        request.trail.unwrap().led_to(&target);
        then()
    });
    let layer = AuditLayer::new(Some(log.clone()), RouteName::new("/mcp"));
    BoxStage::new(layer.layer(inner))
}

fn lines(log: &AuditLog, path: &Path) -> Vec<Value> {
    log.close(Duration::from_secs(10));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn complete(text: &str) -> Result<Reply, Error> {
    Ok(Reply::complete(RawJson::parse(text.to_owned()).unwrap()))
}

#[tokio::test]
async fn a_line_says_who_asked_for_what_where_it_went_and_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (log, path) = log(folder.path(), WhenFull::Drop);
    for then in [
        || complete(r#"{"content":[]}"#),
        || complete(r#"{"content":[],"isError":true}"#),
        || Err(Error::invalid_params("no")),
    ] {
        let reply = stage(&log, then).run(request()).await;
        if let Ok(reply) = reply {
            reply.outcome().await.unwrap();
        }
    }
    let lines = lines(&log, &path);
    let outcomes: Vec<_> = lines.iter().map(|line| &line["outcome"]).collect();
    assert_eq!(outcomes, ["complete", "tool_error", "error"]);
    for line in &lines {
        assert_eq!(line["principal"]["subject"], "anna");
        assert_eq!(line["method"], "tools/call");
        assert_eq!(line["name"], "files__read");
        assert_eq!(line["native"], "read");
        assert_eq!(line["backend"], "files");
        assert_eq!(line["route"], "/mcp");
        assert!(line["arguments"].is_null(), "none are written by default");
        assert!(line["duration_ms"].is_number());
    }
}

#[tokio::test]
async fn a_client_that_leaves_leaves_a_line_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (log, path) = log(folder.path(), WhenFull::Drop);
    let never = || Ok(Reply::running(futures_util::stream::pending()));
    drop(stage(&log, never).run(request()).await.unwrap());
    let lines = lines(&log, &path);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["outcome"], "abandoned");
}

#[tokio::test]
async fn a_disk_that_is_full_loses_lines_holds_requests_up_or_refuses_them_as_the_operator_wants() {
    for when_full in [WhenFull::Drop, WhenFull::Refuse, WhenFull::Block] {
        let full = Audit {
            sink: AuditSink::File {
                path: "/dev/full".into(),
                size: u64::MAX,
                keep: 0,
            },
            when_full,
            arguments: Vec::new(),
        };
        let log = AuditLog::start(&full).unwrap();
        let done = stage(&log, || complete("{}"));
        let first = done.run(request()).await.unwrap();
        first.outcome().await.unwrap();
        log.wait_until_failing();
        let second = done.run(request());
        match when_full {
            WhenFull::Refuse => {
                let refused = second.await.unwrap_err();
                assert!(matches!(
                    refused.kind(),
                    isthmus_exchange::ErrorKind::Overloaded { .. }
                ));
            }
            // There is room in the queue, so nobody waits yet; nothing is lost either.
            WhenFull::Block => assert!(second.await.is_ok() && log.dropped() == 0),
            WhenFull::Drop => assert!(second.await.is_ok()),
        }
        log.close(Duration::from_millis(100));
    }
}

#[tokio::test]
async fn requests_wait_while_the_queue_has_no_place_and_go_on_when_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _path) = log(folder.path(), WhenFull::Block);
    let held = log.take_every_place();
    let done = stage(&log, || complete("{}"));
    let mut waiting = Box::pin(done.run(request()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(held);
    assert!(waiting.await.is_ok());
}

#[tokio::test]
async fn a_request_without_a_place_is_counted_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (when_full, goes_on) in [(WhenFull::Drop, true), (WhenFull::Refuse, false)] {
        let (log, _path) = log(folder.path(), when_full);
        let _held = log.take_every_place();
        let reply = stage(&log, || complete("{}")).run(request()).await;
        assert_eq!(reply.is_ok(), goes_on);
        assert_eq!(log.dropped(), u64::from(goes_on));
    }
}
