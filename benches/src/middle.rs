//! What stands between the load and the backend: nothing, nginx, or the gateway.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::arguments::{Cell, Era, Through};
use crate::client::{Client, Expected};
use crate::process::Running;

/// Something that passes requests on to the backend, ready to be asked.
#[derive(Debug)]
pub(crate) struct Middle {
    pub(crate) through: Through,
    pub(crate) address: SocketAddr,
    pub(crate) process: Option<Running>,
    /// Config and temporary files; after the process, so that it outlives it.
    _folder: Option<TempDir>,
}

/// How long something may take to get ready.
const PATIENCE: Duration = Duration::from_secs(20);

impl Middle {
    pub(crate) fn direct(backend: SocketAddr) -> Self {
        Self {
            through: Through::Direct,
            address: backend,
            process: None,
            _folder: None,
        }
    }

    /// Starts nginx as a plain reverse proxy; `None` if it is not in PATH.
    pub(crate) fn nginx(backend: SocketAddr) -> anyhow::Result<Option<Self>> {
        if Command::new("nginx")
            .arg("-v")
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            return Ok(None);
        }
        let folder = TempDir::new()?;
        let address = free_address()?;
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, nginx_config(folder.path(), address, backend))?;
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-e")
            .arg("stderr")
            .arg("-c")
            .arg(config);
        let process = Running::start("nginx", command)?;
        Ok(Some(Self {
            through: Through::Nginx,
            address,
            process: Some(process),
            _folder: Some(folder),
        }))
    }

    /// Starts the gateway with a route for each era of the backend.
    pub(crate) fn isthmus(binary: &Path, backend: SocketAddr) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let address = free_address()?;
        let config = folder.path().join("gateway.yaml");
        std::fs::write(&config, isthmus_config(folder.path(), address, backend))?;
        let mut command = Command::new(binary);
        command.arg("--log").arg("warn").arg("run").arg(config);
        let process = Running::start("isthmus", command)?;
        Ok(Self {
            through: Through::Isthmus,
            address,
            process: Some(process),
            _folder: Some(folder),
        })
    }

    /// The path at which a backend of an era is reached.
    pub(crate) fn path(cell: Cell) -> String {
        format!("/{}", cell.backend.name())
    }

    /// Waits until it answers a list as `expected`; how long that took.
    pub(crate) async fn ready(
        &mut self,
        cell: Cell,
        expected: &Expected,
    ) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        loop {
            let Err(error) = first_list(self.address, cell, expected).await else {
                return Ok(begin.elapsed());
            };
            if let Some(process) = &mut self.process
                && let Some(ended) = process.ended()?
            {
                bail!(ended);
            }
            if begin.elapsed() > PATIENCE {
                return Err(error)
                    .with_context(|| format!("{} does not get ready", self.through.name()));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Connects and lists once.
async fn first_list(address: SocketAddr, cell: Cell, expected: &Expected) -> anyhow::Result<()> {
    let mut client = Client::connect(address, &Middle::path(cell), cell.client).await?;
    client.ask(crate::arguments::Ask::List, expected).await
}

/// The gateway's binary: the given one, or the one beside this program.
pub(crate) fn isthmus_binary(given: Option<&PathBuf>) -> Option<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("isthmus"));
    given
        .cloned()
        .or_else(|| beside().filter(|path| path.exists()))
}

/// An address that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

fn nginx_config(folder: &Path, address: SocketAddr, backend: SocketAddr) -> String {
    let folder = folder.display();
    // Workers run as whoever started the bench: they must reach the folder.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user} daemon off; worker_processes auto; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream backend {{ server {backend}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen {address};
        keepalive_requests 1000000000;
        tcp_nodelay on;
        client_max_body_size 16m;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

fn isthmus_config(folder: &Path, address: SocketAddr, backend: SocketAddr) -> String {
    let folder = folder.display();
    let mut text = format!(
        "listeners:
  main: {{address: '{address}'}}
state_directory: '{folder}/state'
bounds: {{sessions_per_principal: 10000}}
routes:
"
    );
    for era in [Era::Stateful, Era::Stateless] {
        let name = era.name();
        text += &format!("  /{name}: {{backends: [{name}]}}\n");
    }
    text += "backends:\n";
    for era in [Era::Stateful, Era::Stateless] {
        let name = era.name();
        text += &format!(
            "  {name}: {{http: {{urls: ['http://{backend}/']}}, era: {name}, prefix: ''}}\n"
        );
    }
    text
}
