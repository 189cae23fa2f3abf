//! Children as they really are: processes, most of them with bad habits.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use isthmus_config::{EraSetting, Located, Process, ProcessLimits, Restart, Secret};
use isthmus_exchange::{BackendName, Error, ErrorKind, Outcome};
use isthmus_protocol::{Method, RawJson};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, test_kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::child::ChildSettings;
use super::companion::{Companion, CompanionState};
use super::open::open;
use super::piped::start_piped;
use super::stderr::TextLog;
use crate::conversation::{Conversation, Outgoing};
use crate::duplex::{Detected, Opening, Pipe, PipeEvent, StatefulDuplex};
use crate::questions::Habit;

/// Longer than anything here should take, so that a defect fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// The helper program, built beside the tests.
fn helper() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/backend-test-child");
    assert!(
        path.exists(),
        "run `cargo build -p isthmus-backend --examples` first"
    );
    path
}

fn settings(habits: &[&str]) -> ChildSettings {
    let mut process = Process::new(helper());
    process.args = ["serve"]
        .iter()
        .chain(habits)
        .map(|word| (*word).to_owned())
        .collect();
    ChildSettings {
        backend: BackendName::parse("child").unwrap(),
        process,
        guard: helper(),
        stop: Duration::from_millis(300),
        longest_line: 1 << 20,
    }
}

fn opening() -> Opening {
    Opening {
        client_info: RawJson::assembled("{\"name\":\"isthmus\",\"version\":\"0\"}"),
        capabilities: RawJson::empty_object(),
        deadline: Instant::now() + PATIENCE,
        most_in_flight: 16,
        habit: Habit::default(),
    }
}

async fn opened(habits: &[&str], era: EraSetting) -> Result<Detected, Error> {
    open(&settings(habits), era, &opening(), &Handle::current()).await
}

async fn call(conversation: &Arc<dyn Conversation>, name: &str) -> Result<Value, Error> {
    let params = RawJson::from_serialize(&json!({"name": name, "arguments": {"x": 1}}));
    let outgoing = Outgoing::plain(Method::ToolsCall, params);
    match conversation
        .clone()
        .request(outgoing)
        .await?
        .outcome()
        .await?
    {
        Outcome::Complete(complete) => Ok(complete.result.read().unwrap()),
        other => panic!("{other:?}"),
    }
}

/// Waits until a process has ended, however it is related to us.
async fn ends(id: i32) {
    let id = Pid::from_raw(id).unwrap();
    let Ok(process) = pidfd_open(id, PidfdFlags::empty()) else {
        return;
    };
    let ended = tokio::task::spawn_blocking(move || {
        let patience = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience)).unwrap()
    });
    assert_eq!(ended.await.unwrap(), 1, "process {id:?} is still there");
}

fn lives(id: i32) -> bool {
    test_kill_process(Pid::from_raw(id).unwrap()).is_ok()
}

/// The ids of a family, out of the log message that tells them.
fn family(params: &RawJson) -> Vec<i32> {
    let params: Value = params.read().unwrap();
    let ids = params["data"]["family"].as_array().unwrap().iter();
    ids.map(|id| i32::try_from(id.as_i64().unwrap()).unwrap())
        .collect()
}

/// Starts a server with a family; the conversation and the ids.
async fn with_family(habits: &[&str]) -> (Arc<dyn Conversation>, Vec<i32>) {
    let habits = [habits, &["family"]].concat();
    let pipe = start_piped(&settings(&habits), TextLog::loud(), &Handle::current()).unwrap();
    // The family introduces itself before the handshake, when nobody can follow notices yet.
    let (pipe, ids) = overhear(pipe).await;
    let opening = opening();
    let conversation = StatefulDuplex::open(pipe, &opening, &Handle::current()).await;
    (Arc::new(conversation.unwrap()), ids)
}

async fn overhear(mut pipe: Pipe) -> (Pipe, Vec<i32>) {
    let Some(Ok(PipeEvent::Message(text))) = pipe.incoming.next().await else {
        panic!("no introduction");
    };
    let message = RawJson::parse(text).unwrap();
    let ids = family(&isthmus_protocol::object::member(&message, "params").unwrap());
    assert!(ids.iter().all(|id| lives(*id)));
    (pipe, ids)
}

#[tokio::test]
async fn a_stateful_child_is_found_out_and_answers() {
    let detected = opened(&[], EraSetting::Auto).await.unwrap();
    assert_eq!(detected.evidence, "refused server/discover");
    let echoed = call(&detected.conversation, "echo").await.unwrap();
    assert_eq!(echoed["structuredContent"]["x"], 1);
    detected.conversation.close().await;
    assert!(detected.conversation.closed().is_cancelled());
    // Nobody took it: it may be sent once more elsewhere.
    let error = call(&detected.conversation, "echo").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::SessionUnknown));
}

