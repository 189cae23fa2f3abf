use super::*;
use crate::{Method, object};

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

fn result(text: &str, revision: Revision) -> String {
    downgrade_result(&Method::ToolsCall, &raw(text), revision).to_string()
}

fn tool(text: &str, revision: Revision) -> String {
    downgrade_definition("tools", &raw(text), revision).to_string()
}

#[test]
fn structured_content_that_is_no_object_is_wrapped_and_mirrored() {
    let list = r#"{"content":[],"structuredContent":[1.0, 2]}"#;
    assert_eq!(result(list, Revision::V2026_07_28), list);
    let wrapped = r#"{"content":[{"type":"text","text":"[1.0, 2]"}],"structuredContent":{"result":[1.0, 2]}}"#;
    assert_eq!(result(list, Revision::V2025_11_25), wrapped);
    assert_eq!(result(list, Revision::V2025_06_18), wrapped);
    let dropped = r#"{"content":[{"type":"text","text":"[1.0, 2]"}]}"#;
    assert_eq!(result(list, Revision::V2025_03_26), dropped);
    assert_eq!(result(list, Revision::V2024_11_05), dropped);
    assert_eq!(
        result(r#"{"structuredContent":null}"#, Revision::V2025_11_25),
        r#"{"structuredContent":{"result":null},"content":[{"type":"text","text":"null"}]}"#
    );
}

#[test]
fn structured_content_that_is_an_object_stays_where_it_is_known() {
    let source = r#"{"structuredContent":{"a":1},"content":[{"text":"{}","type":"text"}],"x":1.0}"#;
    assert_eq!(result(source, Revision::V2025_06_18), source);
    assert_eq!(
        result(source, Revision::V2025_03_26),
        r#"{"content":[{"text":"{}","type":"text"}],"x":1.0}"#
    );
}

#[test]
fn blocks_that_a_revision_does_not_know_become_text() {
    let source = r#"{"content":[{"type":"resource_link","uri":"a:1","name":"n","description":"d"},{"type":"audio","mimeType":"audio/wav","data":""}, 7]}"#;
    assert_eq!(result(source, Revision::V2025_06_18), source);
    let link = r#"{"type":"text","text":"n: a:1 (d)"}"#;
    assert_eq!(
        result(source, Revision::V2025_03_26),
        format!(r#"{{"content":[{link},{{"type":"audio","mimeType":"audio/wav","data":""}},7]}}"#)
    );
    assert!(result(source, Revision::V2024_11_05).contains("[audio (audio/wav)"));
    let prompt =
        r#"{"messages":[{"role":"user","content":{"type":"resource_link","uri":"a:1"}}],"x":1}"#;
    let converted = downgrade_result(&Method::PromptsGet, &raw(prompt), Revision::V2024_11_05);
    let expected = r#"{"messages":[{"role":"user","content":{"type":"text","text":"a:1"}}],"x":1}"#;
    assert_eq!(converted.as_str(), expected);
}

#[test]
fn a_result_that_needs_nothing_keeps_its_buffer() {
    for revision in Revision::ALL {
        for method in [Method::ToolsCall, Method::PromptsGet, Method::ResourcesRead] {
            let source =
                raw(r#"{"content":[{"type":"text","text":"\"audio\""}],"messages":[ {} ]}"#);
            let converted = downgrade_result(&method, &source, revision);
            assert_eq!(converted.as_bytes().as_ptr(), source.as_bytes().as_ptr());
        }
    }
}

#[test]
fn an_output_schema_that_is_no_objects_is_wrapped_with_its_references() {
    let source = r##"{"name":"t","outputSchema":{"$schema":"s","type":"array","items":{"$ref":"#/$defs/i"},"$defs":{"i":{"enum":[{"$ref":"#/x"}]}}}}"##;
    assert_eq!(tool(source, Revision::V2026_07_28), source);
    let converted = raw(&tool(source, Revision::V2025_11_25));
    let schema = object::member(&converted, "outputSchema").unwrap();
    assert_eq!(object::string_member(&schema, "$schema").unwrap(), "s");
    assert_eq!(object::string_member(&schema, "type").unwrap(), "object");
    let inner = object::member_at(&schema, &["properties", "result"]).unwrap();
    let reference = object::member_at(&inner, &["items", "$ref"]).unwrap();
    assert_eq!(reference.as_str(), r##""#/properties/result/$defs/i""##);
    let data = object::member_at(&inner, &["$defs", "i", "enum"]).unwrap();
    assert_eq!(data.as_str(), r##"[{"$ref":"#/x"}]"##);
    assert_eq!(tool(source, Revision::V2025_03_26), r#"{"name":"t"}"#);
}

#[test]
fn an_output_schema_that_may_be_an_objects_allows_both_forms() {
    let source = r##"{"outputSchema":{"anyOf":[{"type":"object"},{"type":"null"},{"$ref":"#"}]}}"##;
    let schema =
        object::member(&raw(&tool(source, Revision::V2025_06_18)), "outputSchema").unwrap();
    let value: serde_json::Value = schema.read().unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "type": "object",
            "anyOf": [{"$ref": "#/$defs/output"}, {"properties": {"result": {"$ref": "#/$defs/output"}}, "required": ["result"]}],
            "$defs": {"output": {"anyOf": [{"type": "object"}, {"type": "null"}, {"$ref": "#/$defs/output"}]}},
        })
    );
    let object = r#"{"outputSchema":{"type":"object","x":1.0}}"#;
    assert_eq!(tool(object, Revision::V2025_06_18), object);
}

#[test]
fn members_that_came_later_are_left_out() {
    let source = r#"{"name":"t","title":"T","icons":[],"annotations":{"readOnlyHint":true},"execution":{"taskSupport":"optional"},"v":1.0}"#;
    let without_execution =
        r#"{"name":"t","title":"T","icons":[],"annotations":{"readOnlyHint":true},"v":1.0}"#;
    for revision in &Revision::ALL[1..] {
        let expected = if *revision == Revision::V2025_11_25 {
            source
        } else {
            without_execution
        };
        assert_eq!(tool(source, *revision), expected);
    }
    assert_eq!(
        tool(source, Revision::V2024_11_05),
        r#"{"name":"t","v":1.0}"#
    );
    let resource = raw(r#"{"uri":"a:1","title":"T","annotations":{"priority":1},"execution":1}"#);
    assert_eq!(
        downgrade_definition("resources", &resource, Revision::V2024_11_05).as_str(),
        r#"{"uri":"a:1","annotations":{"priority":1},"execution":1}"#
    );
}

#[test]
fn progress_messages_and_completions_are_unknown_to_the_oldest() {
    let progress = raw(r#"{"progress":1.0,"message":"m","total":2}"#);
    assert_eq!(
        downgrade_progress(&progress, Revision::V2025_03_26),
        progress
    );
    assert_eq!(
        downgrade_progress(&progress, Revision::V2024_11_05).as_str(),
        r#"{"progress":1.0,"total":2}"#
    );
    let capabilities = raw(r#"{"completions":{},"tools":{}}"#);
    assert_eq!(
        downgrade_capabilities(&capabilities, Revision::V2024_11_05).as_str(),
        r#"{"tools":{}}"#
    );
}

fn question(method: &Method, params: &str, revision: Revision) -> Result<String, Inexpressible> {
    downgrade_question(method, &raw(params), revision, false).map(|params| params.to_string())
}

#[test]
fn a_form_is_asked_from_2025_06_18_on_with_choices_it_knows() {
    let form = r#"{"mode":"form","message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"string","oneOf":[{"const":"r","title":"Red"},{"const":"g"}],"default":"r"},"b":{"type":"string","enum":["x"]},"c":{"type":"integer","minimum":1.0}},"required":["a"]}}"#;
    let plain = r#"{"message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"string","default":"r","enum":["r","g"],"enumNames":["Red","g"]},"b":{"type":"string","enum":["x"]},"c":{"type":"integer","minimum":1.0}},"required":["a"]}}"#;
    let ask = |revision| question(&Method::ElicitationCreate, form, revision);
    assert_eq!(ask(Revision::V2025_11_25).unwrap(), form);
    assert_eq!(ask(Revision::V2025_06_18).unwrap(), plain);
    assert!(ask(Revision::V2025_03_26).is_err());
    assert!(ask(Revision::V2024_11_05).is_err());
}

#[test]
fn what_2025_06_18_cannot_ask_its_user_is_not_asked() {
    let several = r#"{"message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"array","items":{"type":"string","enum":["x"]}}}}}"#;
    let url = r#"{"mode":"url","message":"m","url":"https://x.example"}"#;
    for params in [several, url] {
        let ask = |revision| question(&Method::ElicitationCreate, params, revision);
        assert_eq!(ask(Revision::V2025_11_25).unwrap(), params);
        assert!(ask(Revision::V2025_06_18).is_err(), "{params}");
    }
}

#[test]
fn a_message_of_several_blocks_becomes_several_where_only_one_may_stand() {
    let several = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"audio","data":""}],"_meta":{"k":1}},{"role":"assistant","content":{"type":"text","text":"b"}}],"maxTokens":5,"toolChoice":{"mode":"auto"}}"#;
    let single = r#"{"messages":[{"role":"user","content":{"type":"text","text":"a"},"_meta":{"k":1}},{"role":"user","content":{"type":"audio","data":""},"_meta":{"k":1}},{"role":"assistant","content":{"type":"text","text":"b"}}],"maxTokens":5}"#;
    let ask = |revision, tools| {
        let method = Method::SamplingCreateMessage;
        downgrade_question(&method, &raw(several), revision, tools).map(|p| p.to_string())
    };
    assert_eq!(ask(Revision::V2025_11_25, true).unwrap(), several);
    assert_eq!(ask(Revision::V2025_11_25, false).unwrap(), single);
    assert_eq!(ask(Revision::V2025_06_18, true).unwrap(), single);
    assert_eq!(ask(Revision::V2025_03_26, false).unwrap(), single);
    assert!(ask(Revision::V2024_11_05, false).is_err(), "audio");
}

#[test]
fn sampling_with_tools_is_asked_only_of_those_who_know_and_offer_it() {
    for params in [
        r#"{"messages":[],"tools":[{"name":"t"}]}"#,
        r#"{"messages":[{"role":"user","content":{"type":"tool_result"}}]}"#,
        r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use"}]}]}"#,
    ] {
        let ask = |revision, tools| {
            downgrade_question(
                &Method::SamplingCreateMessage,
                &raw(params),
                revision,
                tools,
            )
        };
        assert_eq!(ask(Revision::V2025_11_25, true).unwrap().as_str(), params);
        assert!(ask(Revision::V2025_11_25, false).is_err(), "{params}");
        assert!(ask(Revision::V2025_06_18, true).is_err(), "{params}");
    }
    let none = r#"{"messages":[],"tools":[]}"#;
    let asked = question(&Method::SamplingCreateMessage, none, Revision::V2024_11_05);
    assert_eq!(asked.unwrap(), r#"{"messages":[]}"#);
}

#[test]
fn a_question_carries_nothing_of_another_hop() {
    let stamped = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":1,"x":2}}"#;
    for revision in Revision::ALL {
        let asked = question(&Method::RootsList, stamped, revision);
        assert_eq!(asked.unwrap(), r#"{"_meta":{"x":2}}"#);
    }
    assert!(question(&Method::ToolsCall, "{}", Revision::LATEST).is_err());
}

proptest::proptest! {
    #[test]
    fn any_question_is_survived(params: String, message: String) {
        let message = RawJson::string(&message).to_string();
        for text in [params, format!(r#"{{"messages":[{message},{{"content":[{message}]}}],"requestedSchema":{{"properties":{{"a":{message},"b":{{"oneOf":[{message}]}}}}}}}}"#)] {
            let Ok(params) = RawJson::parse(text) else { continue };
            for revision in Revision::ALL {
                for method in [Method::ElicitationCreate, Method::SamplingCreateMessage, Method::RootsList] {
                    let _ = downgrade_question(&method, &params, revision, false);
                }
            }
        }
    }
}

#[test]
fn each_kind_of_task_is_offered_to_who_knows_it() {
    let capabilities =
        raw(r#"{"tasks":{},"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#);
    let check = |revision, expected: &str| {
        let offered = downgrade_capabilities(&capabilities, revision);
        assert_eq!(offered.as_str(), expected);
    };
    check(
        Revision::V2026_07_28,
        r#"{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
    );
    check(Revision::V2025_11_25, r#"{"tasks":{},"tools":{}}"#);
    check(Revision::V2025_06_18, r#"{"tools":{}}"#);
}

#[test]
fn tasks_have_the_names_of_2025() {
    let task = raw(r#"{"taskId":"t","status":"completed","ttlMs":1,"result":{}}"#);
    let check = |method, result: &RawJson, expected: &str| {
        let downgraded = downgrade_result(&method, result, Revision::V2025_11_25);
        assert_eq!(downgraded.as_str(), expected);
    };
    let core = r#"{"taskId":"t","status":"completed","ttl":1}"#;
    check(Method::TasksGet, &task, core);
    check(Method::TasksCancel, &task, core);
    let list = raw(&format!(r#"{{"tasks":[{task}]}}"#));
    check(
        Method::TasksList,
        &list,
        &format!(r#"{{"tasks":[{core}]}}"#),
    );
}
