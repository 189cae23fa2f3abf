//! Servers are bare sockets on port 0. What a name leads to is made up; nothing outside this machine is reached.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers every connection with `response`, whatever it asks, and counts them.
async fn serve(response: impl Into<String>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, response) = (asked.clone(), response.into());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(answer(socket, response.clone()));
        }
    });
    (address, asked)
}

async fn answer(mut socket: impl AsyncRead + AsyncWrite + Unpin, response: String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let asked = String::from_utf8(head).unwrap();
    let path = asked.split(' ').nth(1).unwrap();
    let response = response.replace("{path}", path);
    if response.is_empty() {
        std::future::pending::<()>().await;
    }
    let _ = socket.write_all(response.as_bytes()).await;
    let _ = socket.shutdown().await;
}

fn fetcher() -> Fetcher {
    Fetcher::new(Vec::new(), FetchLimits::default())
}

/// A fetcher for which every name leads to `addresses`; counts how often it was asked.
fn fetcher_to(addresses: &[&str]) -> (Fetcher, Arc<AtomicUsize>) {
    let ips: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let lookup: Lookup = Arc::new(move |_, port| {
        count.fetch_add(1, Ordering::Relaxed);
        let found = ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        Box::pin(std::future::ready(Ok(found)))
    });
    let fetcher = Fetcher {
        lookup,
        ..fetcher()
    };
    (fetcher, asked)
}

