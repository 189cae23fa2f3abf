//! Random comings and goings of watchers and of a backend, against a model of who has to hear what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{BoxStage, Caller, ListenFilter, Notice, Reply, Step};
use isthmus_protocol::Method;
use proptest::prelude::*;

use crate::scripted::Scripted;
use crate::{RESOURCE, ask_as, listen, router, session, settle};

const URIS: [&str; 3] = ["x:/a", "x:/b", "y:"];
const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Act {
    /// A client opens a listen that names these.
    Listen(usize, BTreeSet<usize>),
    /// One of the open listens is closed.
    Close(usize),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    /// A client's session ends; another client takes its place.
    Leave(usize),
    Down,
    Up,
    Refuse(usize),
    Accept(usize),
    Update(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let client = || 0..CLIENTS;
    let uri = || 0..URIS.len();
    prop_oneof![
        4 => (client(), proptest::collection::btree_set(uri(), 1..3)).prop_map(|(c, u)| Act::Listen(c, u)),
        3 => (0_usize..8).prop_map(Act::Close),
        3 => (client(), uri()).prop_map(|(c, u)| Act::Subscribe(c, u)),
        2 => (client(), uri()).prop_map(|(c, u)| Act::Unsubscribe(c, u)),
        1 => client().prop_map(Act::Leave),
        1 => Just(Act::Down),
        2 => Just(Act::Up),
        1 => uri().prop_map(Act::Refuse),
        1 => uri().prop_map(Act::Accept),
        4 => uri().prop_map(Act::Update),
    ]
}

struct World {
    files: Arc<Scripted>,
    stage: BoxStage,
    up: bool,
    clients: Vec<Client>,
    next_id: u128,
    /// What the backend believes to be watched, from what it was asked.
    believed: BTreeSet<(u128, &'static str)>,
}

struct Client {
    caller: Arc<Caller>,
    /// The listen that every session has.
    own: Reply,
    asked: BTreeSet<&'static str>,
    listens: Vec<(BTreeSet<&'static str>, Reply)>,
}

impl Client {
    async fn new(stage: &BoxStage, id: u128) -> Self {
        let caller = session(id);
        let follows = ListenFilter {
            follow_scope: true,
            ..ListenFilter::default()
        };
        let (_, own) = listen(stage, &caller, follows).await;
        Self {
            caller,
            own,
            asked: BTreeSet::new(),
            listens: Vec::new(),
        }
    }

    fn id(&self) -> u128 {
        self.caller.scope.id().0
    }

    fn watches(&self, uri: &str) -> bool {
        self.asked.contains(uri) || self.listens.iter().any(|(uris, _)| uris.contains(uri))
    }
}

impl World {
    async fn new() -> Self {
        let items = URIS.map(|uri| (RESOURCE, uri, ""));
        let files = Scripted::ready("files", &items);
        let (router, stage) = router([&files]);
        router.wait_ready().await;
        let mut clients = Vec::new();
        for id in 0..CLIENTS {
            clients.push(Client::new(&stage, id as u128).await);
        }
        settle().await;
        Self {
            files,
            stage,
            up: true,
            clients,
            next_id: CLIENTS as u128,
            believed: BTreeSet::new(),
        }
    }

    fn would_honour(&self, client: usize, uri: &'static str) -> bool {
        let known = self.believed.contains(&(self.clients[client].id(), uri));
        self.up && (known || !self.files.refuses.lock().unwrap().contains(&uri))
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Listen(client, uris) => {
                let wanted = uris.iter().map(|uri| URIS[*uri]);
                let honoured: BTreeSet<_> = wanted
                    .clone()
                    .filter(|uri| self.would_honour(*client, uri))
                    .collect();
                let filter = ListenFilter {
                    uris: wanted.map(str::to_owned).collect(),
                    ..ListenFilter::default()
                };
                let client = &mut self.clients[*client];
                let (acknowledged, reply) = listen(&self.stage, &client.caller, filter).await;
                let acknowledged: BTreeSet<_> = acknowledged.uris.into_iter().collect();
                assert!(acknowledged.iter().eq(honoured.iter()), "{acknowledged:?}");
                client.listens.push((honoured, reply));
            }
            Act::Close(number) => {
                let open = |client: &Client| client.listens.len();
                let mut number = *number;
                for client in &mut self.clients {
                    if number < open(client) {
                        client.listens.remove(number);
                        break;
                    }
                    number -= open(client);
                }
            }
            Act::Subscribe(client, uri) => {
                let uri = URIS[*uri];
                let expected = self.would_honour(*client, uri);
                let client = &mut self.clients[*client];
                let params = format!(r#"{{"uri":"{uri}"}}"#);
                let method = Method::ResourcesSubscribe;
                let done = ask_as(&client.caller, &self.stage, method, &params).await;
                assert_eq!(done.is_ok(), expected, "{done:?}");
                if expected {
                    client.asked.insert(uri);
                }
            }
            Act::Unsubscribe(client, uri) => {
                let uri = URIS[*uri];
                let client = &mut self.clients[*client];
                let params = format!(r#"{{"uri":"{uri}"}}"#);
                let method = Method::ResourcesUnsubscribe;
                let done = ask_as(&client.caller, &self.stage, method, &params).await;
                assert!(done.is_ok());
                client.asked.remove(uri);
            }
            Act::Leave(client) => {
                self.next_id += 1;
                let new = Client::new(&self.stage, self.next_id).await;
                let old = std::mem::replace(&mut self.clients[*client], new);
                old.caller.scope.end();
            }
            Act::Down => {
                self.up = false;
                self.files.go_down();
            }
            Act::Up => {
                // Also one that was not seen to go may have begun anew.
                self.up = true;
                self.believed.clear();
                self.files.come_up();
            }
            Act::Refuse(uri) => self.files.refuses.lock().unwrap().push(URIS[*uri]),
            Act::Accept(uri) => {
                let mut refuses = self.files.refuses.lock().unwrap();
                refuses.retain(|refused| *refused != URIS[*uri]);
            }
            Act::Update(uri) => return self.update(URIS[*uri]).await,
        }
        self.settle().await;
        self.silence().await;
    }

    /// An update is heard once by each listen that concerns it, and by nobody else.
    async fn update(&mut self, uri: &'static str) {
        self.silence().await;
        self.files.updates(uri);
        settle().await;
        for client in &mut self.clients {
            let heard = heard(&mut client.own).await;
            assert_eq!(
                heard.get(uri).copied(),
                client.asked.contains(uri).then_some(1)
            );
            assert_eq!(heard.len(), usize::from(client.asked.contains(uri)));
            for (uris, reply) in &mut client.listens {
                let heard = self::heard(reply).await;
                assert_eq!(heard.get(uri).copied(), uris.contains(uri).then_some(1));
                assert_eq!(heard.len(), usize::from(uris.contains(uri)));
            }
        }
    }

    /// Everything that waits to be told is told; only about what was named.
    async fn silence(&mut self) {
        for client in &mut self.clients {
            let asked = &client.asked;
            let named = |uri: &String| asked.contains(uri.as_str());
            // What was unsubscribed a moment ago may still have been waiting.
            let _ = heard(&mut client.own).await.keys().all(named);
            for (uris, reply) in &mut client.listens {
                let heard = heard(reply).await;
                assert!(heard.keys().all(|uri| uris.contains(uri.as_str())));
            }
        }
    }

    /// Lets everything happen, and follows what the backend was asked.
    async fn settle(&mut self) {
        for _ in 0..3 {
            settle().await;
        }
        if !self.up {
            self.believed.clear();
        }
        for line in self.files.heard() {
            let [verb, id, uri] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let uri = URIS.into_iter().find(|known| *known == uri).unwrap();
            let watch = (id.parse().unwrap(), uri);
            match verb {
                "subscribe" => self.believed.insert(watch),
                _ => self.believed.remove(&watch),
            };
        }
    }

    fn watched(&self) -> BTreeSet<(u128, &'static str)> {
        let mut watched = BTreeSet::new();
        for client in &self.clients {
            let uris = URIS.into_iter().filter(|uri| client.watches(uri));
            watched.extend(uris.map(|uri| (client.id(), uri)));
        }
        watched
    }
}

/// How often each resource is announced.
async fn heard(reply: &mut Reply) -> BTreeMap<String, usize> {
    let mut heard = BTreeMap::new();
    loop {
        match futures_util::poll!(std::pin::pin!(reply.next())) {
            std::task::Poll::Ready(Step::Event(isthmus_exchange::Event::Notice(
                Notice::ResourceUpdated { uri, .. },
            ))) => *heard.entry(uri).or_default() += 1,
            std::task::Poll::Ready(other) => panic!("{other:?}"),
            std::task::Poll::Pending => return heard,
        }
    }
}

async fn play(acts: Vec<Act>) {
    let mut world = World::new().await;
    for act in &acts {
        world.act(act).await;
        let (believed, watched) = (&world.believed, world.watched());
        assert!(believed.is_subset(&watched), "{act:?}: {believed:?}");
    }
    // Once all is well for a while, everything that was promised holds.
    world.files.refuses.lock().unwrap().clear();
    world.act(&Act::Up).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.settle().await;
    assert_eq!(world.believed, world.watched());
    for client in 0..CLIENTS {
        world.act(&Act::Leave(client)).await;
    }
    assert_eq!(world.believed, BTreeSet::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whoever_was_promised_updates_gets_them_and_backends_are_asked_for_nothing_else(
        acts in proptest::collection::vec(act(), 1..40),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(acts));
    }
}
