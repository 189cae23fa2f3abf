//! Questions to a client in the words of an older revision.
//!
//! Answers need no conversion: what an older revision lets a client answer is legal in the newest one too, and the
//! choices of an enumeration are answered by the same values however its schema spells them.

use crate::object::{self, ObjectEdit};
use crate::params::meta_key;
use crate::{Method, RawJson, Revision};

/// The question cannot be put to a client of that revision: says what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client's protocol revision has no {0}")]
pub struct Inexpressible(&'static str);

/// The `params` of a question (`elicitation/create`, `sampling/createMessage`, `roots/list`) for a client of `revision`;
/// `sampling_tools`: it declared that its sampling may use tools.
///
/// - Elicitation exists from 2025-06-18 on. That revision has one mode and does not name it; a choice with titles is
///   `enum` with `enumNames`, and a choice of several cannot be made.
/// - Sampling with tools needs 2025-11-25 and the capability. Who has not both takes one block per message, so that a
///   message with several becomes several messages. 2024-11-05 has no audio.
///
/// Keys of `_meta` that belong to another hop go for everybody.
///
/// # Errors
///
/// [`Inexpressible`]: asking would mislead, or be refused.
pub fn downgrade_question(
    method: &Method,
    params: &RawJson,
    revision: Revision,
    sampling_tools: bool,
) -> Result<RawJson, Inexpressible> {
    let params = without_hop_keys(params);
    match method {
        Method::ElicitationCreate => downgrade_elicitation(params, revision),
        Method::SamplingCreateMessage if revision >= Revision::V2025_11_25 && sampling_tools => {
            Ok(params)
        }
        Method::SamplingCreateMessage => downgrade_sampling(&params, revision),
        Method::RootsList => Ok(params),
        _ => Err(Inexpressible("such questions")),
    }
}

fn without_hop_keys(params: &RawJson) -> RawJson {
    object::edit_member(params, "_meta", |meta| {
        [
            meta_key::PROTOCOL_VERSION,
            meta_key::CLIENT_CAPABILITIES,
            meta_key::CLIENT_INFO,
            meta_key::LOG_LEVEL,
            meta_key::SERVER_INFO,
            meta_key::SUBSCRIPTION_ID,
            meta_key::PROGRESS_TOKEN,
        ]
        .into_iter()
        .fold(meta, ObjectEdit::remove)
    })
}

fn downgrade_elicitation(params: RawJson, revision: Revision) -> Result<RawJson, Inexpressible> {
    if revision >= Revision::V2025_11_25 {
        return Ok(params);
    }
    if revision < Revision::V2025_06_18 {
        return Err(Inexpressible("questions to the user"));
    }
    if object::string_member(&params, "mode").as_deref() == Some("url") {
        return Err(Inexpressible("way to send the user to a page"));
    }
    let edit = ObjectEdit::new(&params).remove("mode");
    let Some(schema) = object::member(&params, "requestedSchema") else {
        return Ok(edit.finish());
    };
    let schema = downgrade_form(&schema)?;
    Ok(edit.set("requestedSchema", schema).finish())
}

/// A form for 2025-06-18: its fields are strings, numbers, booleans and choices of one.
fn downgrade_form(schema: &RawJson) -> Result<RawJson, Inexpressible> {
    let Some(fields) = object::member(schema, "properties") else {
        return Ok(schema.clone());
    };
    let mut edit = ObjectEdit::new(&fields);
    for (name, field) in object::members(&fields).unwrap_or_default() {
        if object::string_member(&field, "type").as_deref() == Some("array") {
            return Err(Inexpressible("fields with several choices at once"));
        }
        if let Some(plain) = with_plain_choices(&field) {
            edit = edit.set(name, plain);
        }
    }
    let fields = edit.finish();
    Ok(ObjectEdit::new(schema).set("properties", fields).finish())
}

/// A field whose choices have titles, with `enum` and `enumNames`; `None` if it has no such choices.
fn with_plain_choices(field: &RawJson) -> Option<RawJson> {
    let titled = |key| object::member(field, key).and_then(|choices| object::elements(&choices));
    let choices = titled("oneOf").or_else(|| titled("anyOf"))?;
    let values: Vec<RawJson> = choices
        .iter()
        .map(|choice| object::member(choice, "const"))
        .collect::<Option<_>>()?;
    let titles = choices
        .iter()
        .zip(&values)
        .map(|(choice, value)| object::member(choice, "title").unwrap_or_else(|| value.clone()));
    let titles: Vec<RawJson> = titles.collect();
    let plain = ObjectEdit::new(field)
        .remove("oneOf")
        .remove("anyOf")
        .set("enum", object::assemble_array(&values))
        .set("enumNames", object::assemble_array(&titles));
    Some(plain.finish())
}

fn downgrade_sampling(params: &RawJson, revision: Revision) -> Result<RawJson, Inexpressible> {
    let tools = object::member(params, "tools").and_then(|tools| object::elements(&tools));
    if tools.is_some_and(|tools| !tools.is_empty()) {
        return Err(TOOLS);
    }
    let edit = ObjectEdit::new(params).remove("tools").remove("toolChoice");
    let Some(messages) =
        object::member(params, "messages").and_then(|messages| object::elements(&messages))
    else {
        return Ok(edit.finish());
    };
    let mut single = Vec::with_capacity(messages.len());
    for message in &messages {
        let content = object::member(message, "content");
        let blocks = content.as_ref().and_then(object::elements);
        for block in blocks.iter().flatten().chain(&content) {
            check_block(block, revision)?;
        }
        match blocks {
            None => single.push(message.clone()),
            Some(blocks) => single.extend(
                blocks
                    .into_iter()
                    .map(|block| ObjectEdit::new(message).set("content", block).finish()),
            ),
        }
    }
    if single == messages {
        return Ok(edit.finish());
    }
    let messages = object::assemble_array(&single);
    Ok(edit.set("messages", messages).finish())
}

fn check_block(block: &RawJson, revision: Revision) -> Result<(), Inexpressible> {
    match object::string_member(block, "type").as_deref() {
        Some("tool_use" | "tool_result") => Err(TOOLS),
        Some("audio") if revision < Revision::V2025_03_26 => {
            Err(Inexpressible("audio for its model"))
        }
        _ => Ok(()),
    }
}

const TOOLS: Inexpressible =
    Inexpressible("tools for its model, or the client does not offer them");