#[tokio::test]
async fn a_child_that_dies_when_probed_is_started_again_and_spoken_to_in_the_old_way() {
    let detected = opened(&["dies-on-probe"], EraSetting::Auto).await.unwrap();
    assert_eq!(detected.evidence, "ended when it was probed");
    call(&detected.conversation, "echo").await.unwrap();
}

#[tokio::test]
async fn a_child_that_ignores_what_it_does_not_know_is_told_by_its_ping() {
    let begun = Instant::now();
    let detected = opened(&["ignores-unknown"], EraSetting::Auto)
        .await
        .unwrap();
    assert_eq!(detected.evidence, "did not answer server/discover");
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "the ping cut the wait short"
    );
    call(&detected.conversation, "echo").await.unwrap();
}

#[tokio::test]
async fn garbage_on_stdout_disturbs_nobody() {
    let detected = opened(&["writes-garbage"], EraSetting::Auto).await.unwrap();
    for _ in 0..20 {
        call(&detected.conversation, "echo").await.unwrap();
    }
}

#[tokio::test]
async fn a_flood_on_stderr_holds_up_nothing() {
    let detected = opened(&["floods-stderr"], EraSetting::Stateful)
        .await
        .unwrap();
    call(&detected.conversation, "echo").await.unwrap();
}

#[tokio::test]
async fn a_line_over_the_bound_ends_the_conversation() {
    let detected = opened(&[], EraSetting::Stateful).await.unwrap();
    let error = call(&detected.conversation, "huge").await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BackendMisbehaved(_)),
        "{error}"
    );
    detected.conversation.closed().cancelled().await;
}

#[tokio::test]
async fn a_child_that_fails_at_start_is_reported_with_its_last_words() {
    let error = opened(&["fails-at-start"], EraSetting::Auto)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "backend `child`: its process ended with exit code 7"
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.ends_with("its last words: no configuration found"),
        "{cause}"
    );
}

#[tokio::test]
async fn a_child_that_never_answers_is_given_up_with_its_last_words() {
    let mut opening = opening();
    opening.deadline = Instant::now() + Duration::from_millis(500);
    let settings = settings(&["mute"]);
    let opened = open(&settings, EraSetting::Auto, &opening, &Handle::current()).await;
    let error = opened.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "its last words so far: still thinking");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_with_what_to_do() {
    let mut settings = settings(&[]);
    settings.process.command = Located::nowhere(PathBuf::from("no-such-program"));
    settings.process.env = vec![("PATH".to_owned(), Secret::new("/usr/bin:/bin"))];
    let error = open(&settings, EraSetting::Auto, &opening(), &Handle::current())
        .await
        .unwrap_err();
    let expected = "backend `child`: `no-such-program` is not in PATH; install it or give an absolute path in `command`";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_child_has_the_environment_folder_and_limits_it_was_given_and_no_others() {
    let mut settings = settings(&[]);
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().canonicalize().unwrap();
    settings.process.directory = Located::nowhere(here.clone());
    settings.process.env = vec![("GREETING".to_owned(), Secret::new("hello"))];
    settings.process.limits = ProcessLimits {
        open_files: Some(77),
        ..ProcessLimits::default()
    };
    let opened = open(
        &settings,
        EraSetting::Stateful,
        &opening(),
        &Handle::current(),
    )
    .await
    .unwrap();
    let seen = call(&opened.conversation, "environment").await.unwrap();
    assert_eq!(seen["variables"], json!([["GREETING", "hello"]]));
    assert_eq!(seen["directory"], json!(here));
    assert_eq!(seen["limits"]["openFiles"], 77);
}

#[tokio::test]
async fn closing_a_conversation_ends_the_child_and_everything_below_it() {
    let (conversation, ids) = with_family(&["stays"]).await;
    timeout(PATIENCE, conversation.close()).await.unwrap();
    for id in ids {
        assert!(!lives(id), "{id} outlived an orderly end");
    }
}

#[tokio::test]
async fn dropping_a_conversation_ends_the_child_and_everything_below_it() {
    let (conversation, ids) = with_family(&[]).await;
    drop(conversation);
    for id in ids {
        ends(id).await;
    }
}

#[tokio::test]
async fn what_a_crashed_child_leaves_behind_ends_with_it() {
    let (conversation, ids) = with_family(&[]).await;
    let error = call(&conversation, "exit").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "backend `child`: its process ended with exit code 3"
    );
    for id in ids {
        ends(id).await;
    }
}

