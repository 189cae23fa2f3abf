//! The processes that the tests of children need: a guard, a scripted MCP server with bad habits, and a gateway to kill.
//!
//! `serve HABIT…` is a stateful server on stdin and stdout. `gateway HABIT…` starts one under a guard and waits to be
//! killed. `sleep`, `stubborn` and `orphan` are the server's descendants.

#![expect(
    clippy::disallowed_methods,
    reason = "it shows its environment to the test that gave it"
)]

use std::io::{self, BufRead, Read, Write};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let mode = words.next().and_then(|word| word.into_string().ok());
    if mode.as_deref() == Some("__guard") {
        return isthmus_backend::guard_main(words);
    }
    let habits: Vec<String> = words.filter_map(|word| word.into_string().ok()).collect();
    let outcome = match mode.as_deref() {
        Some("serve") => Server {
            habits,
            initialized: false,
        }
        .run(),
        Some("gateway") => gateway(&habits),
        Some("sleep") => sleep_for_ever(),
        Some("stubborn") => stubborn(),
        Some("orphan") => orphan(),
        _ => Err(io::Error::other("unknown mode")),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "backend-test-child: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Server {
    habits: Vec<String>,
    initialized: bool,
}

impl Server {
    fn has(&self, habit: &str) -> bool {
        self.habits.iter().any(|has| has == habit)
    }

    fn run(mut self) -> io::Result<ExitCode> {
        if self.has("fails-at-start") {
            writeln!(io::stderr(), "no configuration found")?;
            return Ok(ExitCode::from(7));
        }
        if self.has("mute") {
            writeln!(io::stderr(), "still thinking")?;
            io::copy(&mut io::stdin(), &mut io::sink())?;
        }
        if self.has("floods-stderr") {
            let line = [b'e'; 999];
            for _ in 0..20_000 {
                let mut stderr = io::stderr();
                stderr.write_all(&line)?;
                stderr.write_all(b"\n")?;
            }
        }
        if self.has("family") {
            say(&json!({"jsonrpc": "2.0", "method": "notifications/message",
                "params": {"level": "info", "data": {"family": family()?}}}))?;
        }
        let mut lines = io::stdin().lock();
        let mut line = String::new();
        while lines.by_ref().take(1 << 20).read_line(&mut line)? > 0 {
            let message: Value = serde_json::from_str(&line)?;
            line.clear();
            if let Some(code) = self.answer(&message)? {
                return Ok(code);
            }
        }
        if self.has("stays") {
            return sleep_for_ever();
        }
        Ok(ExitCode::SUCCESS)
    }

    fn answer(&mut self, message: &Value) -> io::Result<Option<ExitCode>> {
        let method = message["method"].as_str().unwrap_or_default();
        if self.has("dies-on-probe") && !self.initialized && method != "initialize" {
            return Ok(Some(ExitCode::FAILURE));
        }
        let Some(id) = message.get("id") else {
            return Ok(None);
        };
        if self.has("writes-garbage") {
            io::stdout().write_all(b"Listening on stdio...\n{\"jsonrpc\":\n\n[]\n\xff\xfe\n")?;
            say(&json!({"jsonrpc": "2.0", "id": 999_999, "result": {}}))?;
        }
        let result = match method {
            "initialize" => {
                self.initialized = true;
                json!({"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                    "serverInfo": {"name": "test-child", "version": "1"}, "instructions": self.habits.join(" ")})
            }
            "ping" => json!({}),
            "tools/call" => match message["params"]["name"].as_str() {
                Some("echo") => {
                    json!({"content": [], "structuredContent": message["params"]["arguments"]})
                }
                Some("environment") => json!({"variables": std::env::vars().collect::<Vec<_>>(),
                    "directory": std::env::current_dir()?, "limits": limits()}),
                Some("exit") => return Ok(Some(ExitCode::from(3))),
                Some("huge") => {
                    let mut stdout = io::stdout().lock();
                    stdout.write_all(&[b'x'; 3 << 20])?;
                    stdout.write_all(b"\n")?;
                    return Ok(None);
                }
                _ => json!({}),
            },
            _ if self.has("ignores-unknown") => return Ok(None),
            _ => {
                say(
                    &json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "unknown"}}),
                )?;
                return Ok(None);
            }
        };
        say(&json!({"jsonrpc": "2.0", "id": id, "result": result}))?;
        Ok(None)
    }
}

fn say(message: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{message}")?;
    stdout.flush()
}

fn limits() -> Value {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    json!({"openFiles": files.current})
}

/// Starts descendants of each kind; their process ids: the server's own, a child's, a stubborn child's, and an orphan's in
/// a session of its own.
fn family() -> io::Result<Vec<u32>> {
    let mut ids = vec![std::process::id()];
    ids.push(own("sleep").spawn()?.id());
    let mut stubborn = own("stubborn").stdout(Stdio::piped()).spawn()?;
    let mut ready = [0];
    stubborn
        .stdout
        .take()
        .ok_or(io::ErrorKind::BrokenPipe)?
        .read_exact(&mut ready)?;
    ids.push(stubborn.id());
    let orphaned = own("orphan").stderr(Stdio::inherit()).output()?.stdout;
    let orphaned = String::from_utf8_lossy(&orphaned);
    ids.push(orphaned.trim().parse().map_err(io::Error::other)?);
    Ok(ids)
}

fn own(mode: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(mode).stdin(Stdio::null());
    command
}

fn sleep_for_ever() -> io::Result<ExitCode> {
    loop {
        std::thread::park();
    }
}

/// Does not end at SIGTERM.
fn stubborn() -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let terminate = tokio::signal::unix::SignalKind::terminate();
        let mut terminate = tokio::signal::unix::signal(terminate)?;
        say(&json!("ready"))?;
        loop {
            terminate.recv().await;
        }
    })
}

/// Leaves the session, starts a process, says its id, and goes.
fn orphan() -> io::Result<ExitCode> {
    rustix::process::setsid()?;
    let orphan = own("sleep").stdout(Stdio::null()).spawn()?;
    writeln!(io::stdout(), "{}", orphan.id())?;
    Ok(ExitCode::SUCCESS)
}

/// What a gateway does, as far as a guard can tell.
fn gateway(habits: &[String]) -> io::Result<ExitCode> {
    let id = std::process::id().to_string();
    let exe = "/proc/self/exe";
    let mut guard = Command::new(exe);
    guard
        .args(["__guard", &id, "300", "-,-,-", exe, "serve"])
        .args(habits)
        .stdin(Stdio::piped());
    let mut guard = guard.spawn()?;
    guard.wait()?;
    Ok(ExitCode::SUCCESS)
}
