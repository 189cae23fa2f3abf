//! The script of an ordinary backend: it has lists, in pages, and says what it was asked for by which name.

use serde_json::{Value, json};

use super::Reaction;

/// Items in a page of its lists.
const PAGE: usize = 2;

/// A script that lists `lists` (members such as `tools`), and whose answers begin with `label`.
pub fn offering(
    label: &'static str,
    lists: Value,
) -> impl Fn(&str, &Value) -> Option<Reaction> + Send + Sync + 'static {
    move |method, params| {
        let said = |name: &Value| {
            let name = name.as_str().unwrap_or_default();
            format!("{label}: {name}")
        };
        let member = match method {
            "tools/list" => "tools",
            "prompts/list" => "prompts",
            "resources/list" => "resources",
            "resources/templates/list" => "resourceTemplates",
            "tools/call" => {
                let text = said(&params["name"]);
                return Some(Reaction::Result(
                    json!({"content": [{"type": "text", "text": text}]}),
                ));
            }
            "prompts/get" => {
                let content = json!({"type": "text", "text": said(&params["name"])});
                return Some(Reaction::Result(
                    json!({"messages": [{"role": "user", "content": content}]}),
                ));
            }
            "resources/read" => {
                let mut result =
                    json!({"contents": [{"uri": params["uri"], "text": said(&params["uri"])}]});
                add_cache_hint(&mut result, params);
                return Some(Reaction::Result(result));
            }
            "completion/complete" => {
                let reference = &params["ref"];
                let name = if reference["name"].is_string() {
                    &reference["name"]
                } else {
                    &reference["uri"]
                };
                return Some(Reaction::Result(
                    json!({"completion": {"values": [said(name)]}}),
                ));
            }
            _ => return None,
        };
        Some(Reaction::Result(page(member, &lists[member], params)))
    }
}

/// Tools by name, as `offering` takes them.
pub fn tools(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))
        .collect()
}

/// Prompts by name, as `offering` takes them.
pub fn prompts(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name})).collect()
}

/// Resources by URI, as `offering` takes them.
pub fn resources(uris: &[&str]) -> Value {
    uris.iter()
        .map(|uri| json!({"uri": uri, "name": uri}))
        .collect()
}

/// Resource templates, as `offering` takes them.
pub fn templates(templates: &[&str]) -> Value {
    templates
        .iter()
        .map(|template| json!({"uriTemplate": template, "name": template}))
        .collect()
}

/// The four list methods.
pub const LISTS: [&str; 4] = [
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
];

/// Five items of each kind: three pages.
pub fn five(letter: char) -> Value {
    let named = |form: &dyn Fn(usize) -> String| (1..=5).map(form).collect::<Vec<_>>();
    let names = named(&|number| format!("{letter}{number}"));
    let uris = named(&|number| format!("{letter}://{number}"));
    let patterns = named(&|number| format!("{letter}://{number}/{{x}}"));
    let texts = |list: &[String], make: fn(&[&str]) -> Value| {
        make(&list.iter().map(String::as_str).collect::<Vec<_>>())
    };
    json!({
        "tools": texts(&names, tools), "prompts": texts(&names, prompts),
        "resources": texts(&uris, resources), "resourceTemplates": texts(&patterns, templates),
    })
}

/// The names (or URIs) of a list's result.
pub fn keys(listed: &Value) -> Vec<String> {
    let members = ["tools", "prompts", "resources", "resourceTemplates"];
    let items = members
        .iter()
        .find_map(|member| listed["result"][member].as_array());
    let items = items.unwrap_or_else(|| panic!("not a list: {listed}"));
    let key = |item: &Value| {
        let keys = ["uri", "uriTemplate", "name"];
        keys.iter()
            .find_map(|key| item[key].as_str())
            .unwrap()
            .to_owned()
    };
    items.iter().map(key).collect()
}

/// The text that an answer of the script begins with.
pub fn text(answer: &Value) -> &str {
    let result = &answer["result"];
    let places = [
        &result["content"][0]["text"],
        &result["messages"][0]["content"]["text"],
        &result["contents"][0]["text"],
        &result["completion"]["values"][0],
    ];
    places
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_else(|| panic!("no text: {answer}"))
}

fn page(member: &str, items: &Value, params: &Value) -> Value {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    let at = params["cursor"]
        .as_str()
        .map_or(0, |cursor| cursor.parse::<usize>().unwrap());
    let end = items.len().min(at + PAGE);
    let mut page = json!({});
    page[member] = items[at..end].into();
    if end < items.len() {
        page["nextCursor"] = end.to_string().into();
    }
    add_cache_hint(&mut page, params);
    page
}

/// What the stateless revision asks for.
fn add_cache_hint(result: &mut Value, params: &Value) {
    if params["_meta"]
        .get("io.modelcontextprotocol/protocolVersion")
        .is_some()
    {
        result["ttlMs"] = json!(60_000);
        result["cacheScope"] = json!("public");
    }
}
