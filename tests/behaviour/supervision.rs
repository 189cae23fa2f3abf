//! Children: started, watched, started again, parked, and never left behind.

use serde_json::{Value, json};

use crate::support::child::{Child, ORDINARY, folder, gone, is_alive, pids, started};
use crate::support::examples::example;
use crate::support::http::send;
use crate::support::offering::{keys, text};
use crate::support::{Gateway, Stateful, Stateless};

/// A grandchild in the group of the child, and one that has left it for a session of its own.
const GRANDCHILDREN: &str = "sleep 1000 & note_pid $!\nsetsid sleep 1000 & note_pid $!";

async fn call(client: &Stateless, backend: &str) -> Value {
    client
        .ask(
            "tools/call",
            json!({"name": format!("{backend}__t"), "arguments": {}}),
        )
        .await
}

async fn tools(client: &Stateless) -> Vec<String> {
    keys(&client.ask("tools/list", json!({})).await)
}

#[tokio::test]
async fn sigterm_ends_children_and_grandchildren_and_then_the_gateway() {
    let (own, at) = folder();
    let child = Child {
        start: GRANDCHILDREN,
        ..ORDINARY
    };
    let entries = [child.entry(&at, "one"), child.entry(&at, "two")].concat();
    let mut gateway = Gateway::start_in(own, &format!("backends:\n{entries}"));
    let client = Stateless::new(&gateway.url());
    assert_eq!(tools(&client).await, ["one__t", "two__t"]);
    let mut all = started(&at, "one", 3).await;
    all.extend(started(&at, "two", 3).await);
    gateway.signal("TERM");
    assert!(gateway.ends().await.success());
    gone(&all).await;
}

#[tokio::test]
async fn a_call_in_flight_is_answered_before_the_gateway_ends() {
    let (own, at) = folder();
    let slow = Child {
        call: "touch called; while ! [ -e go ]; do sleep 0.02; done; say_text done",
        ..ORDINARY
    };
    let mut gateway = Gateway::start_in(own, &format!("backends:\n{}", slow.entry(&at, "c")));
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    let calling = tokio::spawn(async move {
        client
            .ask("tools/call", json!({"name": "c__t", "arguments": {}}))
            .await
    });
    while !at.join("called").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    gateway.signal("TERM");
    gateway.logs("stopping").await;
    std::fs::write(at.join("go"), "").unwrap();
    assert_eq!(text(&calling.await.unwrap()), "done");
    assert!(gateway.ends().await.success());
}

#[tokio::test]
async fn a_gateway_that_is_killed_leaves_no_process_behind() {
    let (own, at) = folder();
    let child = Child {
        start: GRANDCHILDREN,
        end: "trap '' TERM HUP; sleep 1000",
        ..ORDINARY
    };
    let mut gateway = Gateway::start_in(own, &format!("backends:\n{}", child.entry(&at, "c")));
    assert_eq!(tools(&Stateless::new(&gateway.url())).await, ["c__t"]);
    let all = started(&at, "c", 3).await;
    assert!(all.iter().all(|pid| is_alive(*pid)));
    gateway.signal("KILL");
    gateway.ends().await;
    gone(&all).await;
}

#[tokio::test]
async fn a_child_that_crashes_in_a_call_fails_that_call_and_is_started_again() {
    let (own, at) = folder();
    let child = Child {
        start: GRANDCHILDREN,
        call: "if [ -e crashed ]; then say_text again; else touch crashed; echo 'bad luck' >&2; exit 7; fi",
        ..ORDINARY
    };
    let fleet = format!(
        "backends:\n{}    restart: {{first: 20ms}}\n{}",
        child.entry(&at, "c"),
        ORDINARY.entry(&at, "other")
    );
    let gateway = Gateway::start_in(own, &fleet);
    let client = Stateless::new(&gateway.url());
    let failed = call(&client, "c").await;
    assert_eq!(failed["result"]["isError"], true, "{failed}");
    assert!(text(&failed).contains("`c`"), "{failed}");
    // What it had started ends with it, and what it said is there to be read.
    let first = pids(&at, "c");
    gone(&first).await;
    gateway.logs("bad luck").await;
    assert_eq!(text(&call(&client, "c").await), "again");
    assert_eq!(text(&call(&client, "other").await), "done");
    assert_eq!(pids(&at, "other").len(), 1);
    assert_eq!(started(&at, "c", 6).await.len(), 6);
}

