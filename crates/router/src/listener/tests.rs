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

#[tokio::test]
async fn a_slow_listener_is_told_once_that_resources_changed() {
    let listener = listener(true);
    for number in 0..=MOST_UPDATES {
        listener.updated(format!("x:{number}"), RawJson::empty_object());
    }
    let last = Notice::ResourceUpdated {
        uri: format!("x:{MOST_UPDATES}"),
        params: RawJson::empty_object(),
    };
    let told = everything_told(&listener).await;
    assert_eq!(told, [Notice::ListChanged(ItemKind::Resource), last]);
}

#[tokio::test]
async fn a_slow_listener_that_wants_no_list_changes_hears_the_newest_updates() {
    let listener = listener(false);
    for number in 0..2 * MOST_UPDATES {
        listener.updated(format!("x:{number}"), RawJson::empty_object());
    }
    assert_eq!(everything_told(&listener).await.len(), MOST_UPDATES);
}

#[tokio::test]
async fn several_updates_of_one_resource_are_one() {
    let listener = listener(true);
    for number in 0..10 {
        listener.updated("x:".to_owned(), RawJson::from_serialize(&number));
        listener.list_changed(ItemKind::ResourceTemplate);
        listener.list_changed(ItemKind::Tool);
    }
    let last = Notice::ResourceUpdated {
        uri: "x:".to_owned(),
        params: RawJson::from_serialize(&9),
    };
    let told = everything_told(&listener).await;
    assert_eq!(told, [Notice::ListChanged(ItemKind::Resource), last]);
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
