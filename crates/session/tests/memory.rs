//! What an idle session costs.
#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{ClientCapabilities, Principal, RouteName};
use isthmus_protocol::{RawJson, Revision};
use isthmus_seal::SealKeys;
use isthmus_session::{NewSession, SessionLimits, SessionTable};

/// Resident memory of this process, in bytes; pages are 4 KiB or larger.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn an_idle_session_costs_far_less_than_ten_kibibytes() {
    const SESSIONS: usize = 5_000;
    let limits = SessionLimits {
        total: SESSIONS,
        per_principal: SESSIONS,
        idle: Duration::from_secs(3600),
        streams: 8,
        replay_per_session: 1 << 20,
        replay_total: 256 << 20,
    };
    let table = SessionTable::new(limits, Arc::new(SealKeys::generate()));
    let body = r#"{"roots":{"listChanged":true},"sampling":{},"elicitation":{}}"#;
    let open = || {
        let capabilities = RawJson::parse(body.to_owned()).unwrap();
        table
            .open(NewSession {
                principal: Principal::anonymous(),
                route: RouteName::new("/mcp"),
                revision: Revision::V2025_11_25,
                capabilities: ClientCapabilities::parse(capabilities).unwrap(),
                client_info: Some(RawJson::parse(r#"{"name":"x","version":"1"}"#).unwrap()),
                address: None,
            })
            .unwrap()
    };
    open().ready();
    let before = resident();
    for _ in 1..SESSIONS {
        open().ready();
    }
    let each = resident().saturating_sub(before) / SESSIONS;
    assert!(each < 4 << 10, "{each} bytes per session");
}
