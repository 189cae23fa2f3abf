use isthmus_protocol::{Id, RawJson, Revision};

use super::*;

fn limits() -> SessionLimits {
    SessionLimits {
        total: 4,
        per_principal: 2,
        idle: Duration::from_secs(60),
        streams: 2,
        replay_per_session: 1000,
        replay_total: 10_000,
    }
}

fn table() -> SessionTable {
    SessionTable::new(limits(), Arc::new(SealKeys::generate()))
}

fn person(name: &str) -> Principal {
    Principal::authenticated("key", "", name, "")
}

fn new(name: &str) -> NewSession {
    NewSession {
        principal: person(name),
        route: RouteName::new("/mcp"),
        revision: Revision::V2025_11_25,
        capabilities: ClientCapabilities::none(),
        client_info: None,
        address: None,
    }
}

fn route() -> RouteName {
    RouteName::new("/mcp")
}

#[tokio::test]
async fn a_session_is_found_by_its_own_principal_on_its_own_route_only() {
    let table = table();
    let session = table.open(new("alice")).unwrap();
    let found = table.find(session.id(), &person("alice"), &route());
    assert!(Arc::ptr_eq(&found.unwrap(), &session));
    assert!(table.find(session.id(), &person("bob"), &route()).is_none());
    let elsewhere = RouteName::new("/other");
    assert!(
        table
            .find(session.id(), &person("alice"), &elsewhere)
            .is_none()
    );
    assert!(table.find("guess", &person("alice"), &route()).is_none());
}

#[tokio::test]
async fn an_ended_session_is_gone_and_everything_of_it_stops() {
    let table = table();
    let session = table.open(new("alice")).unwrap();
    let call = session
        .in_flight()
        .begin(&Id::number(1), session.scope().ended())
        .unwrap();
    let mut stream = session.streams().open_standing(true).unwrap();
    table.end(&session);
    assert!(call.cancelled().is_cancelled());
    assert!(stream.next().await.is_none());
    assert!(
        table
            .find(session.id(), &person("alice"), &route())
            .is_none()
    );
    assert!(table.is_empty());
}

#[tokio::test]
async fn a_restarted_gateway_rebuilds_a_session_from_its_id() {
    let keys = Arc::new(SealKeys::generate());
    let before = SessionTable::new(limits(), Arc::clone(&keys));
    let mut opening = new("alice");
    opening.capabilities =
        ClientCapabilities::parse(RawJson::parse(r#"{"roots":{}}"#.to_owned()).unwrap()).unwrap();
    let id = Arc::clone(before.open(opening).unwrap().id());
    before.close_all();
    let after = SessionTable::new(limits(), keys);
    assert!(after.find(&id, &person("bob"), &route()).is_none());
    let session = after.find(&id, &person("alice"), &route()).unwrap();
    assert_eq!(session.revision(), Revision::V2025_11_25);
    assert!(session.caller().capabilities.roots());
    let again = after.find(&id, &person("alice"), &route()).unwrap();
    assert!(Arc::ptr_eq(&session, &again));
}

#[tokio::test(start_paused = true)]
async fn one_too_many_pushes_out_the_one_that_was_idle_for_longest_and_it_can_come_back() {
    let table = table();
    let first = table.open(new("alice")).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let second = table.open(new("alice")).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    first.touch();
    tokio::time::advance(Duration::from_secs(1)).await;
    let _third = table.open(new("alice")).unwrap();
    assert!(second.is_closed() && !first.is_closed());
    assert_eq!(table.len(), 2);
    let back = table.find(second.id(), &person("alice"), &route());
    assert!(!back.unwrap().is_closed());
}

#[tokio::test]
async fn a_session_in_use_is_never_pushed_out() {
    let table = table();
    let one = table.open(new("alice")).unwrap();
    let two = table.open(new("alice")).unwrap();
    let _one = one.streams().open_standing(false).unwrap();
    let _two = two.streams().open_standing(false).unwrap();
    assert_eq!(table.open(new("alice")).unwrap_err(), OpenError::TooMany);
    assert!(table.open(new("bob")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_ends_and_a_busy_one_does_not() {
    let table = table();
    let idle = table.open(new("alice")).unwrap();
    let busy = table.open(new("bob")).unwrap();
    let _stream = busy.streams().open_standing(false).unwrap();
    tokio::time::advance(Duration::from_secs(61)).await;
    table.sweep();
    assert!(idle.is_closed() && !busy.is_closed());
    assert!(table.find(idle.id(), &person("alice"), &route()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_connection_holds_never_ends_by_itself() {
    let table = table();
    let held = table.open(new("alice")).unwrap();
    held.hold();
    tokio::time::advance(Duration::from_secs(1000)).await;
    table.sweep();
    let _second = table.open(new("alice")).unwrap();
    let _third = table.open(new("alice")).unwrap();
    assert!(!held.is_closed());
}

#[tokio::test]
async fn callers_that_nobody_knows_share_the_total_only() {
    let table = table();
    let anonymous = || NewSession {
        principal: Principal::anonymous(),
        ..new("nobody")
    };
    let sessions: Vec<_> = (0..4).map(|_| table.open(anonymous()).unwrap()).collect();
    assert!(sessions.iter().all(|session| !session.is_closed()));
    let _fifth = table.open(anonymous()).unwrap();
    assert_eq!(table.len(), 4);
}

#[tokio::test]
async fn capabilities_that_would_fill_the_memory_are_refused() {
    let table = table();
    let mut opening = new("alice");
    let long = format!(r#"{{"x":"{}"}}"#, "y".repeat(20_000));
    opening.capabilities = ClientCapabilities::parse(RawJson::parse(long).unwrap()).unwrap();
    assert_eq!(
        table.open(opening).unwrap_err(),
        OpenError::CapabilitiesTooLong
    );
}

#[tokio::test]
async fn a_session_has_the_claims_that_were_shown_last_and_only_its_principal_can_show_any() {
    let table = table();
    let session = table.open(new("alice")).unwrap();
    let begun = session.caller();
    assert!(begun.principal.scopes().is_empty());
    let richer = person("alice").with_scopes(vec!["write".to_owned()]);
    assert!(table.find(session.id(), &richer, &route()).is_some());
    assert_eq!(session.caller().principal.scopes(), ["write"]);
    assert!(Arc::ptr_eq(&begun.scope, &session.caller().scope));
    let stranger = person("bob").with_scopes(vec!["admin".to_owned()]);
    assert!(table.find(session.id(), &stranger, &route()).is_none());
    assert_eq!(session.caller().principal.scopes(), ["write"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_right_to_a_session_does_not_keep_it_alive() {
    let table = table();
    let session = table.open(new("alice")).unwrap();
    let used = session.last_used();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(table.find(session.id(), &person("bob"), &route()).is_none());
    assert_eq!(session.last_used(), used);
    assert!(
        table
            .find(session.id(), &person("alice"), &route())
            .is_some()
    );
    assert!(session.last_used() > used);
}
