//! Tokens of a source that is made up, on a clock that is paused.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, HeaderName};
use tokio::time::sleep;

use super::*;

/// Gives what it was told to give, and else a new token each time, after a second.
#[derive(Debug, Default)]
struct Made {
    asked: AtomicUsize,
    wanted: Mutex<Vec<Want>>,
    script: Mutex<VecDeque<Result<Token, Error>>>,
    life: Option<Duration>,
}

impl Source for Made {
    fn obtain(&self, want: Want) -> BoxFuture<'static, Result<Token, Error>> {
        let count = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let scopes = want.further_scopes.clone();
        self.wanted.lock().unwrap().push(want);
        let next = self.script.lock().unwrap().pop_front();
        let token = Token::new(&format!("token-{count}"), self.life, scopes).unwrap();
        Box::pin(async move {
            sleep(Duration::from_secs(1)).await;
            next.unwrap_or(Ok(token))
        })
    }
}

impl Made {
    fn living(life: u64) -> Arc<Self> {
        let life = Some(Duration::from_secs(life));
        Arc::new(Self {
            life,
            ..Self::default()
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn tokens(self: &Arc<Self>) -> Arc<Tokens> {
        let backend = BackendName::parse("crm").unwrap();
        Tokens::new(backend, Holder::Operator, self.clone(), Handle::current())
    }
}

fn error() -> Error {
    refusal(&BackendName::parse("crm").unwrap(), "no".to_owned())
}

fn text(shown: &Shown) -> String {
    let mut headers = HeaderMap::new();
    shown.put_into(&mut headers);
    let value = &headers[HeaderName::from_static("authorization")];
    value.to_str().unwrap().to_owned()
}

async fn show(tokens: &Arc<Tokens>) -> String {
    text(&tokens.show().await.unwrap())
}

fn challenge(scopes: &[&str]) -> Challenge {
    Challenge {
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        error: Some("insufficient_scope".to_owned()),
        resource_metadata: None,
    }
}

fn anna(token: &str, life: u64) -> Principal {
    let expires = SystemTime::now() + Duration::from_secs(life);
    Principal::authenticated("jwt", "i", "anna", "")
        .with_token(token)
        .with_expiry(expires)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_wait_for_one_token() {
    let source = Made::living(600);
    let tokens = source.tokens();
    let asking = (0..100).map(|_| show(&tokens));
    let shown = futures_util::future::join_all(asking).await;
    assert!(shown.iter().all(|shown| shown == "Bearer token-1"));
    assert_eq!(source.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_spoils_nothing_for_those_who_wait() {
    let source = Made::living(600);
    let tokens = source.tokens();
    let (first, second) = (tokens.clone(), tokens.clone());
    let first = tokio::spawn(async move { show(&first).await });
    let second = tokio::spawn(async move { show(&second).await });
    sleep(Duration::from_millis(100)).await;
    first.abort();
    assert_eq!(second.await.unwrap(), "Bearer token-1");
    assert_eq!(source.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_ends_and_nobody_waits() {
    let source = Made::living(600);
    let tokens = source.tokens();
    assert_eq!(show(&tokens).await, "Bearer token-1");
    sleep(Duration::from_secs(500)).await;
    assert_eq!(
        (show(&tokens).await.as_str(), source.asked()),
        ("Bearer token-1", 1)
    );
    sleep(Duration::from_secs(50)).await;
    assert_eq!(show(&tokens).await, "Bearer token-1");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(
        (show(&tokens).await.as_str(), source.asked()),
        ("Bearer token-2", 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_is_not_shown() {
    let source = Made::living(60);
    let tokens = source.tokens();
    show(&tokens).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(show(&tokens).await, "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_again_after_pauses_that_grow() {
    let source = Made::living(600);
    source
        .script
        .lock()
        .unwrap()
        .extend([Err(error()), Err(error())]);
    let tokens = source.tokens();
    assert!(tokens.show().await.is_err());
    for _ in 0..100 {
        assert!(tokens.show().await.is_err());
    }
    assert_eq!(source.asked(), 1, "it is left alone for a second");
    sleep(Duration::from_millis(1100)).await;
    assert!(tokens.show().await.is_err());
    sleep(Duration::from_millis(1100)).await;
    assert!(tokens.show().await.is_err());
    assert_eq!(source.asked(), 2, "for two seconds the next time");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(show(&tokens).await, "Bearer token-3");
}

#[tokio::test(start_paused = true)]
async fn while_a_renewal_fails_the_token_there_is_does() {
    let source = Made::living(600);
    let tokens = source.tokens();
    show(&tokens).await;
    source.script.lock().unwrap().push_back(Err(error()));
    sleep(Duration::from_secs(550)).await;
    show(&tokens).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(
        (show(&tokens).await.as_str(), source.asked()),
        ("Bearer token-1", 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_for_all_who_were_refused() {
    let source = Made::living(600);
    let tokens = source.tokens();
    let shown = tokens.show().await.unwrap();
    let retried = (0..10).map(|_| async {
        let verdict = tokens.refused(
            &shown,
            StatusCode::UNAUTHORIZED,
            Challenge::default(),
            false,
        );
        assert!(matches!(verdict, Verdict::Retry));
        text(&tokens.show_instead(&shown).await.unwrap())
    });
    let retried = futures_util::future::join_all(retried).await;
    assert!(retried.iter().all(|shown| shown == "Bearer token-2"));
    assert_eq!(source.asked(), 2);
    assert!(source.wanted.lock().unwrap()[1].rejected);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_refuses_every_token_does_not_make_us_fetch_more() {
    let source = Made::living(600);
    let tokens = source.tokens();
    let refused = |shown: &Shown, again| {
        tokens.refused(shown, StatusCode::UNAUTHORIZED, Challenge::default(), again)
    };
    let shown = tokens.show().await.unwrap();
    assert!(matches!(refused(&shown, false), Verdict::Retry));
    let shown = tokens.show_instead(&shown).await.unwrap();
    assert!(matches!(refused(&shown, true), Verdict::GiveUp(_)));
    for _ in 0..10 {
        let shown = tokens.show().await.unwrap();
        assert!(matches!(refused(&shown, false), Verdict::GiveUp(_)));
    }
    assert_eq!(source.asked(), 2);
    sleep(Duration::from_secs(11)).await;
    let shown = tokens.show().await.unwrap();
    assert!(matches!(refused(&shown, false), Verdict::Retry));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_reach_is_replaced_by_one_with_what_it_lacks() {
    let source = Made::living(600);
    let tokens = source.tokens();
    let shown = tokens.show().await.unwrap();
    let refused = |shown: &Shown, scopes: &[&str], again| {
        tokens.refused(shown, StatusCode::FORBIDDEN, challenge(scopes), again)
    };
    assert!(matches!(
        refused(&shown, &["a", "b"], false),
        Verdict::Retry
    ));
    let wider = tokens.show_instead(&shown).await.unwrap();
    assert_eq!(text(&wider), "Bearer token-2");
    assert_eq!(source.wanted.lock().unwrap()[1].further_scopes, ["a", "b"]);
    assert!(matches!(refused(&wider, &["c"], false), Verdict::Retry));
    let wider = tokens.show_instead(&wider).await.unwrap();
    assert_eq!(
        source.wanted.lock().unwrap()[2].further_scopes,
        ["a", "b", "c"]
    );
    // It has them and it does not help.
    assert!(matches!(refused(&wider, &["a"], false), Verdict::GiveUp(_)));
    assert_eq!(source.asked(), 3);
    let plain = tokens.refused(&wider, StatusCode::FORBIDDEN, Challenge::default(), false);
    assert!(matches!(plain, Verdict::Stands));
}

#[tokio::test(start_paused = true)]
async fn scopes_that_are_not_to_be_had_are_asked_for_once_and_harm_nobody() {
    let source = Made::living(600);
    let tokens = source.tokens();
    let shown = tokens.show().await.unwrap();
    source.script.lock().unwrap().push_back(Err(error()));
    let refused =
        |shown: &Shown| tokens.refused(shown, StatusCode::FORBIDDEN, challenge(&["admin"]), false);
    assert!(matches!(refused(&shown), Verdict::Retry));
    let (wider, other) = tokio::join!(tokens.show_instead(&shown), tokens.show());
    assert!(wider.is_err());
    assert_eq!(
        text(&other.unwrap()),
        "Bearer token-1",
        "others go on meanwhile"
    );
    let shown = tokens.show().await.unwrap();
    assert!(matches!(refused(&shown), Verdict::GiveUp(_)));
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_got_for_a_token_ends_with_it() {
    let source = Made::living(6000);
    let tokens = source.tokens();
    tokens.renew(&anna("first", 100));
    assert_eq!(show(&tokens).await, "Bearer token-1");
    sleep(Duration::from_secs(101)).await;
    let error = tokens.show().await.unwrap_err();
    assert_eq!(error.fault(), Fault::Client);
    assert!(error.message().contains("has expired"));
    tokens.renew(&anna("second", 1000));
    assert_eq!(show(&tokens).await, "Bearer token-2");
    let wanted = source.wanted.lock().unwrap();
    let subjects: Vec<_> = wanted
        .iter()
        .map(|want| want.subject.as_ref().unwrap().expose().to_owned())
        .collect();
    assert_eq!(subjects, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn an_older_token_does_not_take_the_place_of_a_newer_one() {
    let source = Made::living(10);
    let tokens = source.tokens();
    tokens.renew(&anna("newer", 2000));
    tokens.renew(&anna("older", 1000));
    show(&tokens).await;
    let wanted = source.wanted.lock().unwrap();
    assert_eq!(wanted[0].subject.as_ref().unwrap().expose(), "newer");
}

#[tokio::test(start_paused = true)]
async fn nothing_that_prints_has_a_token_in_it() {
    let source = Made::living(600);
    let tokens = source.tokens();
    tokens.renew(&anna("subject-of-anna", 1000));
    let shown = tokens.show().await.unwrap();
    let token = Token::new("token-0", None, Vec::new()).unwrap();
    for printed in [
        format!("{tokens:?}"),
        format!("{shown:?}"),
        format!("{token:?}"),
        format!("{:?}", source.wanted.lock().unwrap()),
    ] {
        assert!(!printed.contains("token-"), "{printed}");
        assert!(!printed.contains("subject-of-anna"), "{printed}");
    }
}
