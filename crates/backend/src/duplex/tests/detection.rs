//! Handshakes, and finding out the era.

use super::*;
use crate::duplex::{DetectError, Detected, open_detecting};
use isthmus_protocol::Revision;

/// Detects the era of a server that does what `server` does.
async fn detect<F: Future<Output = Peer>>(
    server: impl FnOnce(Peer) -> F,
) -> (Result<Detected, DetectError>, Peer) {
    let (pipe, peer) = pipe(16);
    let opening = opening();
    let background = Handle::current();
    tokio::join!(open_detecting(pipe, &opening, &background), server(peer))
}

fn revision(detected: &Result<Detected, DetectError>) -> Revision {
    detected.as_ref().unwrap().conversation.facts().revision
}

/// Hears the two messages that every detection begins with; their ids.
async fn probed(peer: &mut Peer) -> (Value, Value) {
    let (discover, params) = peer.expect("server/discover").await;
    let meta = &params["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientInfo"]["name"],
        "isthmus"
    );
    let (ping, _) = peer.expect("ping").await;
    (discover, ping)
}

async fn accepts_initialize(peer: &mut Peer) {
    let (id, params) = peer.expect("initialize").await;
    assert_eq!(params["protocolVersion"], "2025-11-25");
    assert_eq!(
        params["capabilities"],
        json!({"extensions": {"x.example/y": {}}, "roots": {}})
    );
    peer.answer(&id, initialized("2025-06-18")).await;
    peer.expect("notifications/initialized").await;
}

#[tokio::test(start_paused = true)]
async fn the_newest_stateful_revision_is_offered_and_an_older_one_accepted() {
    let (pipe, mut peer) = pipe(16);
    let opening = opening();
    let background = Handle::current();
    let opened = StatefulDuplex::open(pipe, &opening, &background);
    let (opened, ()) = tokio::join!(opened, accepts_initialize(&mut peer));
    let opened = opened.unwrap();
    assert_eq!(opened.facts().revision, Revision::V2025_06_18);
    assert_eq!(opened.facts().server_info, Some(raw(&json!({"name": "s"}))));
}

#[tokio::test(start_paused = true)]
async fn an_unusable_answer_to_initialize_ends_the_attempt() {
    for version in ["2026-07-28", "2023-01-01", ""] {
        let (pipe, mut peer) = pipe(16);
        let opening = opening();
        let background = Handle::current();
        let server = async {
            let (id, _) = peer.expect("initialize").await;
            peer.answer(&id, initialized(version)).await;
        };
        let (opened, ()) = tokio::join!(StatefulDuplex::open(pipe, &opening, &background), server);
        let error = opened.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::BackendMisbehaved(_)),
            "{error}"
        );
        assert!(peer.maker.closing.is_cancelled());
    }
}

#[tokio::test(start_paused = true)]
async fn a_discover_result_with_our_revision_settles_it() {
    let (detected, _peer) = detect(async |mut peer| {
        let (discover, ping) = probed(&mut peer).await;
        peer.refuse(&ping, -32601).await;
        peer.answer(&discover, discovered(&["2026-07-28", "2025-11-25"]))
            .await;
        peer
    })
    .await;
    assert_eq!(revision(&detected), Revision::V2026_07_28);
    let conversation = detected.unwrap().conversation;
    let facts = conversation.facts();
    assert_eq!(facts.server_info, Some(raw(&json!({"name": "s"}))));
    assert_eq!(facts.instructions.as_deref(), Some("hi"));
}

#[tokio::test(start_paused = true)]
async fn a_discover_result_without_our_revision_is_a_stateful_servers() {
    let (detected, _peer) = detect(async |mut peer| {
        let (discover, _) = probed(&mut peer).await;
        peer.answer(&discover, discovered(&["2025-06-18"])).await;
        accepts_initialize(&mut peer).await;
        peer
    })
    .await;
    assert_eq!(revision(&detected), Revision::V2025_06_18);
}

