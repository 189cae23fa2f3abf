use std::sync::atomic::AtomicUsize;

use isthmus_exchange::{
    Attachment, ClientCapabilities, ItemKind, PeerFacts, Principal, Reply, ScopeId,
};
use isthmus_protocol::Revision;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::conversation::{Outgoing, Watch};

mod bounds;
mod declaring;
mod healing;
mod listing;

#[derive(Debug)]
struct Scripted {
    facts: PeerFacts,
    notices: broadcast::Sender<PeerNotice>,
    closed: CancellationToken,
    watched: Mutex<Vec<Watch>>,
    refused: &'static str,
    /// What was declared when it was opened.
    declared: RawJson,
    requested: Mutex<Vec<Outgoing>>,
    roots_changes: AtomicUsize,
}

impl Conversation for Scripted {
    fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    fn request(self: Arc<Self>, outgoing: Outgoing) -> BoxFuture<'static, Result<Reply, Error>> {
        lock(&self.requested).push(outgoing);
        Box::pin(async { Ok(Reply::complete(RawJson::empty_object())) })
    }

    fn notices(&self) -> broadcast::Receiver<PeerNotice> {
        self.notices.subscribe()
    }

    fn watch(self: Arc<Self>, mut wanted: Watch) -> BoxFuture<'static, Result<Watch, Error>> {
        lock(&self.watched).push(wanted.clone());
        wanted.uris.remove(self.refused);
        Box::pin(async {
            // Others may want something meanwhile.
            tokio::task::yield_now().await;
            Ok(wanted)
        })
    }

    fn roots_changed(self: Arc<Self>) -> BoxFuture<'static, Result<(), Error>> {
        self.roots_changes.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    }

    fn hears(&self) -> bool {
        true
    }

    fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.closed.cancel();
        Box::pin(async {})
    }
}

/// Opens scripted conversations and counts them.
#[derive(Debug)]
struct Opener {
    revision: Revision,
    opened: Mutex<Vec<Arc<Scripted>>>,
    failures: AtomicUsize,
}

impl Open for Opener {
    fn open(&self, declared: RawJson) -> BoxFuture<'static, Result<Arc<dyn Conversation>, Error>> {
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Box::pin(async { Err(Error::internal("scripted")) });
        }
        let facts = PeerFacts {
            revision: self.revision,
            capabilities: RawJson::assembled(r#"{"logging":{}}"#),
            server_info: None,
            instructions: None,
        };
        let conversation = Arc::new(Scripted {
            facts,
            notices: broadcast::Sender::new(16),
            closed: CancellationToken::new(),
            watched: Mutex::default(),
            refused: "x://refused",
            declared,
            requested: Mutex::default(),
            roots_changes: AtomicUsize::new(0),
        });
        lock(&self.opened).push(conversation.clone());
        Box::pin(async move {
            // Let others arrive meanwhile: opening is single-flight.
            tokio::task::yield_now().await;
            Ok(conversation as Arc<dyn Conversation>)
        })
    }

    fn evidence(&self) -> &'static str {
        "scripted"
    }
}

fn fixture(revision: Revision, sharing: Sharing) -> (Arc<Pool>, Arc<Opener>) {
    let opener = Arc::new(Opener {
        revision,
        opened: Mutex::default(),
        failures: AtomicUsize::new(0),
    });
    let pool = Pool::new(opener.clone(), settings(sharing));
    (pool, opener)
}

fn settings(sharing: Sharing) -> PoolSettings {
    PoolSettings {
        sharing,
        idle: Duration::from_secs(60),
        conversations: 1_000,
        per_principal: 1_000,
        processes: false,
        background: Handle::current(),
    }
}

fn caller(scope: Scope, principal: Principal, revision: Revision) -> Caller {
    Caller {
        principal,
        revision,
        capabilities: Arc::new(ClientCapabilities::none()),
        client_info: None,
        scope: Arc::new(scope),
        attachment: Attachment::Live,
        address: None,
    }
}

fn session(id: u128, subject: &str) -> Caller {
    let principal = Principal::authenticated("test", "", subject, "");
    let scope = Scope::session(ScopeId(id), principal.id().clone());
    caller(scope, principal, Revision::V2025_11_25)
}

/// The same caller with capabilities.
fn who_can(mut caller: Caller, declared: &str) -> Caller {
    let declared = RawJson::parse(declared.to_owned()).unwrap();
    caller.capabilities = Arc::new(ClientCapabilities::parse(declared).unwrap());
    caller
}

