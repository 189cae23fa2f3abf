//! Asking for changes: subscriptions of one era, listens of the other.

use super::*;
use crate::conversation::{PeerNotice, Watch};
use isthmus_exchange::ItemKind;

const TAG: &str = "io.modelcontextprotocol/subscriptionId";

fn watch(lists: bool, uris: &[&str]) -> Watch {
    let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
    Watch { lists, uris }
}

fn begin_watch(
    conversation: &Arc<impl Conversation + 'static>,
    wanted: Watch,
) -> JoinHandle<Result<Watch, Error>> {
    Handle::current().spawn(conversation.clone().watch(wanted))
}

async fn acknowledge(peer: &Peer, id: &Value, notifications: Value) {
    let params = json!({"_meta": {TAG: id}, "notifications": notifications});
    peer.notify("notifications/subscriptions/acknowledged", params)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_stateful_server_is_asked_for_what_is_new_and_released_from_what_is_gone() {
    let (conversation, mut peer) = stateful().await;
    let watching = begin_watch(&conversation, watch(true, &["a", "b"]));
    let (id, params) = peer.expect("resources/subscribe").await;
    assert_eq!(params, json!({"uri": "a"}));
    peer.answer(&id, json!({})).await;
    let (id, _) = peer.expect("resources/subscribe").await;
    peer.refuse(&id, -32602).await;
    assert_eq!(watching.await.unwrap().unwrap(), watch(true, &["a"]));

    let watching = begin_watch(&conversation, watch(true, &["c"]));
    let (id, params) = peer.expect("resources/unsubscribe").await;
    assert_eq!(params, json!({"uri": "a"}));
    peer.answer(&id, json!({})).await;
    let (id, params) = peer.expect("resources/subscribe").await;
    assert_eq!(params, json!({"uri": "c"}));
    peer.answer(&id, json!({})).await;
    assert_eq!(watching.await.unwrap().unwrap(), watch(true, &["c"]));
}

#[tokio::test(start_paused = true)]
async fn a_stateless_server_gets_one_listen_which_a_new_one_replaces_once_it_is_acknowledged() {
    let (conversation, mut peer) = stateless().await;
    assert!(!conversation.hears());
    let mut notices = conversation.notices();
    let watching = begin_watch(&conversation, watch(true, &[]));
    let (first, params) = peer.expect("subscriptions/listen").await;
    // The server declares list changes of tools only.
    assert_eq!(params["notifications"], json!({"toolsListChanged": true}));
    acknowledge(&peer, &first, json!({"toolsListChanged": true})).await;
    assert_eq!(watching.await.unwrap().unwrap(), watch(true, &[]));
    assert!(conversation.hears());

    let watching = begin_watch(&conversation, watch(true, &["u"]));
    let (second, params) = peer.expect("subscriptions/listen").await;
    assert_eq!(
        params["notifications"]["resourceSubscriptions"],
        json!(["u"])
    );
    peer.notify(
        "notifications/tools/list_changed",
        json!({"_meta": {TAG: first}}),
    )
    .await;
    acknowledge(&peer, &second, json!({"resourceSubscriptions": ["u", "v"]})).await;
    assert_eq!(watching.await.unwrap().unwrap(), watch(false, &["u"]));
    let (_, params) = peer.expect("notifications/cancelled").await;
    assert_eq!(params["requestId"], first);

    // The old listen is heard no more, nor is one that never was; the new one is, also by a tag of another type.
    for id in [&first, &json!("zzz"), &json!(second.to_string())] {
        let params = json!({"_meta": {TAG: id}, "uri": format!("from {id}")});
        peer.notify("notifications/resources/updated", params).await;
    }
    assert_eq!(
        notices.recv().await.unwrap(),
        PeerNotice::ListChanged(ItemKind::Tool)
    );
    let PeerNotice::ResourceUpdated { uri, params } = notices.recv().await.unwrap() else {
        panic!()
    };
    assert_eq!(uri, format!("from \"{second}\""));
    assert_eq!(params, raw(&json!({"uri": uri})));
    settle().await;
    assert!(notices.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_listen_that_the_server_ends_is_opened_again_and_whatever_it_announces_may_have_changed()
{
    for ending in ["result", "cancelled", "error"] {
        let (conversation, mut peer) = stateless().await;
        let mut notices = conversation.notices();
        let watching = begin_watch(&conversation, watch(true, &["u"]));
        let (id, filter) = peer.expect("subscriptions/listen").await;
        let honoured = json!({"toolsListChanged": true, "resourceSubscriptions": ["u"]});
        acknowledge(&peer, &id, honoured.clone()).await;
        watching.await.unwrap().unwrap();
        match ending {
            "result" => peer.answer(&id, json!({"_meta": {TAG: id}})).await,
            "error" => peer.refuse(&id, -32603).await,
            _ => {
                peer.notify("notifications/cancelled", json!({"requestId": id}))
                    .await
            }
        }
        let begun = Instant::now();
        settle().await;
        assert!(!conversation.hears(), "{ending}");
        // Not at once, and not given up when it fails.
        let (again, same) = peer.expect("subscriptions/listen").await;
        assert!(begun.elapsed() >= Duration::from_secs(1));
        assert_eq!(same["notifications"], filter["notifications"]);
        peer.refuse(&again, -32603).await;
        let (again, _) = peer.expect("subscriptions/listen").await;
        assert!(begun.elapsed() >= Duration::from_secs(3));
        assert!(notices.try_recv().is_err());
        acknowledge(&peer, &again, honoured).await;
        assert_eq!(
            notices.recv().await.unwrap(),
            PeerNotice::ListChanged(ItemKind::Tool)
        );
        assert!(matches!(
            notices.recv().await.unwrap(),
            PeerNotice::ResourceUpdated { uri, .. } if uri == "u"
        ));
        assert!(conversation.hears());
        // A new filter ends the one that was opened again.
        let watching = begin_watch(&conversation, watch(true, &[]));
        let (third, _) = peer.expect("subscriptions/listen").await;
        acknowledge(&peer, &third, json!({"toolsListChanged": true})).await;
        watching.await.unwrap().unwrap();
        let (_, params) = peer.expect("notifications/cancelled").await;
        assert_eq!(params["requestId"], again);
    }
}

#[tokio::test(start_paused = true)]
async fn a_listen_is_not_opened_again_for_a_server_that_will_not_or_has_gone() {
    for will_not in [true, false] {
        let (conversation, mut peer) = stateless().await;
        let watching = begin_watch(&conversation, watch(true, &[]));
        let (id, _) = peer.expect("subscriptions/listen").await;
        acknowledge(&peer, &id, json!({"toolsListChanged": true})).await;
        watching.await.unwrap().unwrap();
        if will_not {
            peer.answer(&id, json!({})).await;
            let (again, _) = peer.expect("subscriptions/listen").await;
            peer.refuse(&again, -32601).await;
        } else {
            let reason = Error::new(ErrorKind::BackendUnavailable(backend()), "it fell over");
            peer.voice.send(Err(reason)).await.unwrap();
            conversation.closed().cancelled().await;
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
        peer.hears_nothing().await;
        assert!(!conversation.hears());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_to_be_listened_to_honours_nothing() {
    let (conversation, mut peer) = stateless().await;
    let watching = begin_watch(&conversation, watch(true, &["u"]));
    let (id, _) = peer.expect("subscriptions/listen").await;
    peer.refuse(&id, -32601).await;
    assert_eq!(watching.await.unwrap().unwrap(), Watch::default());
    assert!(!conversation.hears());
}

#[tokio::test(start_paused = true)]
async fn a_listen_takes_no_log_message_from_the_only_real_call() {
    let (conversation, mut peer) = stateless().await;
    let watching = begin_watch(&conversation, watch(true, &[]));
    let (id, _) = peer.expect("subscriptions/listen").await;
    acknowledge(&peer, &id, json!({"toolsListChanged": true})).await;
    watching.await.unwrap().unwrap();
    let reply = begin(&conversation, curious_call("x"));
    peer.expect("tools/call").await;
    peer.notify(
        "notifications/message",
        json!({"level": "info", "data": "mine"}),
    )
    .await;
    let mut reply = reply.await.unwrap().unwrap();
    assert_eq!(event(&mut reply).await["data"], "mine");
}

#[tokio::test(start_paused = true)]
async fn a_listen_is_ended_before_the_pipe_is() {
    let (conversation, mut peer) = stateless().await;
    let watching = begin_watch(&conversation, watch(true, &[]));
    let (id, _) = peer.expect("subscriptions/listen").await;
    acknowledge(&peer, &id, json!({"toolsListChanged": true})).await;
    watching.await.unwrap().unwrap();
    let closing = Handle::current().spawn(conversation.close());
    let (_, params) = peer.expect("notifications/cancelled").await;
    assert_eq!(params["requestId"], id);
    peer.maker.closing.cancelled().await;
    closing.abort();
}
