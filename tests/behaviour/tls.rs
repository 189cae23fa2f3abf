//! TLS on listeners and towards backends, with clients that nobody here wrote: curl and OpenSSL.

use std::path::Path;
use std::process::Stdio;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Backend, Gateway};

/// An authority of the test's own.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name = named("authority");
        let certificate = params.self_signed(&key).unwrap();
        Self(Issuer::new(params, key), certificate.pem())
    }

    /// Writes `NAME.pem` and `NAME.key` for these subject names.
    fn sign(&self, folder: &Path, name: &str, subjects: &[&str]) {
        let subjects: Vec<String> = subjects.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(subjects).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.distinguished_name = named(name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// A folder with `ca.pem`, and `main.pem` for localhost and 127.0.0.1.
fn certified() -> (TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    std::fs::write(folder.path().join("ca.pem"), &authority.1).unwrap();
    authority.sign(folder.path(), "main", &["localhost", "127.0.0.1"]);
    (folder, authority)
}

const MAIN: &str = "    tls: {certificates: [{chain: main.pem, key: main.key}]}\n";

fn port(gateway: &Gateway) -> String {
    let base = gateway.at("");
    base.rsplit(':').next().unwrap().to_owned()
}

/// What curl says, and whether it was content.
async fn curl(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into(),
    )
}

/// A connection that OpenSSL has opened; what is written goes through it.
async fn connect(folder: &Path, port: &str, arguments: &[&str]) -> Child {
    let to = format!("127.0.0.1:{port}");
    Command::new("openssl")
        .args(["s_client", "-connect", to.as_str(), "-CAfile", "ca.pem"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Everything that OpenSSL says of a connection it opens and closes.
async fn hello(folder: &Path, port: &str, arguments: &[&str]) -> String {
    let mut connection = connect(folder, port, arguments).await;
    drop(connection.stdin.take());
    let mut said = Vec::new();
    let mut output = connection.stdout.take().unwrap();
    output.read_to_end(&mut said).await.unwrap();
    String::from_utf8_lossy(&said).into()
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_the_default_is_what_curl_likes_best() {
    let (folder, _authority) = certified();
    let files = folder.path().to_owned();
    let gateway = Gateway::start_in(folder, &format!("{MAIN}backends: {{}}"));
    let url = format!("https://localhost:{}/healthz", port(&gateway));
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let written = "%{http_version} %{http_code}";
        let said = curl(
            &files,
            &[flag, "--cacert", "ca.pem", "-o", "got", "-w", written, &url],
        )
        .await;
        assert_eq!(said, (true, format!("{version} 200")));
    }
    let (trusted, said) = curl(&files, &[&url]).await;
    assert!(!trusted && said.contains("certificate"), "{said}");
    let plain = url.replace("https", "http");
    assert!(!curl(&files, &[&plain]).await.0);
}

#[tokio::test]
async fn a_call_goes_through_tls_on_both_sides() {
    let (inner_folder, _authority) = certified();
    let inner_files = inner_folder.path().to_owned();
    let backend = Backend::start("2026-07-28", |method, _| {
        let result = match method {
            "tools/list" => json!({"ttlMs": 0, "cacheScope": "private", "tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
            "tools/call" => json!({"content": [{"type": "text", "text": "through"}]}),
            _ => return None,
        };
        Some(crate::support::Reaction::Result(result))
    })
    .await;
    let fleet = format!(
        "{MAIN}routes: {{/mcp: {{backends: [b]}}}}\nbackends:\n{}",
        backend.entry("b")
    );
    let inner = Gateway::start_in(inner_folder, &fleet);
    let folder = tempfile::tempdir().unwrap();
    for file in ["ca.pem", "main.pem", "main.key"] {
        std::fs::copy(inner_files.join(file), folder.path().join(file)).unwrap();
    }
    let files = folder.path().to_owned();
    let url = format!("https://127.0.0.1:{}/mcp", port(&inner));
    let outer = Gateway::start_in(
        folder,
        &format!(
            "{MAIN}backends:\n  far:\n    http:\n      urls: [\"{url}\"]\n      tls: {{roots: ca.pem, server_name: localhost}}\n"
        ),
    );
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "far__b__t", "_meta": meta}});
    let (sent, said) = curl(
        &files,
        &[
            "--cacert",
            "ca.pem",
            "-H",
            "content-type: application/json",
            "-H",
            "accept: application/json, text/event-stream",
            "-H",
            "mcp-protocol-version: 2026-07-28",
            "-H",
            "mcp-method: tools/call",
            "-H",
            "mcp-name: far__b__t",
            "-d",
            &body.to_string(),
            &format!("https://localhost:{}/mcp", port(&outer)),
        ],
    )
    .await;
    assert!(sent, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["result"]["content"][0]["text"], "through", "{said}");
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (folder, authority) = certified();
    authority.sign(folder.path(), "wild", &["*.wild.example"]);
    let files = folder.path().to_owned();
    let tls = "    tls: {certificates: [{chain: main.pem, key: main.key}, {chain: wild.pem, key: wild.key}]}";
    let gateway = Gateway::start_in(folder, &format!("{tls}\nbackends: {{}}"));
    for (name, fits) in [
        ("a.wild.example", true),
        ("localhost", true),
        ("other.example", false),
    ] {
        let arguments = ["-servername", name, "-verify_hostname", name];
        let said = hello(&files, &port(&gateway), &arguments).await;
        assert_eq!(
            said.contains("Verify return code: 0 (ok)"),
            fits,
            "{name}: {said}"
        );
    }
}

#[tokio::test]
async fn versions_below_the_minimum_are_refused() {
    let (folder, _authority) = certified();
    let files = folder.path().to_owned();
    let tls = "    tls: {certificates: [{chain: main.pem, key: main.key}], minimum: '1.3'}";
    let gateway = Gateway::start_in(folder, &format!("{tls}\nbackends: {{}}"));
    let accepted = |said: &str| !said.contains("Cipher is (NONE)");
    let port = port(&gateway);
    assert!(accepted(&hello(&files, &port, &["-tls1_3"]).await));
    assert!(!accepted(&hello(&files, &port, &["-tls1_2"]).await));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let (folder, authority) = certified();
    let files = folder.path().to_owned();
    let fleet = format!("{MAIN}backends: {{}}");
    let gateway = Gateway::start_in(folder, &fleet);
    let mut old = connect(
        &files,
        &port(&gateway),
        &["-quiet", "-servername", "localhost"],
    )
    .await;
    let mut answers = BufReader::new(old.stdout.take().unwrap()).lines();
    let mut requests = old.stdin.take().unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let before = hello(&files, &port(&gateway), &[]).await;
    requests.write_all(request).await.unwrap();
    assert!(answers.next_line().await.unwrap().unwrap().contains("200"));
    authority.sign(&files, "main", &["localhost", "renewed.example"]);
    gateway.logs("reloaded").await;
    let after = hello(
        &files,
        &port(&gateway),
        &["-verify_hostname", "renewed.example"],
    )
    .await;
    assert!(after.contains("Verify return code: 0 (ok)"), "{after}");
    assert_ne!(before, after);
    requests.write_all(request).await.unwrap();
    while !answers
        .next_line()
        .await
        .unwrap()
        .unwrap()
        .contains("HTTP/1.1 200")
    {}
}

#[tokio::test]
async fn a_key_that_does_not_fit_changes_nothing_and_says_where_it_stands() {
    let (folder, authority) = certified();
    let files = folder.path().to_owned();
    let gateway = Gateway::start_in(folder, &format!("{MAIN}backends: {{}}"));
    authority.sign(&files, "other", &["localhost"]);
    std::fs::copy(files.join("other.key"), files.join("main.key")).unwrap();
    gateway.logs("the old one stays in force").await;
    assert!(
        gateway.log().contains("gateway.yaml:4:"),
        "{}",
        gateway.log()
    );
    let said = hello(&files, &port(&gateway), &[]).await;
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
}

#[tokio::test]
async fn clients_without_a_certificate_are_refused_where_one_is_required_and_others_are_known_by_it()
 {
    let (folder, authority) = certified();
    authority.sign(folder.path(), "anna", &["anna.example"]);
    Authority::new().sign(folder.path(), "stranger", &["anna.example"]);
    let files = folder.path().to_owned();
    let tls = "    tls: {certificates: [{chain: main.pem, key: main.key}], clients: {roots: ca.pem, required: true}}";
    let fleet = format!("{tls}\nauthentication: [certificate: {{}}]\nbackends: {{}}");
    let gateway = Gateway::start_in(folder, &fleet);
    let url = format!("https://localhost:{}/mcp", port(&gateway));
    let post = |identity: &'static [&'static str]| {
        let (files, url) = (files.clone(), url.clone());
        async move {
            let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}).to_string();
            let request = [
                "--cacert",
                "ca.pem",
                "-w",
                " %{http_code}",
                "-d",
                &body,
                "-H",
                "content-type: application/json",
                "-H",
                "accept: application/json, text/event-stream",
                "-H",
                "mcp-protocol-version: 2026-07-28",
                "-H",
                "mcp-method: tools/list",
                &url,
            ];
            curl(&files, &[identity, &request].concat()).await
        }
    };
    assert!(!post(&[]).await.0);
    assert!(
        !post(&["--cert", "stranger.pem", "--key", "stranger.key"])
            .await
            .0
    );
    let (known, said) = post(&["--cert", "anna.pem", "--key", "anna.key"]).await;
    assert!(known && said.ends_with(" 200"), "{said}");
}
