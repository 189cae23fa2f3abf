//! An issuer is a list of what it answers; the clock is paused.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// What an issuer publishes from one fetch to the next; the last stays.
struct Issuer {
    answers: Mutex<VecDeque<Option<&'static str>>>,
    fetches: AtomicUsize,
    time: Duration,
}

impl Issuer {
    fn new(answers: &[Option<&'static str>]) -> Arc<Self> {
        Self::slow(answers, Duration::from_millis(1))
    }

    fn slow(answers: &[Option<&'static str>], time: Duration) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.iter().copied().collect()),
            fetches: AtomicUsize::new(0),
            time,
        })
    }

    fn keys(self: &Arc<Self>) -> IssuerKeys {
        let issuer = self.clone();
        let fetch = move || -> Fetching {
            let issuer = issuer.clone();
            Box::pin(async move {
                tokio::time::sleep(issuer.time).await;
                issuer.fetches.fetch_add(1, Ordering::Relaxed);
                let mut answers = issuer.answers.lock().unwrap();
                let answer = answers[0];
                if answers.len() > 1 {
                    answers.pop_front();
                }
                let id = answer.ok_or(FetchFailure::NoMetadata)?;
                Ok(Bytes::from(format!(
                    r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{id}","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}]}}"#
                )))
            })
        };
        IssuerKeys::kept("test".to_owned(), Box::new(fetch), &Handle::current())
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

async fn ask(keys: &IssuerKeys, id: &str) -> Result<u64, NoKey> {
    keys.with(Some(id), Algorithm::ES256)
        .await
        .map(|state| state.generation)
}

#[tokio::test(start_paused = true)]
async fn the_first_requests_wait_for_one_fetch() {
    let issuer = Issuer::slow(&[Some("a")], Duration::from_secs(3));
    let keys = issuer.keys();
    let (one, two, three) = tokio::join!(ask(&keys, "a"), ask(&keys, "a"), ask(&keys, "b"));
    assert_eq!((one, two, three), (Ok(1), Ok(1), Err(NoKey::Unknown)));
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let issuer = Issuer::new(&[Some("a"), Some("b")]);
    let keys = issuer.keys();
    assert_eq!(ask(&keys, "a").await, Ok(1));
    tokio::time::advance(TOO_SOON).await;
    let (one, two) = tokio::join!(ask(&keys, "b"), ask(&keys, "b"));
    assert_eq!((one, two), (Ok(2), Ok(2)));
    assert_eq!(issuer.fetches(), 2);
    // What the issuer does not publish any more is worth nothing.
    assert_eq!(ask(&keys, "a").await, Err(NoKey::Unknown));
}

#[tokio::test(start_paused = true)]
async fn made_up_keys_cause_one_fetch_in_ten_seconds_and_nobody_waits_for_it() {
    let issuer = Issuer::new(&[Some("a")]);
    let keys = issuer.keys();
    assert_eq!(ask(&keys, "a").await, Ok(1));
    for number in 0..1000 {
        let begun = Instant::now();
        let id = format!("made-up-{number}");
        assert_eq!(ask(&keys, &id).await, Err(NoKey::Unknown));
        assert!(begun.elapsed() <= Duration::from_millis(10));
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    let fetches = issuer.fetches();
    assert!((5..=7).contains(&fetches), "{fetches}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_anew_though_nobody_misses_one() {
    let issuer = Issuer::new(&[Some("a"), Some("b")]);
    let keys = issuer.keys();
    assert_eq!(ask(&keys, "a").await, Ok(1));
    tokio::time::sleep(REFRESH + Duration::from_secs(1)).await;
    assert_eq!(keys.now().generation, 2);
    assert_eq!(ask(&keys, "b").await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_cannot_be_reached_is_asked_again_and_its_keys_are_used_for_a_day() {
    let issuer = Issuer::new(&[None, None, Some("a"), None]);
    let keys = issuer.keys();
    assert_eq!(ask(&keys, "a").await, Err(NoKey::Unreachable));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ask(&keys, "a").await, Ok(1));
    tokio::time::sleep(Duration::from_secs(20 * 3600)).await;
    assert_eq!(ask(&keys, "a").await, Ok(1));
    tokio::time::sleep(Duration::from_secs(5 * 3600)).await;
    assert_eq!(ask(&keys, "a").await, Err(NoKey::Unreachable));
    assert_eq!(keys.now().generation, 2);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_is_not_waited_for_without_end() {
    let issuer = Issuer::slow(&[Some("a")], Duration::from_secs(3600));
    let keys = issuer.keys();
    let begun = Instant::now();
    assert_eq!(ask(&keys, "a").await, Err(NoKey::Unreachable));
    assert!(begun.elapsed() < PATIENCE + Duration::from_secs(1));
}

#[tokio::test]
async fn fixed_keys_are_fetched_by_nobody() {
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = IssuerKeys::fixed(KeySet::parse(set.as_bytes()).unwrap());
    let found = keys.with(Some("x"), Algorithm::EdDSA).await;
    assert_eq!(found.unwrap().generation, 1);
    assert_eq!(ask(&keys, "x").await, Err(NoKey::Unknown));
}
