//! A listener on port 0, a raw HTTP client, and a stage whose every reply the test writes itself.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses a part of this"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "bodies of our own server, tasks of the test's own runtime"
)]

pub(crate) mod client;
pub(crate) mod script;

use std::net::SocketAddr;
use std::sync::Arc;

use isthmus_config::Bounds;
use isthmus_exchange::{BoxStage, RouteName};
use isthmus_protocol::RawJson;
use isthmus_seal::SealKeys;
use isthmus_session::{SessionLimits, SessionTable};
use isthmus_transport::{
    Clients, ClientsSettings, Listener, Readiness, RouteFace, serve_connection,
};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

pub(crate) use client::Client;
pub(crate) use script::Script;

/// A running listener with one route, `/mcp`, whose stage is scripted.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) clients: Arc<Clients>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) script: Script,
}

/// What a test may change before the start.
pub(crate) struct Setup {
    pub(crate) bounds: Bounds,
    pub(crate) keys: Arc<SealKeys>,
    pub(crate) face: Box<dyn FnOnce(RouteFace) -> RouteFace>,
    pub(crate) listener: Box<dyn FnOnce(&mut isthmus_config::Listener)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            keys: Arc::new(SealKeys::generate()),
            face: Box::new(|face| face),
            listener: Box::new(|_| {}),
        }
    }
}

pub(crate) async fn start() -> Gateway {
    start_with(Setup::default()).await
}

pub(crate) async fn start_with(setup: Setup) -> Gateway {
    let (stage, script) = script::scripted();
    let clients = clients(&setup.bounds, setup.keys);
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut settings = isthmus_config::Listener::new("main", address);
    (setup.listener)(&mut settings);
    let face = (setup.face)(face(stage));
    let listener = Listener::new(Arc::clone(&clients), settings, vec![face]);
    let accepting = Arc::clone(&listener);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = socket.accept().await.unwrap();
            tokio::spawn(serve_connection(stream, Some(peer), Arc::clone(&accepting)));
        }
    });
    Gateway {
        address,
        clients,
        listener,
        script,
    }
}

pub(crate) fn face(stage: BoxStage) -> RouteFace {
    RouteFace::new(RouteName::new("/mcp"), stage)
}

pub(crate) fn clients(bounds: &Bounds, keys: Arc<SealKeys>) -> Arc<Clients> {
    let limits = SessionLimits::from(bounds);
    Clients::new(ClientsSettings {
        sessions: Arc::new(SessionTable::new(limits, keys)),
        bounds: bounds.clone(),
        server_info: RawJson::assembled(r#"{"name":"isthmus","version":"0"}"#),
        background: Handle::current(),
        readiness: Arc::new(|| Readiness {
            ready: false,
            message: "starting".to_owned(),
        }),
    })
}

impl Gateway {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A client with a session of `revision` that has finished the handshake.
    pub(crate) async fn session(&self, revision: &str) -> Client {
        self.session_with(revision, "{}").await
    }

    /// The same with a client that declares `capabilities`.
    pub(crate) async fn session_with(&self, revision: &str, capabilities: &str) -> Client {
        let client = self.client();
        let (answer, client) = client.initialize_with(revision, capabilities).await;
        assert_eq!(answer["result"]["protocolVersion"], revision);
        let answer = client
            .post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
            .await;
        assert_eq!(answer.status, 202);
        client
    }
}

/// A stateless request with a complete envelope.
pub(crate) fn stateless(id: &str, method: &str, params: &str) -> String {
    let inner = params.trim().strip_prefix('{').unwrap();
    let comma = if inner.trim() == "}" { "" } else { "," };
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}{comma}{inner}}}"#
    )
}

/// Everything that a client can be asked for.
pub(crate) const ALL: &str =
    r#"{"roots":{"listChanged":true},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}"#;

/// A client's answer to a question.
pub(crate) fn answer(question: &serde_json::Value, result: &str) -> String {
    let id = &question["id"];
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// A request as sessions send it.
pub(crate) fn stateful(id: &str, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}