/// Lets everything that can go on do so.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn opened(opener: &Opener) -> usize {
    lock(&opener.opened).len()
}

#[tokio::test(start_paused = true)]
async fn per_client_each_session_has_its_own_and_none_is_listed_by() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let listing = pool.acquire_listing().await.unwrap();
    let (first, second) = (session(1, "a"), session(2, "a"));
    let of_first = pool.acquire(&first).await.unwrap();
    let of_second = pool.acquire(&second).await.unwrap();
    assert!(!Arc::ptr_eq(
        of_first.conversation(),
        of_second.conversation()
    ));
    first.scope.end();
    second.scope.end();
    of_first.conversation().closed().cancelled().await;
    of_second.conversation().closed().cancelled().await;
    assert!(!listing.conversation().closed().is_cancelled());
    assert_eq!(opened(&opener), 3);
}

#[tokio::test(start_paused = true)]
async fn per_principal_the_first_adopts_the_listing_one_and_lists_are_fetched_by_it_again() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerPrincipal);
    let listing = pool.acquire_listing().await.unwrap();
    let first = pool.acquire(&session(1, "a")).await.unwrap();
    assert!(Arc::ptr_eq(first.conversation(), listing.conversation()));
    let again = pool.acquire_listing().await.unwrap();
    assert!(Arc::ptr_eq(first.conversation(), again.conversation()));
    assert_eq!(opened(&opener), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_the_listing_one_that_may_serve_everybody() {
    for sharing in [Sharing::PerClient, Sharing::PerCall] {
        let (pool, opener) = fixture(Revision::V2026_07_28, sharing);
        let caller = session(1, "a");
        let (listing, lease) = tokio::join!(pool.acquire_listing(), pool.acquire(&caller));
        assert!(Arc::ptr_eq(
            listing.unwrap().conversation(),
            lease.unwrap().conversation()
        ));
        assert_eq!(opened(&opener), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn per_principal_sessions_of_one_share_and_of_two_do_not() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerPrincipal);
    for caller in [
        session(1, "a"),
        session(2, "a"),
        session(3, "b"),
        session(4, "b"),
    ] {
        pool.acquire(&caller).await.unwrap();
    }
    assert_eq!(opened(&opener), 2);
}

#[tokio::test(start_paused = true)]
async fn per_call_every_call_has_its_own_and_it_closes_with_the_call() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerCall);
    let caller = session(1, "a");
    drop(pool.acquire(&caller).await.unwrap());
    drop(pool.acquire(&caller).await.unwrap());
    assert_eq!(opened(&opener), 2);
    let conversations = lock(&opener.opened).clone();
    for conversation in conversations {
        conversation.closed.cancelled().await;
    }
    assert_eq!(pool.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stateless_backend_needs_one_conversation_whatever_the_policy() {
    for sharing in [
        Sharing::PerClient,
        Sharing::PerPrincipal,
        Sharing::PerCall,
        Sharing::Shared,
    ] {
        let (pool, opener) = fixture(Revision::V2026_07_28, sharing);
        let listing = pool.acquire_listing().await.unwrap();
        drop(pool.acquire(&session(1, "a")).await.unwrap());
        let lease = pool.acquire(&session(2, "b")).await.unwrap();
        assert!(Arc::ptr_eq(lease.conversation(), listing.conversation()));
        assert!(!listing.conversation().closed().is_cancelled());
        assert_eq!(opened(&opener), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn many_callers_at_once_open_one_conversation() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::Shared);
    let callers: Vec<_> = (0..50).map(|id| session(id, "a")).collect();
    let leases =
        futures_util::future::join_all(callers.iter().map(|caller| pool.acquire(caller))).await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(opened(&opener), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_open_is_told_and_not_remembered() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::Shared);
    opener.failures.store(1, Ordering::Relaxed);
    assert!(pool.acquire(&session(1, "a")).await.is_err());
    assert!(pool.acquire(&session(1, "a")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_closed_conversation_is_replaced_for_the_next_call() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::Shared);
    let lease = pool.acquire(&session(1, "a")).await.unwrap();
    lease.conversation().closed().cancel();
    let next = pool.acquire(&session(1, "a")).await.unwrap();
    assert!(!Arc::ptr_eq(lease.conversation(), next.conversation()));
    assert_eq!(opened(&opener), 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_closes_its_conversation_and_says_nothing_of_the_backend() {
    let (pool, _) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let caller = session(1, "a");
    let lease = pool.acquire(&caller).await.unwrap();
    caller.scope.end();
    lease.conversation().closed().cancelled().await;
    assert_eq!(pool.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_conversation_is_closed_and_one_in_use_is_not() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerPrincipal);
    drop(pool.acquire(&session(1, "a")).await.unwrap());
    let used = pool.acquire(&session(2, "b")).await.unwrap();
    let idle = lock(&opener.opened)[0].clone();
    idle.closed.cancelled().await;
    assert!(!used.conversation().closed().is_cancelled());
    assert_eq!(pool.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_uri_is_watched_while_any_scope_is_subscribed_to_it() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::Shared);
    let lease = pool.acquire(&session(1, "a")).await.unwrap();
    lease.subscribe(ScopeId(1), "x://a").await.unwrap();
    lease.subscribe(ScopeId(2), "x://a").await.unwrap();
    lease.unsubscribe(ScopeId(1), "x://a").await.unwrap();
    lease.unsubscribe(ScopeId(1), "x://a").await.unwrap();
    let watched = |at: &Opener| {
        lock(&lock(&at.opened)[0].watched)
            .last()
            .cloned()
            .unwrap()
            .uris
            .len()
    };
    assert_eq!(watched(&opener), 1);
    lease.unsubscribe(ScopeId(2), "x://a").await.unwrap();
    assert_eq!(watched(&opener), 0);
    assert!(lease.subscribe(ScopeId(1), "x://refused").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_a_session_hears_concerns_that_session_and_list_changes_concern_everyone() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let mut notices = pool.notices();
    let caller = session(7, "a");
    let lease = pool.acquire(&caller).await.unwrap();
    lease.subscribe(ScopeId(7), "x://a").await.unwrap();
    let conversation = lock(&opener.opened)[0].clone();
    let updated = PeerNotice::ResourceUpdated {
        uri: "x://a".to_owned(),
        params: RawJson::empty_object(),
    };
    conversation.notices.send(updated).unwrap();
    conversation
        .notices
        .send(PeerNotice::ListChanged(ItemKind::Tool))
        .unwrap();
    assert_eq!(
        notices.recv().await.unwrap().audience,
        Audience::Scope(ScopeId(7))
    );
    assert_eq!(notices.recv().await.unwrap().audience, Audience::Everyone);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_nobody_subscribed_to_in_that_session_is_nobodys() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let mut notices = pool.notices();
    let _listing = pool.acquire_listing().await.unwrap();
    let conversation = lock(&opener.opened)[0].clone();
    for notice in [
        PeerNotice::ResourceUpdated {
            uri: "x://a".to_owned(),
            params: RawJson::empty_object(),
        },
        PeerNotice::ListChanged(ItemKind::Tool),
    ] {
        conversation.notices.send(notice).unwrap();
    }
    let first = notices.recv().await.unwrap().notice;
    assert_eq!(first, Notice::ListChanged(ItemKind::Tool));
}

#[tokio::test(start_paused = true)]
async fn subscribers_are_told_to_look_again_when_the_conversation_ends() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::Shared);
    let mut notices = pool.notices();
    let lease = pool.acquire(&session(1, "a")).await.unwrap();
    lease.subscribe(ScopeId(1), "x://a").await.unwrap();
    lock(&opener.opened)[0].closed.cancel();
    let told = notices.recv().await.unwrap().notice;
    assert!(matches!(told, Notice::ResourceUpdated { uri, .. } if uri == "x://a"));
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_renewed_on_the_conversation_that_follows() {
    let (pool, opener) = fixture(Revision::V2025_11_25, Sharing::PerClient);
    let caller = session(1, "a");
    let lease = pool.acquire(&caller).await.unwrap();
    lease.subscribe(ScopeId(1), "x://a").await.unwrap();
    let mut notices = pool.notices();
    lease.conversation().closed().cancel();
    notices.recv().await.unwrap();
    let renewed = async {
        loop {
            tokio::task::yield_now().await;
            let next = lock(&opener.opened).get(1).cloned();
            if next.is_some_and(|next| {
                lock(&next.watched)
                    .iter()
                    .any(|watch| watch.uris.contains("x://a"))
            }) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), renewed)
        .await
        .unwrap();
}
