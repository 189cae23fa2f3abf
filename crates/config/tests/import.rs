//! Lists of servers of other programs become configs that load.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use isthmus_config::{Config, Environment, Imported, import, parse};

/// Imports `json` and compares what comes out below the head of the file.
fn check(file: &str, json: &str, expected: &str) -> (Imported, Config) {
    let imported = import(json, Path::new(file)).unwrap();
    let (_, backends) = imported.yaml.split_once("\n\n").unwrap();
    assert_eq!(backends, expected, "{}", imported.yaml);
    for secret in ["hunter2", "s3cr3t"] {
        assert!(!imported.yaml.contains(secret), "{}", imported.yaml);
        assert!(!format!("{:?}", imported.remarks).contains(secret));
    }
    let config = loads(&imported);
    (imported, config)
}

/// Reads what came out, with everything exported that the remarks ask for.
fn loads(imported: &Imported) -> Config {
    let mut variables = vec![("HOME", "/home/somebody")];
    for remark in &imported.remarks {
        if let Some(rest) = remark.text.strip_prefix("export ") {
            variables.push((rest.split(' ').next().unwrap(), "exported"));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "FROM_FILE=1\n").unwrap();
    let environment = Environment::new(variables, folder.path());
    match parse(&imported.yaml, Path::new("gateway.yaml"), &environment) {
        Ok(config) => config,
        Err(complaints) => panic!("{}\n{complaints}", imported.yaml),
    }
}

fn remarks(imported: &Imported) -> Vec<String> {
    imported.remarks.iter().map(ToString::to_string).collect()
}

#[test]
fn claude_desktop() {
    let json = r#"{
        "globalShortcut": "",
        "mcpServers": {
            "filesystem": {
                "command": "npx",
                "args": ["-y", "@modelcontextprotocol/server-filesystem", "/Users/me/My Documents"]
            },
            "GitHub": {
                "command": "docker",
                "args": ["run", "-i", "--rm", "-e", "GITHUB_PERSONAL_ACCESS_TOKEN", "ghcr.io/github/github-mcp-server"],
                "env": {"GITHUB_PERSONAL_ACCESS_TOKEN": "hunter2", "LOG_LEVEL": "debug", "COUNT": 5}
            },
            "old one": {"command": "node", "args": ["x.js"], "disabled": true}
        }
    }"#;
    let (imported, config) = check(
        "claude_desktop_config.json",
        json,
        r#"backends:
  filesystem:
    stdio:
      command: npx
      args: [-y, "@modelcontextprotocol/server-filesystem", "/Users/me/My Documents"]
  # GitHub: its name became `github`, which its tools are exposed under: `github__…`.
  github:
    stdio:
      command: docker
      args: [run, -i, --rm, -e, GITHUB_PERSONAL_ACCESS_TOKEN, ghcr.io/github/github-mcp-server]
      env:
        GITHUB_PERSONAL_ACCESS_TOKEN: {env: GITHUB_PERSONAL_ACCESS_TOKEN}
        LOG_LEVEL: debug
        COUNT: "5"
  # old one: its name became `old-one`, which its tools are exposed under: `old-one__…`.
  # old one: it was disabled; take the `#` away to use it.
  # old-one:
  #   stdio:
  #     command: node
  #     args: [x.js]
"#,
    );
    assert_eq!(
        remarks(&imported)[0],
        "export GITHUB_PERSONAL_ACCESS_TOKEN before you start isthmus: \
         `env.GITHUB_PERSONAL_ACCESS_TOKEN` of server `github`"
    );
    assert_eq!(config.backends.len(), 2);
}

