//! A gateway of the real binary, on a port of its own, ended when the test ends.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;

/// How long a gateway may take to say that it listens.
const START: Duration = Duration::from_secs(20);

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    folder: TempDir,
    base: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Starts one that serves `fleet`: everything of a config but the listener, which is added on port 0.
    pub fn start(fleet: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), fleet)
    }

    /// The same with a folder of the test's own for its files.
    pub fn start_in(folder: TempDir, fleet: &str) -> Self {
        let config = config_in(&folder, fleet);
        let mut child = command(&folder)
            .arg("run")
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let (said, listening) = mpsc::channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn({
            let log = log.clone();
            move || {
                for line in lines.map_while(Result::ok) {
                    if let Some(address) = line
                        .split("address=")
                        .nth(1)
                        .filter(|_| line.contains("listening"))
                    {
                        let _ = said.send(
                            address
                                .split_whitespace()
                                .next()
                                .unwrap_or_default()
                                .to_owned(),
                        );
                    }
                    log.lock().unwrap().push(line);
                }
            }
        });
        let address = listening.recv_timeout(START).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!(
                "the gateway did not start:\n{}",
                log.lock().unwrap().join("\n")
            );
        });
        Self {
            child,
            folder,
            base: format!("http://{address}"),
            log,
        }
    }

    /// The URL of the default route.
    pub fn url(&self) -> String {
        self.at("/mcp")
    }

    /// A URL on the listener.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Writes another config in place of the one before; the gateway notices by itself.
    pub fn rewrite_config(&self, fleet: &str) {
        config_in(&self.folder, fleet);
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, and starts another one with the same files: its keys outlast it.
    pub fn killed_and_started_again(mut self, fleet: &str) -> Self {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::start_in(folder, fleet)
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits until it has logged a line with `text`.
    pub async fn logs(&self, text: &str) {
        let waiting = async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(START, waiting)
            .await
            .unwrap_or_else(|_| panic!("nothing was logged with `{text}`"));
    }

    /// Sends it a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end and says how it ended.
    pub async fn ends(&mut self) -> std::process::ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(START, waiting)
            .await
            .expect("the gateway does not end")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway\n{}", self.log());
        }
    }
}

/// The binary with nothing of the developer's own settings.
pub fn command(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isthmus"));
    command
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .env("XDG_CONFIG_HOME", folder.path().join("config"))
        .env(
            "ISTHMUS_LOG",
            "isthmus=debug,isthmus_backend=debug,isthmus_router=debug,isthmus_transport=debug,info",
        )
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Writes a config with a listener on port 0 and `fleet`.
pub fn config_in(folder: &TempDir, fleet: &str) -> PathBuf {
    let path = folder.path().join("gateway.yaml");
    let text = format!("listeners:\n  main:\n    address: 127.0.0.1:0\n{fleet}\n");
    // Renamed into place, as editors do: a reader never sees half a file.
    let half = folder.path().join(".gateway.yaml.new");
    std::fs::write(&half, text).unwrap();
    std::fs::rename(half, &path).unwrap();
    path
}
