use proptest::prelude::*;

use super::*;

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

/// Marks a URI with the place it was found at.
fn mark(place: UriPlace, uri: &str) -> Option<String> {
    Some(format!("{place:?}+{uri}"))
}

fn check(method: Method, result: &str, expected: &str) {
    assert_eq!(
        rewrite_result(&method, &raw(result), &mark).as_str(),
        expected
    );
}

#[test]
fn every_entry_of_a_read_is_rewritten() {
    check(
        Method::ResourcesRead,
        r#"{"contents":[{"uri":"a:1", "text":"uri a:1"},{"blob":"","u\u0072i":"a:2"},{"uri":7}],"uri":"x"}"#,
        r#"{"contents":[{"uri":"Contents+a:1", "text":"uri a:1"},{"blob":"","u\u0072i":"Contents+a:2"},{"uri":7}],"uri":"x"}"#,
    );
}

#[test]
fn links_and_embedded_resources_of_a_tool_result_are_rewritten_and_nothing_else() {
    check(
        Method::ToolsCall,
        r#"{"content":[{"type":"text","uri":"a:0","text":"a:0"},{"uri":"a:1","type":"resource_link","icons":[{"src":"a:1"}]},
            {"type":"resource","uri":"x","resource":{"uri":"a:2","text":"\"uri\""}}],"structuredContent":{"uri":"a:3"},"uri":"a:4"}"#,
        r#"{"content":[{"type":"text","uri":"a:0","text":"a:0"},{"uri":"Link+a:1","type":"resource_link","icons":[{"src":"a:1"}]},
            {"type":"resource","uri":"x","resource":{"uri":"Embedded+a:2","text":"\"uri\""}}],"structuredContent":{"uri":"a:3"},"uri":"a:4"}"#,
    );
}

#[test]
fn prompt_and_sampling_messages_hold_one_block_or_many() {
    check(
        Method::PromptsGet,
        r#"{"messages":[{"role":"user","content":{"type":"resource_link","uri":"a:1"}},
            {"content":[{"type":"tool_result","content":[{"type":"resource","resource":{"uri":"a:2"}}]}]}]}"#,
        r#"{"messages":[{"role":"user","content":{"type":"resource_link","uri":"Link+a:1"}},
            {"content":[{"type":"tool_result","content":[{"type":"resource","resource":{"uri":"Embedded+a:2"}}]}]}]}"#,
    );
}

#[test]
fn the_result_inside_a_task_is_rewritten() {
    check(
        Method::TasksGet,
        r#"{"taskId":"1","result":{"content":[{"type":"resource_link","uri":"a:1"}]}}"#,
        r#"{"taskId":"1","result":{"content":[{"type":"resource_link","uri":"Link+a:1"}]}}"#,
    );
}

#[test]
fn what_holds_no_uri_of_ours_stays_the_same_buffer() {
    let same = |method: Method, text: &str| {
        let result = raw(text);
        let rewritten = rewrite_result(&method, &result, &mark);
        assert_eq!(
            rewritten.as_bytes().as_ptr(),
            result.as_bytes().as_ptr(),
            "{text}"
        );
    };
    same(
        Method::ToolsCall,
        r#"{"content":[{"type":"text","text":"{\"uri\":1}"}]}"#,
    );
    same(
        Method::ToolsCall,
        r#"{"content":"uri","messages":[{"uri":"a"}]}"#,
    );
    same(
        Method::CompletionComplete,
        r#"{"completion":{"values":["a:1"],"uri":"a:1"}}"#,
    );
    same(Method::ResourcesRead, r#"{"contents":{"uri":"a:1"}}"#);
    same(Method::ToolsCall, "[]");
    let kept = raw(r#"{"contents":[{"uri":"a:1"}]}"#);
    let rewritten = rewrite_result(&Method::ResourcesRead, &kept, &|_, _| None);
    assert_eq!(rewritten.as_bytes().as_ptr(), kept.as_bytes().as_ptr());
}

#[test]
fn a_definition_gets_its_key_and_a_tool_its_app() {
    let tool = r#"{"_meta":{"openai/outputTemplate":"ui://o","ui":{"resourceUri":"ui://a","visibility":["app"]},"ui/resourceUri":"ui://a"},
        "name":"n", "inputSchema":{"properties":{"name":{}}}}"#;
    assert_eq!(
        rewrite_definition("tools", &raw(tool), "name", "b__n", &mark).as_str(),
        r#"{"_meta":{"openai/outputTemplate":"App+ui://o","ui":{"resourceUri":"App+ui://a","visibility":["app"]},"ui/resourceUri":"App+ui://a"},
        "name":"b__n", "inputSchema":{"properties":{"name":{}}}}"#
    );
    let resource = r#"{"uri":"a:1","name":"a:1","_meta":{"ui":{"resourceUri":"x"}}}"#;
    assert_eq!(
        rewrite_definition("resources", &raw(resource), "uri", "b+a:1", &mark).as_str(),
        r#"{"uri":"b+a:1","name":"a:1","_meta":{"ui":{"resourceUri":"x"}}}"#
    );
    let escaped = raw(r#"{"name":"\u006e"}"#);
    assert_eq!(
        rewrite_definition("tools", &escaped, "name", "n", &mark),
        escaped
    );
}

#[test]
fn the_domain_of_an_app_is_dropped_and_its_other_settings_stay() {
    let dropped = |text: &str| drop_app_domain(&raw(text)).to_string();
    assert_eq!(
        dropped(r#"{"uri":"ui://a","_meta":{"ui":{"domain":"x","csp":{"a":1.0}}}}"#),
        r#"{"uri":"ui://a","_meta":{"ui":{"csp":{"a":1.0}}}}"#
    );
    assert_eq!(
        dropped(
            r#"{"contents":[{"text":"\"domain\""}, {"_meta":{"ui":{"csp":{},"domain":"x"}}}],"z":1}"#
        ),
        r#"{"contents":[{"text":"\"domain\""},{"_meta":{"ui":{"csp":{}}}}],"z":1}"#
    );
    for same in [
        r#"{"domain":"x"}"#,
        r#"{"contents":[ {"domain":"x"} ]}"#,
        r#"{"_meta":{"domain":1,"ui":{}}}"#,
    ] {
        assert_eq!(dropped(same), same);
    }
}

proptest! {
    #[test]
    fn there_and_back_is_the_same_text(uris in prop::collection::vec("[a-z]{1,3}:[a-z0-9]{0,5}", 0..5), text in "\\PC{0,10}") {
        let text = RawJson::string(&text);
        let blocks: Vec<String> = uris.iter().enumerate().map(|(index, uri)| match index % 3 {
            0 => format!(r#"{{"type":"resource_link", "uri":"{uri}","name":{text}}}"#),
            1 => format!(r#"{{"resource":{{"uri":"{uri}" }},"type":"resource","n":1e400}}"#),
            _ => format!(r#"{{"type":"text","text":{text},"uri":"{uri}"}}"#),
        }).collect();
        let result = raw(&format!(r#"{{"content":[{}] ,"x":{text}}}"#, blocks.join(" , ")));
        let there = rewrite_result(&Method::ToolsCall, &result, &|_, uri| Some(format!("b+{uri}")));
        let back = rewrite_result(&Method::ToolsCall, &there, &|_, uri| uri.strip_prefix("b+").map(str::to_owned));
        prop_assert_eq!(there.as_str().matches("b+").count(), uris.iter().enumerate().filter(|(index, _)| index % 3 != 2).count());
        prop_assert_eq!(back, result);
    }
}
