//! `isthmus tools`, `resources`, `prompts` and `call`, with a config's fleet and with a running gateway.

use serde_json::{Value, json};

use crate::support::cli::{Ran, isthmus};
use crate::support::gateway::config_in;
use crate::support::offering::{offering, prompts, resources, templates};
use crate::support::{BACKEND_REVISIONS, Backend, Gateway, Reaction};

/// A backend with something of each kind, whose tools do what their names say.
async fn backend(revision: &'static str) -> Backend {
    let lists = json!({
        "tools": [
            {"name": "echo", "description": "Says what it is told.\nMore of that.",
                "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}},
            {"name": "fail", "title": "Fails", "inputSchema": {"type": "object"}},
            {"name": "refuse", "inputSchema": {"type": "object"}},
        ],
        "prompts": prompts(&["greet"]),
        "resources": resources(&["doc://a"]),
        "resourceTemplates": templates(&["doc://{x}"]),
    });
    let inner = offering("b", lists);
    Backend::start(revision, move |method, params| match params["name"].as_str() {
        Some("echo") if method == "tools/call" => {
            let text = params["arguments"].to_string();
            Some(Reaction::Result(json!({"content": [{"type": "text", "text": text}], "structuredContent": {"n": 1}})))
        }
        Some("fail") if method == "tools/call" => {
            Some(Reaction::Result(json!({"content": [{"type": "text", "text": "it failed"}], "isError": true})))
        }
        Some("refuse") if method == "tools/call" => {
            Some(Reaction::Error(json!({"code": -32602, "message": "not like this"})))
        }
        _ => inner(method, params),
    })
    .await
}

#[tokio::test]
async fn items_are_listed_for_people_from_a_config() {
    let folder = tempfile::tempdir().unwrap();
    let backend = backend("2025-11-25").await;
    config_in(&folder, &format!("backends:\n{}", backend.entry("b")));
    let tools = isthmus(&folder, &["tools"]).await;
    assert_eq!((tools.code, tools.err.as_str()), (0, ""), "{tools:?}");
    let columns = |ran: &Ran| -> Vec<Vec<String>> {
        // Columns are apart by two blanks at least.
        let cells = |line: &str| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .map(str::to_owned)
                .collect()
        };
        ran.out.lines().map(cells).collect()
    };
    assert_eq!(
        columns(&tools),
        [
            &["NAME", "BACKEND", "NATIVE NAME", "BYTES", "DESCRIPTION"][..],
            &["b__echo", "b", "echo", "143", "Says what it is told.…"],
            &["b__fail", "b", "fail", "66", "Fails"],
            &["b__refuse", "b", "refuse", "52"],
        ]
    );
    let resources = columns(&isthmus(&folder, &["resources"]).await);
    let names: Vec<_> = resources.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["NAME", "doc://a", "doc://{x}"]);
    let prompts = columns(&isthmus(&folder, &["prompts"]).await);
    assert_eq!(prompts[1][..3], ["b__greet", "b", "greet"]);
}

#[tokio::test]
async fn items_are_listed_for_machines_from_a_config_and_from_a_running_gateway() {
    for revision in BACKEND_REVISIONS {
        let backend = backend(revision).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let folder = tempfile::tempdir().unwrap();
        config_in(&folder, &format!("backends:\n{}", backend.entry("b")));
        for (what, expected) in [
            ("tools", vec!["b__echo", "b__fail", "b__refuse"]),
            ("resources", vec!["doc://a", "doc://{x}"]),
            ("prompts", vec!["b__greet"]),
        ] {
            let by_config = isthmus(&folder, &[what, "--json"]).await;
            let by_url = isthmus(&folder, &[what, "--json", "--url", &gateway.url()]).await;
            for ran in [&by_config, &by_url] {
                assert_eq!(ran.code, 0, "{ran:?}");
                let items: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
                let names: Vec<_> = items
                    .iter()
                    .map(|item| item["name"].as_str().unwrap())
                    .collect();
                assert_eq!(names, expected, "{revision} {what}");
                for item in &items {
                    let bytes = serde_json::to_string(&item["definition"]).unwrap().len();
                    assert_eq!(item["bytes"], bytes, "{item}");
                }
            }
            let first: Vec<Value> = serde_json::from_str(&by_config.out).unwrap();
            assert_eq!(first[0]["backend"], "b");
            assert_ne!(first[0]["native"], "");
        }
    }
}