#[tokio::test]
async fn a_child_that_keeps_crashing_is_parked_and_that_can_be_seen() {
    let (own, at) = folder();
    let child = Child {
        start: "echo 'no licence' >&2; exit 3",
        ..ORDINARY
    };
    let fleet = format!(
        "backends:\n{}    restart: {{first: 10ms, longest: 20ms, crashes: 3}}\n{}",
        child.entry(&at, "c"),
        ORDINARY.entry(&at, "other")
    );
    let gateway = Gateway::start_in(own, &fleet);
    gateway.logs("crashed too often: parked").await;
    let client = Stateless::new(&gateway.url());
    assert_eq!(tools(&client).await, ["other__t"]);
    let ready = send("GET", &gateway.at("/readyz"), &[], "").await;
    assert_eq!(ready.status, 200);
    let ready = String::from_utf8(ready.bytes().await.to_vec()).unwrap();
    assert!(ready.contains("not available: c"), "{ready}");
    let log = gateway.log();
    let parked = log.lines().find(|line| line.contains("parked")).unwrap();
    assert!(
        parked.contains("backend=c") && parked.contains("no licence"),
        "{parked}"
    );
    // Not one start more, whoever asks.
    let starts = pids(&at, "c").len();
    for _ in 0..3 {
        call(&client, "c").await;
    }
    assert_eq!(pids(&at, "c").len(), starts);
    assert_eq!(text(&call(&client, "other").await), "done");
}

#[tokio::test]
async fn a_parked_child_is_tried_again_when_its_settings_change() {
    let (own, at) = folder();
    let broken = Child {
        start: "exit 3",
        ..ORDINARY
    };
    let entry = broken.entry(&at, "c");
    let gateway = Gateway::start_in(
        own,
        &format!("backends:\n{entry}    restart: {{first: 10ms, longest: 20ms, crashes: 2}}\n"),
    );
    gateway.logs("crashed too often: parked").await;
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    let mut stream = client.listen().await;
    let mended = ORDINARY.entry(&at, "c");
    gateway.rewrite_config(&format!(
        "backends:\n{mended}    restart: {{first: 11ms}}\n"
    ));
    while keys(&client.ask("tools/list", json!({})).await).is_empty() {
        stream.event().await.unwrap();
    }
    let called = client
        .ask("tools/call", json!({"name": "c__t", "arguments": {}}))
        .await;
    assert_eq!(text(&called), "done");
}

#[tokio::test]
async fn what_a_child_writes_to_stderr_is_logged_with_its_backends_name() {
    let (own, at) = folder();
    let child = Child {
        start: "echo 'starting up, please wait' >&2",
        call: "echo 'was called' >&2; say_text done",
        ..ORDINARY
    };
    let gateway = Gateway::start_in(own, &format!("backends:\n{}", child.entry(&at, "talker")));
    assert_eq!(
        text(&call(&Stateless::new(&gateway.url()), "talker").await),
        "done"
    );
    for said in ["starting up, please wait", "was called"] {
        gateway.logs(said).await;
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains(said)).unwrap();
        assert!(line.contains("backend=talker"), "{line}");
    }
}

#[tokio::test]
async fn a_child_that_floods_stderr_and_stdout_still_answers() {
    let (own, at) = folder();
    let flood = "i=0; while [ $i -lt 20000 ]; do echo 'all work and no play makes a dull server'; i=$((i+1)); done";
    let start = format!("({flood}) >&2\n{flood}");
    let child = Child {
        start: &start,
        ..ORDINARY
    };
    let gateway = Gateway::start_in(own, &format!("backends:\n{}", child.entry(&at, "c")));
    assert_eq!(
        text(&call(&Stateless::new(&gateway.url()), "c").await),
        "done"
    );
}

#[tokio::test]
async fn a_child_that_does_not_want_to_end_is_ended_when_its_time_is_up() {
    let (own, at) = folder();
    let child = Child {
        start: "trap '' TERM INT HUP",
        end: "while :; do sleep 1000; done",
        ..ORDINARY
    };
    let fleet = format!(
        "backends:\n{}    timeouts: {{stop: 200ms}}\n",
        child.entry(&at, "c")
    );
    let mut gateway = Gateway::start_in(own, &fleet);
    assert_eq!(tools(&Stateless::new(&gateway.url())).await, ["c__t"]);
    gateway.signal("TERM");
    assert!(gateway.ends().await.success());
    gone(&pids(&at, "c")).await;
}

