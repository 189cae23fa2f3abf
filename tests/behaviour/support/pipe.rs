//! A raw client of `isthmus stdio`: lines in, lines out, and every line out has to be a message.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::gateway::{command, config_in};

/// How long an expected line, or the end, may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client at the other end of a gateway's pipe.
#[derive(Debug)]
pub struct Pipe {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// Messages that were read while another one was waited for.
    early: Vec<Value>,
    folder: TempDir,
    log: Arc<Mutex<String>>,
}

impl Pipe {
    /// Starts `isthmus stdio` with `fleet`.
    pub fn start(fleet: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), fleet, &[])
    }

    /// The same in a folder of the test's own, with further arguments.
    pub fn start_in(folder: TempDir, fleet: &str, arguments: &[&str]) -> Self {
        let config = config_in(&folder, fleet);
        let mut command = command(&folder);
        command
            .arg("stdio")
            .arg(config)
            .args(arguments)
            .stdin(Stdio::piped());
        let mut child = Command::from(command).kill_on_drop(true).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn({
            let log = log.clone();
            async move {
                while let Ok(Some(line)) = errors.next_line().await {
                    log.lock().unwrap().push_str(&(line + "\n"));
                }
            }
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            early: Vec::new(),
            folder,
            log,
        }
    }

    /// Writes one message.
    pub async fn say(&mut self, message: &Value) {
        self.say_raw(&message.to_string()).await;
    }

    /// Writes one line, whatever it is.
    pub async fn say_raw(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).await.unwrap();
        stdin.write_all(b"\n").await.unwrap();
        stdin.flush().await.unwrap();
    }

    /// Opens the session.
    pub async fn initialize(&mut self, revision: &str) -> Value {
        self.initialize_with(revision, json!({})).await
    }

    /// Opens the session and declares `capabilities`.
    pub async fn initialize_with(&mut self, revision: &str, capabilities: Value) -> Value {
        let params = json!({
            "protocolVersion": revision, "capabilities": capabilities, "clientInfo": {"name": "raw", "version": "1"},
        });
        let opened = self.ask_as("initialize", "initialize", params).await;
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        opened
    }

    /// Asks under an id of its own, and waits for the response.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.ask_as("ask", method, params).await
    }

    /// Asks under this id, and waits for the response.
    pub async fn ask_as(&mut self, id: &str, method: &str, params: Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        self.response(id).await
    }

    /// Waits for the response with this id.
    pub async fn response(&mut self, id: &str) -> Value {
        self.hear_where(|message| message["id"] == id && message["method"].is_null())
            .await
    }

    /// Waits for a notification of this kind.
    pub async fn notified(&mut self, method: &str) -> Value {
        self.hear_where(|message| message["method"] == method).await
    }

    /// Waits for the first message that fits; others are kept for whoever asks for them.
    pub async fn hear_where(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.early.iter().position(&fits) {
            return self.early.remove(at);
        }
        loop {
            let message = self.read().await.expect("the gateway closed its end");
            if fits(&message) {
                return message;
            }
            self.early.push(message);
        }
    }

    /// What was read while something else was waited for.
    pub fn unasked(&self) -> &[Value] {
        &self.early
    }

    /// Closes our end, reads what still comes, and waits for the process to end.
    pub async fn close(mut self) -> (ExitStatus, Vec<Value>) {
        drop(self.stdin.take());
        let mut rest = std::mem::take(&mut self.early);
        while let Some(message) = self.read().await {
            rest.push(message);
        }
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        (ended.expect("the gateway does not end").unwrap(), rest)
    }

    /// Waits for the process to end by itself.
    pub async fn ends(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("the gateway does not end")
            .unwrap()
    }

    /// Writes another config in place of the one before.
    pub fn rewrite_config(&self, fleet: &str) {
        config_in(&self.folder, fleet);
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    async fn read(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("nothing came").unwrap()?;
        let message = serde_json::from_str::<Value>(&line);
        let message = message.unwrap_or_else(|error| panic!("not a message: {error}: {line}"));
        let first = message.as_array().map_or(&message, |batch| &batch[0]);
        assert_eq!(first["jsonrpc"], "2.0", "not a message: {line}");
        Some(message)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the gateway\n{}", self.log.lock().unwrap());
        }
    }
}
