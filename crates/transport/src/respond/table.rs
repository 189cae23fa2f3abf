//! The table of errors as text.

use std::fmt::Write as _;
use std::time::Duration;

use isthmus_exchange::{BackendName, ClientCapabilities, Error, ErrorKind};
use isthmus_protocol::{JsonRpcError, Method, RawJson, Revision};

use super::{Asked, answer};

pub(super) fn write() -> String {
    let mut text = String::new();
    let callers = callers();
    for (title, error) in samples() {
        let _ = writeln!(text, "{title}");
        for method in [Method::ToolsCall, Method::ResourcesRead] {
            // Whether a caller shows pages matters to one code only.
            let shown = if title.contains("-32042") { 3 } else { 2 };
            for (name, revision, capabilities) in &callers[..shown] {
                let asked = Asked {
                    revision: *revision,
                    method: &method,
                    capabilities,
                };
                let answer = answer(&error, asked);
                let _ = write!(
                    text,
                    "  {method:<14}  {name:<9}  {}",
                    answer.status.as_u16()
                );
                let _ = match &answer.body {
                    Ok(result) => writeln!(text, "  result {result}"),
                    Err(error) => {
                        writeln!(text, "  {} {}{}", error.code, error.message, data(error))
                    }
                };
            }
        }
    }
    text
}

fn callers() -> [(&'static str, Revision, ClientCapabilities); 3] {
    let shows_pages = RawJson::assembled(r#"{"elicitation":{"url":{}}}"#);
    let shows_pages = ClientCapabilities::parse(shows_pages).expect("an object of the right shape");
    [
        ("stateless", Revision::LATEST, ClientCapabilities::none()),
        (
            "stateful",
            Revision::LATEST_STATEFUL,
            ClientCapabilities::none(),
        ),
        (
            "stateful, shows pages",
            Revision::LATEST_STATEFUL,
            shows_pages,
        ),
    ]
}

fn data(error: &JsonRpcError) -> String {
    error
        .data
        .as_ref()
        .map_or_else(String::new, |data| format!("  data {data}"))
}

fn samples() -> Vec<(String, Error)> {
    let backend = || BackendName::parse("files").expect("a valid name");
    let soon = Duration::from_millis(1500);
    let roots = || RawJson::assembled(r#"{"roots":{}}"#);
    let kinds = [
        ("Malformed", ErrorKind::Malformed),
        ("InvalidRequest", ErrorKind::InvalidRequest),
        ("HeaderMismatch", ErrorKind::HeaderMismatch),
        ("MissingCapability", ErrorKind::MissingCapability(roots())),
        (
            "UnsupportedRevision",
            ErrorKind::UnsupportedRevision {
                requested: "2030-01-01".to_owned(),
            },
        ),
        ("MethodNotFound", ErrorKind::MethodNotFound),
        ("InvalidParams", ErrorKind::InvalidParams),
        ("IncompleteEnvelope", ErrorKind::IncompleteEnvelope),
        (
            "ResourceNotFound",
            ErrorKind::ResourceNotFound {
                uri: "file:///x".to_owned(),
            },
        ),
        (
            "InsufficientScope",
            ErrorKind::InsufficientScope {
                scopes: ["files:write".to_owned()].into(),
            },
        ),
        ("SessionUnknown", ErrorKind::SessionUnknown),
        ("Limited", ErrorKind::Limited { retry_after: soon }),
        ("Overloaded", ErrorKind::Overloaded { retry_after: soon }),
        (
            "BackendUnavailable",
            ErrorKind::BackendUnavailable(backend()),
        ),
        ("TimedOut", ErrorKind::TimedOut(Some(backend()))),
        ("Expired", ErrorKind::Expired),
        ("BackendMisbehaved", ErrorKind::BackendMisbehaved(backend())),
        ("CannotAsk", ErrorKind::CannotAsk(backend())),
        ("Internal", ErrorKind::Internal),
    ];
    let answered = [
        -32700, -32603, -32602, -32601, -32600, -32002, -32001, -32020, -32021, -32022, -32042, -1,
        7,
    ];
    let own = kinds
        .into_iter()
        .map(|(title, kind)| (title.to_owned(), Error::new(kind, "what happened")));
    let theirs = answered.into_iter().map(|code| {
        let mut error = JsonRpcError::new(code, "what it said");
        if code == -32021 {
            error = error.with_data(&serde_json::json!({"requiredCapabilities": {"roots": {}}}));
        }
        let title = format!("Answered {code}");
        (title, Error::answered(backend(), error))
    });
    own.chain(theirs).collect()
}