#[test]
fn claude_code() {
    let json = r#"{"mcpServers": {
        "remote": {"type": "http", "url": "${API_BASE:-https://api.example}/mcp", "headers": {"Authorization": "Bearer ${API_KEY}"}},
        "events": {"type": "sse", "url": "https://mcp.example/sse"},
        "local": {"type": "stdio", "command": "./run.sh", "args": [], "env": {"KEY": "${API_KEY}"}}
    }}"#;
    let (imported, config) = check(
        ".mcp.json",
        json,
        r#"backends:
  remote:
    http:
      urls: ["${API_BASE:-https://api.example}/mcp"]
      headers:
        Authorization: "Bearer ${API_KEY}"
  events:
    sse:
      url: "https://mcp.example/sse"
  local:
    stdio:
      command: ./run.sh
      env:
        KEY: {env: API_KEY}
"#,
    );
    assert_eq!(
        remarks(&imported),
        ["export API_KEY before you start isthmus: as in the environment of the client"]
    );
    assert_eq!(config.backends.len(), 3);
}

#[test]
fn vs_code() {
    let json = r#"{
        // Comments and trailing commas are fine.
        "inputs": [
            {"type": "promptString", "id": "perplexity-key", "description": "Perplexity API Key", "password": true},
            {"type": "pickString", "id": "region", "options": ["eu", "us"], "default": "eu"},
        ],
        "servers": {
            "perplexity": {
                "type": "stdio",
                "command": "npx",
                "args": ["-y", "server-perplexity-ask", "--region=${input:region}", "${workspaceFolder}/data"],
                "env": {"PERPLEXITY_API_KEY": "${input:perplexity-key}", "ROOT": "a:${workspaceFolder}", "H": "${userHome}/x"},
                "envFile": "${workspaceFolder}/.env",
                "dev": {"watch": "*.js"},
            },
            "fetch": {"type": "http", "url": "https://mcp.example/mcp?api_key=hunter2&v=${env:VERSION}"},
            "ws": {"type": "websocket", "url": "wss://mcp.example"},
        },
    }"#;
    let (imported, config) = check(
        ".vscode/mcp.json",
        json,
        r#"backends:
  # perplexity: settings without a counterpart were left out: `dev`.
  perplexity:
    stdio:
      command: npx
      args: [-y, server-perplexity-ask, "--region=${REGION:-eu}", ./data]
      env:
        PERPLEXITY_API_KEY: {env: PERPLEXITY_KEY}
        ROOT: "a:${WORKSPACE_FOLDER}"
        H: "${HOME}/x"
      env_file: ./.env
  fetch:
    http:
      urls: ["https://mcp.example/mcp?api_key=${FETCH_API_KEY}&v=${VERSION}"]
  # ws: its type `websocket` is not one that isthmus knows.
  # ws:
"#,
    );
    assert_eq!(
        remarks(&imported),
        [
            "paths in the editor's folder became paths from the folder of gateway.yaml: keep it there",
            "export PERPLEXITY_KEY before you start isthmus: Perplexity API Key",
            "export WORKSPACE_FOLDER before you start isthmus: the folder that the editor had open",
            "export FETCH_API_KEY before you start isthmus: the parameter `api_key` of the URL of server `fetch`",
            "export VERSION before you start isthmus: as in the environment of the editor",
            "perplexity: settings without a counterpart were left out: `dev`",
            "ws: its type `websocket` is not one that isthmus knows",
        ]
    );
    let perplexity = config.backend("perplexity").unwrap();
    let env = &perplexity.wire.process().unwrap().env;
    assert!(env.iter().any(|(name, _)| name == "FROM_FILE"));
}

