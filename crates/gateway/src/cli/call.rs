//! `isthmus call`: one tool call from the terminal.

use std::time::Duration;

use clap::Args;
use isthmus_exchange::{Complete, Event, Item, Outcome, Request, Step, Subject, Wants};
use isthmus_protocol::object::{member, string_member};
use isthmus_protocol::{Method, RawJson};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::view::{View, ViewArguments};
use super::{Failure, LogOptions, print};

/// What to call, and with what.
#[derive(Debug, Args)]
pub(super) struct CallArguments {
    /// The tool, by its exposed name, or by its own name if only one backend has it.
    name: String,
    /// Its arguments: `key=value` (read as the tool's schema says), or `key:=JSON`.
    #[arg(value_name = "KEY=VALUE")]
    arguments: Vec<String>,
    #[command(flatten)]
    view: ViewArguments,
    /// The whole result as JSON.
    #[arg(long)]
    json: bool,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "600")]
    timeout: u64,
}

/// Calls the tool and prints what it says.
pub(super) fn run(arguments: &CallArguments, log: &LogOptions) -> Result<(), Failure> {
    log.start_quiet()?;
    let view = View::open(&arguments.view)?;
    let tool = view.tool(&arguments.name)?;
    let given = read_arguments(&arguments.arguments, &tool)?;
    let params = RawJson::from_serialize(&json!({ "name": tool.exposed, "arguments": given }));
    let mut request = Request::new(Method::ToolsCall, params, view.caller().clone());
    request.subject = Subject::Name(tool.exposed.clone());
    request.wants = Wants {
        progress: true,
        log_level: None,
    };
    request.deadline = Some(Instant::now() + Duration::from_secs(arguments.timeout));
    let stage = view.stage()?;
    let outcome = view.run(async {
        let mut reply = stage.run(request).await?;
        loop {
            match reply.next().await {
                Step::Event(Event::Progress(progress)) => show_progress(&progress.params),
                Step::Event(_) => {}
                Step::Done(outcome) => return outcome,
            }
        }
    });
    view.close();
    match outcome {
        Ok(Outcome::Complete(complete)) => show(&complete, arguments.json),
        Ok(Outcome::InputRequired(_)) => Err(anyhow::anyhow!(
            "the tool asks its user something, which cannot be answered here"
        )
        .into()),
        Ok(Outcome::Task(_)) => Err(anyhow::anyhow!(
            "the tool made a task of the call, and nobody here would follow it"
        )
        .into()),
        Err(error) => {
            print::complaint(&error.to_string());
            Err(Failure::Call)
        }
    }
}

fn show(complete: &Complete, whole: bool) -> Result<(), Failure> {
    let result = &complete.result;
    if whole {
        print::line(result.as_str());
    } else {
        let content =
            member(result, "content").and_then(|content| content.read::<Vec<RawJson>>().ok());
        for block in content.unwrap_or_default() {
            print::line(&string_member(&block, "text").unwrap_or_else(|| block.to_string()));
        }
    }
    match member(result, "isError") {
        Some(flag) if flag.as_str() == "true" => Err(Failure::Call),
        _ => Ok(()),
    }
}

fn show_progress(params: &RawJson) {
    let said = string_member(params, "message").unwrap_or_default();
    let progress = member(params, "progress")
        .map(|progress| progress.to_string())
        .unwrap_or_default();
    let total = member(params, "total")
        .map(|total| format!("/{total}"))
        .unwrap_or_default();
    print::complaint(&format!("{progress}{total} {said}"));
}

/// Reads `key=value` and `key:=JSON`. A plain value is text where the tool's schema says so, or where it is not JSON.
fn read_arguments(given: &[String], tool: &Item) -> Result<Map<String, Value>, Failure> {
    let properties =
        member(&tool.definition, "inputSchema").and_then(|schema| member(&schema, "properties"));
    let is_text = |key: &str| {
        let property = properties
            .as_ref()
            .and_then(|properties| member(properties, key));
        property
            .and_then(|property| string_member(&property, "type"))
            .as_deref()
            == Some("string")
    };
    let mut arguments = Map::new();
    for pair in given {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::Usage(format!("`{pair}` is not `key=value`")));
        };
        let (key, value) = match key.strip_suffix(':') {
            Some(key) => {
                let value = serde_json::from_str(value).map_err(|error| {
                    Failure::Usage(format!("the value of `{key}` is not JSON: {error}"))
                })?;
                (key, value)
            }
            None if is_text(key) => (key, Value::from(value)),
            None => (
                key,
                serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)),
            ),
        };
        if arguments.insert(key.to_owned(), value).is_some() {
            return Err(Failure::Usage(format!("`{key}` is given twice")));
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use isthmus_exchange::{BackendName, ItemId, ItemKind};

    use super::*;

    fn read(pairs: &[&str]) -> Result<Value, Failure> {
        let definition = json!({"inputSchema": {"properties": {"text": {"type": "string"}, "n": {"type": "integer"}}}});
        let definition = RawJson::from_serialize(&definition);
        let tool = Item {
            id: ItemId::next(),
            kind: ItemKind::Tool,
            backend: BackendName::parse("b").unwrap(),
            native: "t".to_owned(),
            exposed: "t".to_owned(),
            definition: definition.clone(),
            native_definition: definition,
        };
        let pairs: Vec<String> = pairs.iter().map(|&pair| pair.to_owned()).collect();
        read_arguments(&pairs, &tool).map(Value::Object)
    }

    #[test]
    fn a_value_is_read_as_the_schema_says_and_else_as_json_or_text() {
        let expected = json!({"text": "12", "n": 12, "other": [1], "word": "plain", "raw": "12"});
        let pairs = ["text=12", "n=12", "other=[1]", "word=plain", "raw:=\"12\""];
        assert_eq!(read(&pairs).unwrap(), expected);
    }

    #[test]
    fn what_is_no_pair_or_comes_twice_is_refused() {
        for pairs in [&["text"][..], &["n=1", "n=2"], &["n:=x"]] {
            assert!(matches!(read(pairs), Err(Failure::Usage(_))), "{pairs:?}");
        }
    }
}
