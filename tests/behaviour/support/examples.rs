//! The two example servers of this repository, written with the official Rust SDK.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use std::io::{BufRead, BufReader};

/// Where the example server called `name` is; builds both when they are first asked for.
pub fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

/// Cargo gives a test the path of its own package's binaries only, so this one is told to build those of another.
fn build() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_isthmus")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--package",
        "isthmus-examples",
        "--bins",
    ]);
    command.arg("--target-dir").arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let built = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success(), "the example servers cannot be built");
    folder.to_owned()
}

/// A running `example-weather`, on a port of its own.
#[derive(Debug)]
pub struct Weather {
    child: Child,
    url: String,
}

impl Weather {
    pub fn start() -> Self {
        let mut command = Command::new(example("example-weather"));
        let mut child = command
            .arg("127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.split_whitespace().last().unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Weather {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A config of both: the notebook as a child, the weather at its URL.
pub fn fleet(weather: &Weather) -> String {
    format!(
        "backends:\n  notes:\n    stdio: {{command: {}}}\n  weather:\n    http: {{urls: [{}]}}\n",
        example("example-notes").display(),
        weather.url
    )
}
