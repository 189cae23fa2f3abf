//! What the backend answers with and the load expects: made the same way on both sides.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// The one tool that is called.
pub(crate) const TOOL: &str = "lookup";

/// The `content` of every result: one text block of about `size` bytes that holds JSON, so that it is full of escapes
/// as real results are.
pub(crate) fn content(size: usize) -> String {
    let mut text = String::with_capacity(size + 64);
    let mut row = 0;
    while text.len() < size {
        let _ = write!(
            text,
            r#"{{"row":{row},"name":"item {row}","price":{}.50}},"#,
            row * 7
        );
        row += 1;
    }
    text.truncate(size);
    json!([{"type": "text", "text": text}]).to_string()
}

/// The `tools` of every listing: the one that is called and others of ordinary size.
pub(crate) fn tools(count: usize) -> Value {
    let others = (1..count).map(|index| format!("{TOOL}_{index}"));
    std::iter::once(TOOL.to_owned())
        .chain(others)
        .map(|name| definition(&name))
        .collect()
}

fn definition(name: &str) -> Value {
    json!({
        "name": name,
        "description": format!("Looks up the rows of a table by their name and gives them back in order ({name})."),
        "inputSchema": {
            "type": "object",
            "properties": {
                "table": {"type": "string", "description": "Which table to look into."},
                "name": {"type": "string", "description": "What the rows are called."},
                "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
            },
            "required": ["table"],
        },
        "annotations": {"readOnlyHint": true},
    })
}