#[tokio::test]
async fn a_child_that_hangs_in_its_handshake_delays_neither_others_nor_the_end() {
    let (own, at) = folder();
    let child = Child {
        start: "trap '' TERM; while :; do sleep 1000; done",
        ..ORDINARY
    };
    let fleet = format!(
        "routes:\n  /mcp: {{cold_start: 300ms}}\nbackends:\n{}    timeouts: {{stop: 200ms}}\n{}",
        child.entry(&at, "c"),
        ORDINARY.entry(&at, "other")
    );
    let mut gateway = Gateway::start_in(own, &fleet);
    let client = Stateless::new(&gateway.url());
    assert_eq!(text(&call(&client, "other").await), "done");
    let all = started(&at, "c", 1).await;
    gateway.signal("TERM");
    assert!(gateway.ends().await.success());
    gone(&all).await;
}

#[tokio::test]
async fn looking_for_the_era_does_not_cost_an_old_child_that_ends_at_an_unexpected_message() {
    let (own, at) = folder();
    let strict = r#"IFS= read -r line
case $line in *'"method":"initialize"'*) ;; *) echo 'expected initialize' >&2; exit 1 ;; esac
id=${line#*'"id":'}; id=${id%%[,\}]*}
answer '{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"1"}}'"#;
    let child = Child {
        start: strict,
        ..ORDINARY
    };
    let gateway = Gateway::start_in(
        own,
        &format!(
            "backends:\n{}    restart: {{crashes: 1}}\n",
            child.entry(&at, "old")
        ),
    );
    let client = Stateless::new(&gateway.url());
    assert_eq!(tools(&client).await, ["old__t"]);
    assert_eq!(text(&call(&client, "old").await), "done");
    assert!(!gateway.log().contains("parked"));
}

#[tokio::test]
async fn a_child_gets_the_environment_it_is_meant_to_have_and_nothing_of_the_gateways_own() {
    let (own, at) = folder();
    let child = Child {
        call: "say_text \"log=$ISTHMUS_LOG own=$OWN home=${HOME:+set}\"",
        ..ORDINARY
    };
    let lines = [
        child.entry(&at, "bare"),
        child
            .entry(&at, "more")
            .replace("}\n", ", env: {OWN: x}, inherit_env: [ISTHMUS_*]}\n"),
    ];
    let gateway = Gateway::start_in(own, &format!("backends:\n{}", lines.concat()));
    let client = Stateless::new(&gateway.url());
    assert_eq!(text(&call(&client, "bare").await), "log= own= home=set");
    let more = call(&client, "more").await;
    assert!(
        text(&more).starts_with("log=isthmus=debug") && text(&more).ends_with("own=x home=set"),
        "{more}"
    );
}

#[tokio::test]
async fn a_server_over_http_that_the_gateway_starts_is_supervised_like_a_child() {
    let (own, at) = folder();
    // Free a moment ago; the server has to be told a port that the config names, too.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let weather = example("example-weather");
    let start = format!(
        "echo $$ >> {}; exec {} 127.0.0.1:{port}",
        at.join("weather.pids").display(),
        weather.display()
    );
    let fleet = format!(
        "backends:\n  weather:\n    http:\n      urls: [http://127.0.0.1:{port}/mcp]\n      process: {{command: sh, args: [-c, '{start}']}}\n    restart: {{first: 20ms}}\n"
    );
    let mut gateway = Gateway::start_in(own, &fleet);
    let client = Stateless::new(&gateway.url());
    assert_eq!(
        tools(&client).await,
        ["weather__current_weather", "weather__measure"]
    );
    let oslo = json!({"name": "weather__current_weather", "arguments": {"city": "Oslo"}});
    assert_eq!(
        client.ask("tools/call", oslo.clone()).await["result"]["structuredContent"]["sky"],
        "snowing"
    );
    let first = started(&at, "weather", 1).await;
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &first[0].to_string()])
        .status();
    assert!(killed.unwrap().success());
    started(&at, "weather", 2).await;
    while client.ask("tools/call", oslo.clone()).await["result"]["structuredContent"]["sky"]
        != "snowing"
    {}
    gateway.signal("TERM");
    assert!(gateway.ends().await.success());
    gone(&pids(&at, "weather")).await;
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}
