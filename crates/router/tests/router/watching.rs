//! `resources/subscribe` and `resources/unsubscribe`.

use isthmus_exchange::{ErrorKind, Notice};
use isthmus_protocol::Method;

use crate::scripted::Scripted;
use crate::{
    RESOURCE, ask_as, everything, is_silent, json, listen, next_notice, router, session, settle,
};

const SUBSCRIBE: Method = Method::ResourcesSubscribe;
const UNSUBSCRIBE: Method = Method::ResourcesUnsubscribe;

#[tokio::test(start_paused = true)]
async fn a_session_hears_updates_of_what_it_subscribed_to() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:/a", ""), (RESOURCE, "x:/b", "")]);
    let other = Scripted::ready("other", &[]);
    let (router, stage) = router([&files, &other]);
    router.wait_ready().await;
    let (anna, berta) = (session(1), session(2));
    let (_, mut hears_anna) = listen(&stage, &anna, everything()).await;
    let (_, mut hears_berta) = listen(&stage, &berta, everything()).await;
    for _ in 0..2 {
        let done = ask_as(&anna, &stage, SUBSCRIBE, r#"{"uri":"files+x:/a"}"#).await;
        assert_eq!(done.unwrap(), json("{}"));
    }
    assert_eq!(files.heard(), ["subscribe 1 x:/a"]);
    files.updates("x:/b");
    files.updates("x:/a");
    let told = Notice::ResourceUpdated {
        uri: "files+x:/a".to_owned(),
        params: json(r#"{"uri":"files+x:/a","n":1.0}"#),
    };
    assert_eq!(next_notice(&mut hears_anna).await, told);
    assert!(is_silent(&mut hears_berta).await);
    ask_as(&anna, &stage, UNSUBSCRIBE, r#"{"uri":"files+x:/a"}"#)
        .await
        .unwrap();
    ask_as(&anna, &stage, UNSUBSCRIBE, r#"{"uri":"files+x:/a"}"#)
        .await
        .unwrap();
    assert_eq!(files.heard(), ["unsubscribe 1 x:/a"]);
    files.updates("x:/a");
    assert!(is_silent(&mut hears_anna).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_session_watches_ends_with_it() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:/a", ""), (RESOURCE, "x:/b", "")]);
    let (_router, stage) = router([&files]);
    let anna = session(1);
    for uri in ["x:/a", "x:/b"] {
        let params = format!(r#"{{"uri":"{uri}"}}"#);
        ask_as(&anna, &stage, SUBSCRIBE, &params).await.unwrap();
    }
    files.heard();
    anna.scope.end();
    settle().await;
    assert_eq!(files.heard(), ["unsubscribe 1 x:/a", "unsubscribe 1 x:/b"]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_returns_is_asked_again() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:/a", "")]);
    let (router, stage) = router([&files]);
    router.wait_ready().await;
    ask_as(&session(1), &stage, SUBSCRIBE, r#"{"uri":"x:/a"}"#)
        .await
        .unwrap();
    files.heard();
    files.go_down();
    settle().await;
    files.come_up();
    settle().await;
    assert_eq!(files.heard(), ["subscribe 1 x:/a"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_refused_does_not_count() {
    let files = Scripted::ready("files", &[(RESOURCE, "x:/a", "")]);
    let (_router, stage) = router([&files]);
    let anna = session(1);
    *files.refuses_subscriptions.lock().unwrap() = true;
    let refused = ask_as(&anna, &stage, SUBSCRIBE, r#"{"uri":"x:/a"}"#).await;
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::InvalidParams);
    *files.refuses_subscriptions.lock().unwrap() = false;
    ask_as(&anna, &stage, SUBSCRIBE, r#"{"uri":"x:/a"}"#)
        .await
        .unwrap();
    assert_eq!(files.heard(), ["subscribe 1 x:/a"]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_declare_subscriptions_is_asked_all_the_same() {
    let files = Scripted::ready("files", &[]);
    let mut listing = crate::scripted::listing(&[(RESOURCE, "x:/a", "")]);
    listing.facts.capabilities = json(r#"{"resources":{}}"#);
    files.lists_all(listing);
    let (router, stage) = router([&files]);
    router.wait_ready().await;
    ask_as(&session(1), &stage, SUBSCRIBE, r#"{"uri":"x:/a"}"#)
        .await
        .unwrap();
    assert_eq!(files.heard(), ["subscribe 1 x:/a"]);
}
