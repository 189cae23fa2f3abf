//! An operator logs in to a backend by the command line, with an account of his own.

mod server;

use std::process::Stdio;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

use self::server::Server;
use crate::support::cli::{Ran, isthmus, write};
use crate::support::gateway::command;
use crate::support::offering::{offering, tools};
use crate::support::{Backend, Gateway};

/// A backend behind an authorization server, one more that asks nobody, and a folder with the config of both.
struct Scene {
    server: Server,
    backend: Backend,
    other: Backend,
    folder: TempDir,
    fleet: String,
}

impl Scene {
    async fn start() -> Self {
        let server = Server::start().await;
        let offers = |name| offering(name, json!({"tools": tools(&["a"])}));
        let backend = Backend::start("2025-11-25", offers("crm")).await;
        let other = Backend::start("2025-11-25", offers("docs")).await;
        server.guards(&backend);
        let folder = tempfile::tempdir().unwrap();
        let fleet = format!(
            "state_directory: '{}'\nlog: {{filter: trace}}\nbackends:\n{}    credentials: {{login: {{issuer: '{}'}}}}\n{}",
            folder.path().join("kept").display(),
            backend.entry("crm"),
            server.url,
            other.entry("docs")
        );
        write(&folder, "gateway.yaml", &fleet);
        Self {
            server,
            backend,
            other,
            folder,
            fleet,
        }
    }

    /// Logs in: follows the address that is printed, as a person would.
    async fn log_in(&self) -> Ran {
        let mut command = command(&self.folder);
        command
            .args(["login", "crm", "--no-browser"])
            .env_remove("ISTHMUS_LOG");
        let mut command = tokio::process::Command::from(command);
        let mut child = command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let page = loop {
            let line = out.next_line().await.unwrap().expect("a page to go to");
            if line.trim().starts_with("http") {
                break line.trim().to_owned();
            }
        };
        let back = get(&page).await.1.unwrap();
        // What belongs to another login, or comes by another name, changes nothing.
        let stranger = back.replace("state=", "state=x");
        assert_eq!(get(&stranger).await.0, 400);
        assert_eq!(get_as(&back, "rebound.example").await.0, 404);
        assert_eq!(get(&back).await.0, 200);
        let mut rest = String::new();
        while let Some(line) = out.next_line().await.unwrap() {
            rest.push_str(&line);
        }
        let mut err = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut err).await.unwrap();
        let code = child.wait().await.unwrap().code().unwrap();
        Ran {
            code,
            out: rest,
            err,
        }
    }
}

/// The status of what is at a URL, and where it sends the browser.
async fn get(url: &str) -> (u16, Option<String>) {
    let authority = url
        .strip_prefix("http://")
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    get_as(url, authority).await
}

async fn get_as(url: &str, host: &str) -> (u16, Option<String>) {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let stream = TcpStream::connect(authority).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("/{path}")).header("host", host);
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let location = response.headers().get("location");
    let location = location.map(|location| location.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    (status, location)
}

#[tokio::test]
async fn an_operator_logs_in_and_a_running_gateway_uses_the_account() {
    let scene = Scene::start().await;
    let gateway = Gateway::start(&scene.fleet);
    // The others are there already, and the log says what to do.
    gateway.logs("isthmus login crm").await;
    let running = ["tools", "--url", &gateway.url()].map(str::to_owned);
    let running: Vec<_> = running.iter().map(String::as_str).collect();
    let listed = isthmus(&scene.folder, &running).await;
    assert!(
        listed.out.contains("docs__a") && !listed.out.contains("crm__a"),
        "{listed:?}"
    );

    let ran = scene.log_in().await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("Logged in to `crm`."), "{ran:?}");
    assert_eq!(scene.server.registered()[0]["application_type"], "native");

    let called = async {
        loop {
            let arguments = ["call", "--url", &gateway.url(), "crm__a"];
            let ran = isthmus(&scene.folder, &arguments).await;
            if ran.code == 0 {
                return ran.out;
            }
        }
    };
    let called = tokio::time::timeout(crate::support::patience(), called)
        .await
        .unwrap();
    assert_eq!(called, "crm: a\n");

    // A token that ends is renewed, and a command that starts its own fleet has the login too.
    scene.server.takes_tokens_back();
    let ran = isthmus(&scene.folder, &["call", "crm__a"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "crm: a\n"), "{ran:?}");
    let ran = isthmus(&scene.folder, &["call", "--url", &gateway.url(), "crm__a"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "crm: a\n"), "{ran:?}");

    for seen in scene.other.seen() {
        assert!(!seen.headers.contains_key("authorization"), "{seen:?}");
    }
    for secret in ["accounts-token-", "refresh-"] {
        assert!(!gateway.log().contains(secret), "the log has a token in it");
    }
}

#[tokio::test]
async fn who_logs_out_or_is_thrown_out_has_to_log_in_again() {
    let scene = Scene::start().await;
    assert_eq!(scene.log_in().await.code, 0);
    let ran = isthmus(&scene.folder, &["call", "crm__a"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "crm: a\n"), "{ran:?}");
    let ran = isthmus(&scene.folder, &["logout", "crm"]).await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "Logged out of `crm`.\n"),
        "{ran:?}"
    );
    let ran = isthmus(&scene.folder, &["logout", "crm"]).await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "There was no login to `crm`.\n")
    );
    let ran = isthmus(&scene.folder, &["call", "crm__a"]).await;
    assert!(
        ran.code != 0 && ran.err.contains("isthmus login crm"),
        "{ran:?}"
    );

    assert_eq!(scene.log_in().await.code, 0);
    scene.server.takes_everything_back();
    let ran = isthmus(&scene.folder, &["call", "crm__a"]).await;
    assert!(
        ran.code != 0 && ran.err.contains("isthmus login crm"),
        "{ran:?}"
    );
    let shown = scene.backend.seen().len();
    let ran = isthmus(&scene.folder, &["tools"]).await;
    assert!(ran.out.contains("docs__a"), "{ran:?}");
    assert!(ran.err.contains("isthmus login crm"), "{ran:?}");
    assert_eq!(
        scene.backend.seen().len(),
        shown,
        "there is nothing to show, so nothing is sent"
    );
}

#[tokio::test]
async fn what_cannot_be_logged_in_to_is_said_so() {
    let scene = Scene::start().await;
    for (name, text) in [("docs", "`login`"), ("nothing", "no backend `nothing`")] {
        let ran = isthmus(&scene.folder, &["login", name, "--no-browser"]).await;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains(text), "{ran:?}");
    }
}

#[tokio::test]
async fn a_gateway_with_a_public_url_says_who_it_is() {
    let scene = Scene::start().await;
    let listener = "    public_url: https://mcp.example/base\n    allow_unauthenticated: true\n";
    let gateway = Gateway::start(&format!("{listener}{}", scene.fleet));
    let place = gateway.at("/.well-known/isthmus-client");
    assert_eq!(get(&place).await.0, 200);
    // Who logs in nowhere is nobody's client.
    let other = Gateway::start(&format!(
        "{listener}backends:\n{}",
        scene.other.entry("docs")
    ));
    assert_eq!(get(&other.at("/.well-known/isthmus-client")).await.0, 404);
}