#[tokio::test(start_paused = true)]
async fn any_error_but_a_stateless_servers_own_leads_to_initialize() {
    for code in [-32601, -32602, -32000, -32020, 0] {
        let (detected, _peer) = detect(async |mut peer| {
            let (discover, ping) = probed(&mut peer).await;
            peer.refuse(&discover, code).await;
            peer.answer(&ping, json!({})).await;
            accepts_initialize(&mut peer).await;
            peer
        })
        .await;
        assert_eq!(revision(&detected), Revision::V2025_06_18);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_of_unknown_stateless_revisions_only_is_not_asked_to_initialize() {
    let (detected, mut peer) = detect(async |mut peer| {
        let (discover, _) = probed(&mut peer).await;
        let error =
            json!({"code": -32022, "message": "later", "data": {"supported": ["2027-01-01"]}});
        peer.say(json!({"jsonrpc": "2.0", "id": discover, "error": error}))
            .await;
        peer
    })
    .await;
    assert!(matches!(detected, Err(DetectError::Failed(_))));
    peer.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_pings_but_no_probe_is_initialized_soon() {
    let begun = Instant::now();
    let (detected, _peer) = detect(async |mut peer| {
        let (_, ping) = probed(&mut peer).await;
        peer.answer(&ping, json!({})).await;
        accepts_initialize(&mut peer).await;
        peer
    })
    .await;
    assert_eq!(revision(&detected), Revision::V2025_06_18);
    assert!(begun.elapsed() < Duration::from_millis(300));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_initialized_after_ten_seconds() {
    let begun = Instant::now();
    let (detected, _peer) = detect(async |mut peer| {
        probed(&mut peer).await;
        accepts_initialize(&mut peer).await;
        peer
    })
    .await;
    assert_eq!(revision(&detected), Revision::V2025_06_18);
    assert!(begun.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_stateless_server_that_starts_slowly_wins_by_answering_the_probe() {
    let (detected, mut peer) = detect(async |mut peer| {
        let (discover, _) = probed(&mut peer).await;
        let (initialize, _) = peer.expect("initialize").await;
        peer.answer(&discover, discovered(&["2026-07-28"])).await;
        peer.refuse(&initialize, -32601).await;
        peer
    })
    .await;
    assert_eq!(revision(&detected), Revision::V2026_07_28);
    peer.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_stateless_server_that_is_slow_to_discover_survives_a_refused_initialize() {
    let (detected, _peer) = detect(async |mut peer| {
        let (discover, ping) = probed(&mut peer).await;
        peer.refuse(&ping, -32601).await;
        let (initialize, _) = peer.expect("initialize").await;
        peer.refuse(&initialize, -32601).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        peer.answer(&discover, discovered(&["2026-07-28"])).await;
        peer
    })
    .await;
    assert_eq!(revision(&detected), Revision::V2026_07_28);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_everything_is_given_up() {
    let (detected, _peer) = detect(async |mut peer| {
        let (discover, _) = probed(&mut peer).await;
        peer.refuse(&discover, -32601).await;
        let (initialize, _) = peer.expect("initialize").await;
        peer.refuse(&initialize, -32603).await;
        peer
    })
    .await;
    let Err(DetectError::Failed(error)) = detected else {
        panic!("{detected:?}")
    };
    assert_eq!(error.message(), "`b` refuses the handshake: no");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    let (detected, _peer) = detect(async |peer| peer).await;
    let Err(DetectError::Failed(error)) = detected else {
        panic!("{detected:?}")
    };
    assert_eq!(error.kind(), &ErrorKind::TimedOut(Some(backend())));
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_ends_during_the_probe_is_told_apart_from_other_failures() {
    let (detected, _peer) = detect(async |mut peer| {
        probed(&mut peer).await;
        let reason = Error::new(ErrorKind::BackendUnavailable(backend()), "it fell over");
        peer.voice.send(Err(reason)).await.unwrap();
        peer
    })
    .await;
    assert!(matches!(detected, Err(DetectError::DiedOnProbe(_))));
}
