//! A scripted backend behind pipes: a program whose stdin and stdout lead to the test.

use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::{Backend, Seen, State, pour};

/// The programs that were started for a backend over a pipe.
pub struct Program {
    entry: String,
    /// One for each process that was ever started; it says that it shall end by being dropped.
    ends: Arc<watch::Sender<Vec<Option<mpsc::Sender<()>>>>>,
}

impl Backend {
    /// Serves the same script over stdin and stdout: each process that the gateway starts is a session of its own. Its
    /// pid is a line of `{name}.pids` in `folder`.
    pub async fn behind_a_pipe(&self, folder: &Path, name: &str) -> Program {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = Arc::new(watch::Sender::new(Vec::new()));
        let (state, running) = (self.state.clone(), ends.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (end, ended) = mpsc::channel(1);
                let number = running.borrow().len();
                running.send_modify(|all: &mut Vec<_>| all.push(Some(end)));
                tokio::spawn(serve(
                    state.clone(),
                    stream,
                    format!("pipe-{number}"),
                    ended,
                ));
            }
        });
        // Whichever side ends first ends the program.
        let pids = folder.join(format!("{name}.pids"));
        let script = format!(
            "echo $$ >> '{}'; exec 3<>/dev/tcp/127.0.0.1/{port} 4<&0; cat <&3 & cat <&4 >&3 & wait -n; kill $(jobs -p)",
            pids.display()
        );
        let file = folder.join(format!("{name}.bash"));
        std::fs::write(&file, script).unwrap();
        Program {
            entry: format!(
                "  {name}:\n    stdio: {{command: bash, args: [{}]}}\n",
                file.display()
            ),
            ends,
        }
    }
}

impl Program {
    /// The `backends:` entry.
    pub fn entry(&self) -> String {
        self.entry.clone()
    }

    /// Ends all that run now, as if they had crashed.
    pub fn crash(&self) {
        self.ends
            .send_modify(|all| all.iter_mut().for_each(|end| *end = None));
    }
}

/// Talks with one process until either end closes, or `ended` says so.
async fn serve(
    state: Arc<State>,
    mut stream: TcpStream,
    session: String,
    mut ended: mpsc::Receiver<()>,
) {
    // Or what is written in two pieces arrives 40 ms apart.
    stream.set_nodelay(true).unwrap();
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    let (feed, mut fed) = mpsc::channel::<String>(64);
    state.listeners.add(&session, Value::Null, feed.clone());
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { break };
                take(&state, &session, &feed, &line);
            }
            Some(message) = fed.recv() => {
                if write.write_all((message + "\n").as_bytes()).await.is_err() {
                    break;
                }
            }
            _ = ended.recv() => break,
        }
    }
    state.listeners.remove(&session);
}

fn take(state: &Arc<State>, session: &str, feed: &mpsc::Sender<String>, line: &str) {
    let message = super::super::http::value_of(line.as_bytes()).unwrap_or_default();
    let seen = Seen {
        http: Method::POST,
        headers: HeaderMap::new(),
        message: message.clone(),
        text: line.to_owned(),
        session: session.to_owned(),
    };
    let answer = state.react(&Method::POST, session, &message);
    state.seen.send_modify(|all| all.push(seen));
    if answer.status() != 202 {
        tokio::spawn(pour(answer.into_body(), feed.downgrade()));
    }
}