async fn get(fetcher: &Fetcher, url: &str, named_by: NamedBy) -> Result<Fetched, FetchError> {
    fetcher
        .get(&url.parse().unwrap(), named_by, "application/json")
        .await
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn moved(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn the_operator_may_name_this_machine_and_a_peer_may_not() {
    let (address, asked) = serve(ok("yes")).await;
    let url = format!("http://{address}/keys?a=1");
    let fetched = get(&fetcher(), &url, NamedBy::Operator).await.unwrap();
    assert_eq!(
        (fetched.status, fetched.body.as_ref()),
        (StatusCode::OK, &b"yes"[..])
    );
    for (url, named_by) in [
        (format!("http://{address}/"), NamedBy::Peer),
        (format!("https://{address}/"), NamedBy::Peer),
        (
            format!("https://localhost:{}/", address.port()),
            NamedBy::Peer,
        ),
        // What the system takes for an address although it does not look like one.
        (format!("https://127.1:{}/", address.port()), NamedBy::Peer),
        (
            format!("https://2130706433:{}/", address.port()),
            NamedBy::Peer,
        ),
        (
            format!("https://[::ffff:127.0.0.1]:{}/", address.port()),
            NamedBy::Peer,
        ),
        ("http://10.1.2.3/".to_owned(), NamedBy::Operator),
        ("ftp://127.0.0.1/".to_owned(), NamedBy::Operator),
        (format!("http://user@{address}/"), NamedBy::Operator),
        ("http://127.0.0.1:x/".to_owned(), NamedBy::Operator),
        ("/keys".to_owned(), NamedBy::Operator),
    ] {
        let Ok(parsed) = url.parse() else { continue };
        let refused = fetcher().get(&parsed, named_by, "*/*").await.unwrap_err();
        assert!(
            matches!(
                refused,
                FetchError::NotHttps | FetchError::Forbidden { .. } | FetchError::NoHost
            ),
            "{url}: {refused}"
        );
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_name_is_worth_what_it_leads_to() {
    for addresses in [
        &["127.0.0.1"][..],
        &["169.254.169.254"],
        &["10.0.0.1", "::1"],
        &["fd00::1"],
        &[],
    ] {
        let (fetcher, _) = fetcher_to(addresses);
        let refused = get(&fetcher, "https://id.example/", NamedBy::Peer).await;
        assert!(
            matches!(refused, Err(FetchError::Forbidden { .. })),
            "{addresses:?}: {refused:?}"
        );
        // Without TLS the operator can mean this machine only, whatever a name says.
        let refused = get(&fetcher, "http://id.example:1/", NamedBy::Operator).await;
        assert!(refused.is_err(), "{addresses:?}");
    }
}

#[tokio::test]
async fn the_connection_goes_to_the_address_that_was_looked_at() {
    let (address, asked) = serve(ok("yes")).await;
    let url = format!("http://id.example:{}/", address.port());
    let (fetcher, looked_up) = fetcher_to(&["10.0.0.1", "127.0.0.1"]);
    let fetched = get(&fetcher, &url, NamedBy::Operator).await.unwrap();
    assert_eq!(fetched.body, "yes");
    assert_eq!(looked_up.load(Ordering::Relaxed), 1);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_redirect_is_a_url_that_a_peer_has_named() {
    let (secret, reached) = serve(ok("secret")).await;
    for location in [
        format!("http://{secret}/"),
        format!("https://{secret}/"),
        format!("https://localhost:{}/", secret.port()),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        format!("//{secret}/"),
        "file:///etc/passwd".to_owned(),
        "elsewhere".to_owned(),
        "http://[::1".to_owned(),
    ] {
        let (address, _) = serve(moved(&location)).await;
        let refused = get(&fetcher(), &format!("http://{address}/"), NamedBy::Operator).await;
        assert!(
            matches!(
                refused,
                Err(FetchError::NotHttps | FetchError::Forbidden { .. } | FetchError::BadRedirect)
            ),
            "{location}: {refused:?}"
        );
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn redirects_inside_one_origin_are_followed_a_few_times() {
    let (address, asked) = serve(moved("{path}x")).await;
    let url = format!("http://{address}/a");
    let refused = get(&fetcher(), &url, NamedBy::Operator).await;
    assert!(matches!(
        refused,
        Err(FetchError::TooManyRedirects { limit: 3 })
    ));
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_document_has_an_end() {
    let limits = FetchLimits {
        body: 10,
        ..FetchLimits::default()
    };
    let fetcher = Fetcher::new(Vec::new(), limits);
    for response in [
        ok("eleven char"),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\neleven char\r\n0\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 200 OK\r\n\r\neleven char".to_owned(),
    ] {
        let (address, _) = serve(response).await;
        let url = format!("http://{address}/");
        let refused = get(&fetcher, &url, NamedBy::Operator).await;
        assert!(
            matches!(refused, Err(FetchError::TooLong { limit: 10 })),
            "{refused:?}"
        );
    }
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ncut".to_owned(),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000)),
        "SSH-2.0-OpenSSH\r\n".to_owned(),
        "\r\n".to_owned(),
    ] {
        let (address, _) = serve(response).await;
        let url = format!("http://{address}/");
        let refused = get(&fetcher, &url, NamedBy::Operator).await;
        assert!(refused.is_err(), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_not_waited_for() {
    let (address, _) = serve("").await;
    let url = format!("http://{address}/");
    let refused = get(&fetcher(), &url, NamedBy::Operator).await;
    assert!(matches!(refused, Err(FetchError::TimedOut { .. })));
}

#[tokio::test]
async fn a_certificate_has_to_be_for_the_name_that_was_asked_for() {
    let made = rcgen::generate_simple_self_signed(vec!["id.example".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(socket).await {
                answer(stream, ok("yes")).await;
            }
        }
    });
    let (untrusting, _) = fetcher_to(&["127.0.0.1"]);
    let trusting = Fetcher {
        tls: Arc::new(LazyTls::new(
            TlsSettings::default().with_extra_roots(vec![certificate]),
        )),
        http1: Arc::default(),
        ..untrusting.clone()
    };
    let url = |host: &str| format!("https://{host}:{port}/");
    let fetched = get(&trusting, &url("id.example"), NamedBy::Operator).await;
    assert_eq!(fetched.unwrap().body, "yes");
    for (fetcher, host) in [(&trusting, "other.example"), (&untrusting, "id.example")] {
        let refused = get(fetcher, &url(host), NamedBy::Operator).await;
        assert!(matches!(refused, Err(FetchError::Connect(_))), "{host}");
    }
}

#[tokio::test]
async fn a_form_goes_to_the_place_it_is_meant_for_and_nowhere_else() {
    let (elsewhere, asked_elsewhere) = serve(ok("{}")).await;
    let (moved, asked) = serve(moved(&format!("http://{elsewhere}/"))).await;
    let post = async |address: SocketAddr, named_by| {
        let url = format!("http://{address}/token").parse().unwrap();
        let form = Bytes::from_static(b"a=b");
        fetcher().post_form(&url, named_by, form, None).await
    };
    let answer = post(moved, NamedBy::Operator).await.unwrap();
    assert_eq!(answer.status, StatusCode::FOUND);
    assert_eq!(asked_elsewhere.load(Ordering::Relaxed), 0);
    assert!(post(elsewhere, NamedBy::Peer).await.is_err());
    assert_eq!(asked_elsewhere.load(Ordering::Relaxed), 0);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(
        post(elsewhere, NamedBy::Operator)
            .await
            .unwrap()
            .body
            .as_ref(),
        b"{}"
    );
    assert_eq!(format!("{answer:?}").matches("http").count(), 0);
}