#[tokio::test]
async fn what_a_killed_child_cannot_have_read_may_be_sent_once_more_and_the_rest_may_not() {
    let (conversation, ids) = with_family(&[]).await;
    let child = Pid::from_raw(ids[0]).unwrap();
    kill_process(child, Signal::STOP).unwrap();
    let send = |length: usize| {
        let params = json!({"name": "echo", "arguments": {"x": "x".repeat(length)}});
        let outgoing = Outgoing::plain(Method::ToolsCall, RawJson::from_serialize(&params));
        Handle::current().spawn(conversation.clone().request(outgoing))
    };
    // More than the pipe holds: some of it is written, and nothing of what follows.
    let mut begun = send(1 << 18);
    let mut unseen = send(1);
    for sent in [&mut begun, &mut unseen] {
        let answered = timeout(Duration::from_millis(250), sent).await;
        assert!(answered.is_err());
    }
    kill_process(child, Signal::KILL).unwrap();
    let begun = begun.await.unwrap().unwrap_err();
    assert!(matches!(begun.kind(), ErrorKind::BackendUnavailable(_)));
    let unseen = unseen.await.unwrap().unwrap_err();
    assert_eq!(*unseen.kind(), ErrorKind::SessionUnknown);
}

#[tokio::test]
async fn a_killed_child_is_reported_with_the_signal() {
    let (conversation, ids) = with_family(&[]).await;
    kill_process(Pid::from_raw(ids[0]).unwrap(), Signal::KILL).unwrap();
    conversation.closed().cancelled().await;
    let error = call(&conversation, "echo").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "backend `child`: its process was ended by signal 9"
    );
    for id in ids {
        ends(id).await;
    }
}

#[tokio::test]
async fn what_a_killed_guard_leaves_in_its_session_is_swept_up() {
    let (conversation, ids) = with_family(&[]).await;
    let guard = parent_of(ids[0]);
    kill_process(Pid::from_raw(guard).unwrap(), Signal::KILL).unwrap();
    conversation.closed().cancelled().await;
    // All but the last, which had left the session: nothing can find that one any more.
    for id in &ids[..3] {
        ends(*id).await;
    }
    kill_process(Pid::from_raw(ids[3]).unwrap(), Signal::KILL).unwrap();
}

fn parent_of(id: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    after_name
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// Starts a gateway of its own process with a family below it; the process and the ids.
async fn gateway() -> (tokio::process::Child, Vec<i32>) {
    let mut command = tokio::process::Command::new(helper());
    let command = command.args(["gateway", "family", "stays"]);
    let mut gateway = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let introduction = first_line(gateway.stdout.take().unwrap()).await;
    let message: Value = serde_json::from_slice(&introduction).unwrap();
    let ids = family(&RawJson::from_serialize(&message["params"]));
    assert!(ids.iter().all(|id| lives(*id)));
    (gateway, ids)
}

async fn first_line(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut line = Vec::new();
    loop {
        match reader.read_u8().await.unwrap() {
            b'\n' => return line,
            byte => line.push(byte),
        }
    }
}

#[tokio::test]
async fn nothing_outlives_a_gateway_that_was_killed() {
    for signal in [Signal::KILL, Signal::TERM] {
        let (mut gateway, ids) = gateway().await;
        let id = i32::try_from(gateway.id().unwrap()).unwrap();
        let guard = parent_of(ids[0]);
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
        gateway.wait().await.unwrap();
        for id in ids {
            ends(id).await;
        }
        ends(guard).await;
    }
}

#[tokio::test]
async fn a_companion_that_crashes_is_started_again_until_it_is_parked() {
    let mut settings = settings(&["fails-at-start"]);
    settings.stop = Duration::from_millis(100);
    let policy = Restart {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(5),
        crashes: 3,
        within: Duration::from_secs(60),
    };
    let companion = Companion::start(settings, policy, &Handle::current()).unwrap();
    let mut state = companion.state();
    let parked = state.wait_for(|state| matches!(state, CompanionState::Parked(_)));
    let parked = timeout(PATIENCE, parked)
        .await
        .unwrap()
        .unwrap()
        .to_string();
    assert!(
        parked.contains("exit code 7; its last words: no configuration found"),
        "{parked}"
    );
    companion.stop().await;
    assert!(matches!(
        *companion.state().borrow(),
        CompanionState::Stopped
    ));
}

#[tokio::test]
async fn a_companion_is_stopped_with_everything_below_it() {
    let companion = Companion::start(
        settings(&["family", "stays"]),
        Restart::default(),
        &Handle::current(),
    )
    .unwrap();
    assert!(matches!(
        *companion.state().borrow(),
        CompanionState::Running
    ));
    timeout(PATIENCE, companion.stop()).await.unwrap();
    assert!(matches!(
        *companion.state().borrow(),
        CompanionState::Stopped
    ));
}