#[tokio::test]
async fn another_route_of_the_config_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let backend = backend("2025-11-25").await;
    config_in(
        &folder,
        &format!(
            "routes:\n  /mcp: {{}}\n  /few: {{tools: {{include: [\"*echo\"]}}}}\nbackends:\n{}",
            backend.entry("b")
        ),
    );
    let ran = isthmus(&folder, &["tools", "--route", "/few", "--json"]).await;
    assert_eq!(
        serde_json::from_str::<Vec<Value>>(&ran.out).unwrap().len(),
        1
    );
    let ran = isthmus(&folder, &["tools", "--route", "/none"]).await;
    assert!(
        ran.code == 2 && ran.err.contains("it has `/mcp`, `/few`"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_tool_is_called_with_arguments_as_its_schema_shapes_them() {
    for revision in BACKEND_REVISIONS {
        let backend = backend(revision).await;
        let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
        let folder = tempfile::tempdir().unwrap();
        config_in(&folder, &format!("backends:\n{}", backend.entry("b")));
        for place in [&[][..], &["--url", &gateway.url()]] {
            let with = |arguments: &[&str]| {
                [arguments, place]
                    .concat()
                    .iter()
                    .map(|&text| text.to_owned())
                    .collect::<Vec<_>>()
            };
            let run = async |arguments: &[&str]| {
                let arguments = with(arguments);
                isthmus(
                    &folder,
                    &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
                )
                .await
            };
            let ran = run(&[
                "call",
                "b__echo",
                "text=7",
                "n=7",
                "list:=[1, \"x\"]",
                "word=plain",
            ])
            .await;
            assert_eq!(ran.code, 0, "{revision}: {ran:?}");
            let expected = json!({"text": "7", "n": 7, "list": [1, "x"], "word": "plain"});
            assert_eq!(
                serde_json::from_str::<Value>(&ran.out).unwrap(),
                expected,
                "{revision}"
            );
            let ran = run(&["call", "b__echo", "--json"]).await;
            let result: Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!(
                result["structuredContent"],
                json!({"n": 1}),
                "{revision}: {ran:?}"
            );
            let ran = run(&["call", "b__fail"]).await;
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (1, "it failed\n"),
                "{revision}: {ran:?}"
            );
            let ran = run(&["call", "b__refuse"]).await;
            assert!(
                ran.code == 1 && ran.out.is_empty() && ran.err.contains("not like this"),
                "{revision}: {ran:?}"
            );
            let ran = run(&["call", "nothing"]).await;
            assert!(
                ran.code == 2 && ran.err.contains("no tool is called `nothing`"),
                "{revision}: {ran:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_command_line_has_exit_code_two() {
    let folder = tempfile::tempdir().unwrap();
    let backend = backend("2025-11-25").await;
    config_in(&folder, &format!("backends:\n{}", backend.entry("b")));
    for arguments in [
        &["frobnicate"][..],
        &["call"],
        &["call", "b__echo", "novalue"],
        &["call", "b__echo", "a=1", "a=2"],
        &["call", "b__echo", "a:=not json"],
        &["tools", "--url", "nonsense"],
        &[
            "tools",
            "--config",
            "gateway.yaml",
            "--url",
            "http://127.0.0.1/mcp",
        ],
        &["--log", "no=such=filter", "tools"],
    ] {
        let ran = isthmus(&folder, arguments).await;
        assert!(
            ran.code == 2 && ran.out.is_empty() && !ran.err.is_empty(),
            "{arguments:?}: {ran:?}"
        );
    }
}

#[tokio::test]
async fn a_program_that_is_not_installed_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let backend = backend("2025-11-25").await;
    let absent = "  time: {stdio: {command: no-such-uvx, args: [mcp-server-time]}}\n";
    config_in(&folder, &format!("backends:\n{absent}"));
    let expected = "backend `time`: `no-such-uvx` is not in PATH; install it or give an absolute path in `command`";
    let ran = isthmus(&folder, &["tools"]).await;
    assert!(ran.code == 4 && ran.err.contains(expected), "{ran:?}");
    // Beside one that is there, its absence is said and costs nothing.
    config_in(
        &folder,
        &format!("backends:\n{absent}{}", backend.entry("b")),
    );
    let ran = isthmus(&folder, &["tools"]).await;
    assert!(
        ran.code == 0 && ran.out.contains("b__echo") && ran.err.contains(expected),
        "{ran:?}"
    );
    let ran = isthmus(&folder, &["call", "time__now"]).await;
    assert!(ran.code == 4 && ran.err.contains(expected), "{ran:?}");
    let gateway = Gateway::start(&format!("backends:\n{absent}"));
    gateway.logs("`no-such-uvx` is not in PATH").await;
}

#[tokio::test]
async fn what_cannot_be_reached_has_exit_code_four() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let ran = isthmus(
        &folder,
        &["tools", "--url", &format!("http://127.0.0.1:{port}/mcp")],
    )
    .await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains(&format!("127.0.0.1:{port}")), "{ran:?}");
}

#[tokio::test]
async fn a_tool_can_be_called_by_its_own_name_if_no_other_backend_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (
        backend("2025-11-25").await,
        Backend::start(
            "2025-11-25",
            offering(
                "2",
                json!({"tools": [
        {"name": "fail", "inputSchema": {"type": "object"}}]}),
            ),
        )
        .await,
    );
    config_in(
        &folder,
        &format!("backends:\n{}{}", one.entry("one"), two.entry("two")),
    );
    let ran = isthmus(&folder, &["call", "echo", "text=x"]).await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "{\"text\":\"x\"}\n"),
        "{ran:?}"
    );
    let ran = isthmus(&folder, &["call", "fail"]).await;
    assert!(
        ran.code == 2 && ran.err.contains("several backends have a tool `fail`"),
        "{ran:?}"
    );
}