#[test]
fn cursor() {
    let json = r#"{"mcpServers": {
        "linear": {"url": "https://mcp.linear.app/sse", "headers": {"X-API-Key": "s3cr3t"}},
        "figma": {"url": "http://127.0.0.1:3845/mcp", "auth": {"CLIENT_ID": "x"}},
        "tool": {
            "command": "cmd", "args": ["/c", "npx", "tool", "--api-key", "hunter2", "--verbose", "--token=s3cr3t"],
            "cwd": "${workspaceFolder}/sub", "envFile": ".env"
        },
        "21st": {"command": "npx -y magic", "alwaysAllow": [], "timeout": 60},
        "off": {"url": "https://off.example/mcp", "enabled": false}
    }}"#;
    check(
        ".cursor/mcp.json",
        json,
        r#"backends:
  # linear: its URL ends in `/sse`, so it is taken for HTTP+SSE; if it is not, write `http: {urls: […]}`.
  linear:
    sse:
      url: "https://mcp.linear.app/sse"
      headers:
        X-API-Key: {env: LINEAR_X_API_KEY}
  # figma: settings without a counterpart were left out: `auth`.
  # figma: one of them may be how it authenticates: see `headers` and `env` in the reference.
  figma:
    http:
      urls: ["http://127.0.0.1:3845/mcp"]
  # tool: `cmd /c`, which is for Windows, was left out.
  tool:
    stdio:
      command: npx
      args: [tool, --api-key, "${TOOL_API_KEY}", --verbose, "--token=${TOOL_TOKEN}"]
      env_file: .env
      directory: ./sub
  # 21st: its name became `server-21st`, which its tools are exposed under: `server-21st__…`.
  # 21st: its command was taken apart at the spaces.
  # 21st: settings without a counterpart were left out: `timeout`.
  server-21st:
    stdio:
      command: npx
      args: [-y, magic]
  # off: it was disabled; take the `#` away to use it.
  # off:
  #   http:
  #     urls: ["https://off.example/mcp"]
"#,
    );
}

#[test]
fn two_servers_with_the_same_variable_share_it_only_if_the_secret_is_the_same() {
    let json = r#"{"mcpServers": {
        "a": {"command": "a", "env": {"API_TOKEN": "hunter2"}},
        "b": {"command": "b", "env": {"API_TOKEN": "hunter2"}},
        "c": {"command": "c", "env": {"API_TOKEN": "s3cr3t"}}
    }}"#;
    let imported = import(json, Path::new("mcp.json")).unwrap();
    let uses = |text: &str| imported.yaml.matches(text).count();
    assert_eq!(uses("{env: API_TOKEN}"), 2, "{}", imported.yaml);
    assert_eq!(uses("{env: C_API_TOKEN}"), 1, "{}", imported.yaml);
    loads(&imported);
}

#[test]
fn whatever_stands_in_it_the_result_loads() {
    let json = r##"{"mcpServers": {
        "": {"command": "a", "args": ["null", "~", "- x", "# y", "a: b", "${", "$${X}", "\u0000", "\u2028\n\"\\", "{{x}}"]},
        "A": {"command": "a"}, "a": {"command": "a"}, "a ": {"command": "a"},
        "x\ny": {"command": "a b/c", "env": {"1 bad": "x", "ok": "y"}},
        "url": {"url": "not a url"},
        "user": {"url": "https://me:hunter2@mcp.example/mcp#top"},
        "nothing": {}, "wrong": 5,
        "headers": {"url": "https://mcp.example", "headers": {"Host": "x", "Cookie": "hunter2"}}
    }}"##;
    let imported = import(json, Path::new("mcp\n.json")).unwrap();
    assert!(!imported.yaml.contains("hunter2"), "{}", imported.yaml);
    let config = loads(&imported);
    let names: Vec<&str> = config.backends.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(
        names,
        ["a", "a-2", "a-3", "x-y", "user"],
        "{}",
        imported.yaml
    );
}

#[test]
fn what_is_no_such_list_is_refused_with_a_place() {
    let error = |text: &str| import(text, Path::new("mcp.json")).unwrap_err().to_string();
    assert!(error("{\n  \"a\": }").starts_with("mcp.json:2:8  not JSON: expected value"));
    assert!(error("{}").starts_with("mcp.json  neither `mcpServers` nor `servers`"));
    assert!(error("[").starts_with("mcp.json:1:1  not JSON"));
}
