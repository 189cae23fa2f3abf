use isthmus_exchange::{Attachment, ClientCapabilities, Principal, Scope, ScopeId};
use isthmus_protocol::{LogLevel, Revision};

use super::*;

fn listener(resources: bool) -> Listener {
    let principal = Principal::anonymous();
    let caller = Caller {
        scope: Arc::new(Scope::session(ScopeId(1), principal.id().clone())),
        principal,
        revision: Revision::LATEST,
        capabilities: Arc::new(ClientCapabilities::none()),
        client_info: None,
        attachment: Attachment::Detached,
        address: None,
    };
    let filter = ListenFilter {
        resources,
        follow_scope: true,
        ..ListenFilter::default()
    };
    Listener::new(Arc::new(caller), filter, Vec::new())
}

async fn everything_told(listener: &Listener) -> Vec<Notice> {
    listener.end();
    let mut told = Vec::new();
    while let Some(notice) = listener.next().await {
        told.push(notice);
    }
    told
}

fn part(number: usize, params: RawJson) -> Update {
    Update {
        uri: format!("x:/{number}"),
        params,
        watched: "x:/".to_owned(),
    }
}

fn told(uri: &str, params: &str) -> Notice {
    Notice::ResourceUpdated {
        uri: uri.to_owned(),
        params: RawJson::parse(params.to_owned()).unwrap(),
    }
}

#[tokio::test]
async fn a_slow_listener_is_told_of_what_it_watches_when_there_are_too_many_parts() {
    for resources in [true, false] {
        let listener = listener(resources);
        listener.updated(Update::of_all("y:".to_owned()));
        for number in 0..MOST_UPDATES + 3 {
            listener.updated(part(number, RawJson::empty_object()));
        }
        let last = MOST_UPDATES + 2;
        let expected = [
            told("x:/", r#"{"uri":"x:/"}"#),
            told("y:", r#"{"uri":"y:"}"#),
            told(&format!("x:/{}", last - 2), "{}"),
            told(&format!("x:/{}", last - 1), "{}"),
            told(&format!("x:/{last}"), "{}"),
        ];
        assert_eq!(everything_told(&listener).await, expected);
    }
}

#[tokio::test]
async fn large_updates_are_merged_before_they_are_many() {
    let listener = listener(true);
    let large = RawJson::string(&"x".repeat(MOST_UPDATE_BYTES / 4));
    for number in 0..100 {
        listener.updated(part(number, large.clone()));
        assert!(listener.waiting().update_bytes <= MOST_UPDATE_BYTES);
    }
    assert!(everything_told(&listener).await.len() < 5);
    assert_eq!(listener.waiting().update_bytes, 0);
}

#[tokio::test]
async fn several_updates_of_one_resource_are_one() {
    let listener = listener(true);
    for number in 0..10 {
        listener.updated(part(1, RawJson::from_serialize(&number)));
        listener.list_changed(ItemKind::ResourceTemplate);
        listener.list_changed(ItemKind::Tool);
    }
    let expected = [Notice::ListChanged(ItemKind::Resource), told("x:/1", "9")];
    assert_eq!(everything_told(&listener).await, expected);
}

#[tokio::test]
async fn of_too_many_completions_the_oldest_are_lost() {
    let listener = listener(true);
    for number in 0..=MOST_COMPLETED {
        listener.completed(number.to_string());
    }
    let told = everything_told(&listener).await;
    assert_eq!(told.len(), MOST_COMPLETED);
    let first = Notice::ElicitationComplete { id: "1".to_owned() };
    assert_eq!(told[0], first);
}

#[tokio::test]
async fn of_too_many_log_messages_the_oldest_are_lost() {
    let listener = listener(true);
    for number in 0..=MOST_LOGS {
        listener.logged(LogRecord {
            level: LogLevel::Info,
            params: RawJson::from_serialize(&number),
        });
    }
    let told = everything_told(&listener).await;
    assert_eq!(told.len(), MOST_LOGS);
    assert!(matches!(&told[0], Notice::Log(record) if record.params.as_str() == "1"));
}
