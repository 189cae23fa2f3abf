//! Children for stdio backends: small MCP servers in the shell's language, which every machine has.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a child is like where it differs from the ordinary one; each is a piece of shell script.
#[derive(Debug, Clone, Copy)]
pub struct Child<'a> {
    /// Runs once at the start.
    pub start: &'a str,
    /// Runs for each `tools/call`; `$line` is the request, `answer` answers it.
    pub call: &'a str,
    /// Runs when its stdin has ended.
    pub end: &'a str,
}

/// One that answers every call with the text `done`.
pub const ORDINARY: Child<'static> = Child {
    start: ":",
    call: "say_text done",
    end: ":",
};

impl Child<'_> {
    /// Writes the script into `folder` and returns a `backends:` entry for it. The pid of each process started for it is
    /// a line of the file `{name}.pids` there.
    pub fn entry(&self, folder: &Path, name: &str) -> String {
        let script = folder.join(format!("{name}.sh"));
        let Self { start, call, end } = self;
        let pids = folder.join(format!("{name}.pids"));
        let pids = pids.display();
        let program = format!(
            r#"note_pid() {{ echo "$1" >> '{pids}'; }}
note_pid $$
say() {{ printf '%s\n' "$1"; }}
answer() {{ say "{{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$1}}"; }}
say_text() {{ answer "{{\"content\":[{{\"type\":\"text\",\"text\":\"$1\"}}]}}"; }}
{start}
while IFS= read -r line; do
    id=${{line#*'"id":'}}
    id=${{id%%[,\}}]*}}
    case $line in
    *'"method":"initialize"'*)
        answer '{{"protocolVersion":"2025-06-18","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"child","version":"1"}}}}' ;;
    *'"method":"tools/list"'*) answer '{{"tools":[{{"name":"t","inputSchema":{{"type":"object"}}}}]}}' ;;
    *'"method":"tools/call"'*)
        {call} ;;
    *'"method":"notifications/'*) : ;;
    *) say "{{\"jsonrpc\":\"2.0\",\"id\":$id,\"error\":{{\"code\":-32601,\"message\":\"no such method\"}}}}" ;;
    esac
done
{end}
"#
        );
        std::fs::write(&script, program).unwrap();
        format!(
            "  {name}:\n    stdio: {{command: sh, args: [{}]}}\n",
            script.display()
        )
    }
}

/// The processes that were started for the child called `name`, oldest first.
pub fn pids(folder: &Path, name: &str) -> Vec<i32> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.pids"))).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Waits until at least `count` processes were started for the child called `name`.
pub async fn started(folder: &Path, name: &str, count: usize) -> Vec<i32> {
    until(
        || pids(folder, name).len() >= count,
        || format!("{:?} of {count} processes", pids(folder, name)),
    )
    .await;
    pids(folder, name)
}

/// Waits until none of these processes exists.
pub async fn gone(pids: &[i32]) {
    let alive = || {
        pids.iter()
            .copied()
            .filter(|pid| is_alive(*pid))
            .collect::<Vec<_>>()
    };
    until(
        || alive().is_empty(),
        || format!("still there: {:?}", alive()),
    )
    .await;
}

/// Whether a process exists and is not only waiting to be collected.
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; the state stands behind the last one.
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// Waits until `done`, looking again and again; there is nothing that would tell us.
async fn until(done: impl Fn() -> bool, shown: impl Fn() -> String) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {}", shown());
}

/// A folder of the test's own that outlives what runs in it.
pub fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}
