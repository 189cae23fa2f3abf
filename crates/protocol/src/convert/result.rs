//! Results in the words of an older revision.

use crate::object::{self, ObjectEdit};
use crate::visit::may_have_key;
use crate::{Method, RawJson, Revision, tasks};

/// The result of `method` for a client of `revision`.
///
/// - Before 2026-07-28 `structuredContent` is an object: other values are wrapped as `{"result": …}`, as their schema
///   is (see [`downgrade_definition`](super::downgrade_definition)), and mirrored as text. 2025-03-26 and before have
///   none: its text mirror stays, or is made.
/// - 2025-03-26 and before have no `resource_link`, 2024-11-05 has no audio: text says what was there.
///
/// - Tasks get the names that 2025-11-25 has for their parts.
///
/// A result in which nothing changes keeps its buffer.
#[must_use]
pub fn downgrade_result(method: &Method, result: &RawJson, revision: Revision) -> RawJson {
    if revision == Revision::V2026_07_28 {
        return result.clone();
    }
    match method {
        Method::ToolsCall | Method::TasksResult => downgrade_tool_result(result, revision),
        Method::TasksGet | Method::TasksCancel => tasks::to_core(result),
        Method::TasksList => tasks::list_to_core(result),
        Method::PromptsGet if has_foreign_blocks(result, revision) => {
            downgrade_messages(result, revision)
        }
        _ => result.clone(),
    }
}

fn downgrade_tool_result(result: &RawJson, revision: Revision) -> RawJson {
    let mut content = None;
    let mut edit = ObjectEdit::new(result);
    if has_foreign_blocks(result, revision)
        && let Some(old) = object::member(result, "content")
    {
        content = downgrade_blocks(&old, revision);
    }
    if may_have_key(result.as_bytes(), b"\"structuredContent\"")
        && let Some(value) = object::member(result, "structuredContent")
    {
        let dropped = revision < Revision::V2025_06_18;
        if dropped || !value.is_object() {
            let old = content.take().or_else(|| object::member(result, "content"));
            content = Some(with_text_mirror(old.as_ref(), &value));
            edit = if dropped {
                edit.remove("structuredContent")
            } else {
                edit.set("structuredContent", wrap_value(&value))
            };
        }
    }
    match content {
        Some(content) => edit.set("content", content).finish(),
        None => edit.finish(),
    }
}

fn wrap_value(value: &RawJson) -> RawJson {
    object::assemble([("result", value.clone())])
}

/// Content in which a text block stands; if there is none, one with `value` as JSON is appended.
fn with_text_mirror(content: Option<&RawJson>, value: &RawJson) -> RawJson {
    let mut blocks = content.and_then(object::elements).unwrap_or_default();
    let is_text = |block: &RawJson| object::string_member(block, "type").as_deref() == Some("text");
    match content {
        Some(content) if blocks.iter().any(is_text) => content.clone(),
        _ => {
            blocks.push(text_block(value.as_str()));
            object::assemble_array(&blocks)
        }
    }
}

fn downgrade_messages(result: &RawJson, revision: Revision) -> RawJson {
    let Some(messages) =
        object::member(result, "messages").and_then(|messages| object::elements(&messages))
    else {
        return result.clone();
    };
    let downgraded = messages.iter().map(|message| {
        match object::member(message, "content")
            .and_then(|content| downgrade_block(&content, revision))
        {
            Some(content) => ObjectEdit::new(message).set("content", content).finish(),
            None => message.clone(),
        }
    });
    let downgraded: Vec<RawJson> = downgraded.collect();
    if downgraded == messages {
        return result.clone();
    }
    ObjectEdit::new(result)
        .set("messages", object::assemble_array(&downgraded))
        .finish()
}

/// The blocks with those replaced that `revision` does not know; `None` if it knows all.
fn downgrade_blocks(content: &RawJson, revision: Revision) -> Option<RawJson> {
    let mut changed = false;
    let mut blocks = object::elements(content)?;
    for block in &mut blocks {
        if let Some(new) = downgrade_block(block, revision) {
            *block = new;
            changed = true;
        }
    }
    changed.then(|| object::assemble_array(&blocks))
}

/// What stands in for a block that `revision` does not know; `None` if it knows it.
fn downgrade_block(block: &RawJson, revision: Revision) -> Option<RawJson> {
    let of = |key: &str| object::string_member(block, key);
    match of("type")?.as_str() {
        "resource_link" if revision < Revision::V2025_06_18 => {
            let uri = of("uri").unwrap_or_default();
            let name = of("title")
                .or_else(|| of("name"))
                .filter(|name| *name != uri);
            let description =
                of("description").map_or_else(String::new, |text| format!(" ({text})"));
            Some(text_block(&match name {
                Some(name) => format!("{name}: {uri}{description}"),
                None => format!("{uri}{description}"),
            }))
        }
        "audio" if revision < Revision::V2025_03_26 => {
            let kind = of("mimeType").unwrap_or_else(|| "unknown type".to_owned());
            Some(text_block(&format!(
                "[audio ({kind}) that this client's protocol revision cannot carry]"
            )))
        }
        _ => None,
    }
}

/// Whether a block may stand there that `revision` does not know.
fn has_foreign_blocks(result: &RawJson, revision: Revision) -> bool {
    let text = result.as_bytes();
    (revision < Revision::V2025_06_18 && may_have_key(text, b"\"resource_link\""))
        || (revision < Revision::V2025_03_26 && may_have_key(text, b"\"audio\""))
}

fn text_block(text: &str) -> RawJson {
    object::assemble([
        ("type", RawJson::string("text")),
        ("text", RawJson::string(text)),
    ])
}
