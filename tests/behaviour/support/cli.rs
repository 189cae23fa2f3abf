//! One run of the binary from the command line.

use std::process::Stdio;

use tempfile::TempDir;

use super::gateway::command;

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the binary in `folder` with nothing of the developer's own settings.
pub async fn isthmus(folder: &TempDir, arguments: &[&str]) -> Ran {
    isthmus_with(folder, arguments, &[]).await
}

/// The same with these environment variables.
pub async fn isthmus_with(
    folder: &TempDir,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Ran {
    let mut command = command(folder);
    command
        .args(arguments)
        .env_remove("ISTHMUS_LOG")
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Writes a file into the folder.
pub fn write(folder: &TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}
