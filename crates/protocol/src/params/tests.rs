use proptest::prelude::*;

use super::*;
use crate::{LogLevel, Revision, object};

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

fn split(method: Method, params: &str) -> Result<SplitParams, ParamsError> {
    SplitParams::parse(&method, Some(&raw(params)))
}

#[test]
fn a_modern_call_is_taken_apart_and_keeps_what_is_not_the_hops() {
    let split = split(
        Method::ToolsCall,
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","x":1.0,
            "io.modelcontextprotocol/clientCapabilities":{"roots":{}},"progressToken":7,"traceparent":"00-1"},
            "name":"t\u00e9", "inputResponses":{"k":{}},"arguments":{ "n":1e400 },"requestState":"s","task":{"ttl":1}}"#,
    )
    .unwrap();
    assert!(split.has_envelope());
    assert_eq!(split.meta.protocol_version.as_deref(), Some("2026-07-28"));
    assert_eq!(
        split.meta.client_capabilities.unwrap().as_str(),
        r#"{"roots":{}}"#
    );
    assert_eq!(split.meta.progress_token.unwrap().as_str(), "7");
    assert_eq!(split.meta.traceparent.as_deref(), Some("00-1"));
    assert_eq!(split.name.as_deref(), Some("té"));
    assert_eq!(split.input_responses.unwrap().as_str(), r#"{"k":{}}"#);
    assert_eq!(split.request_state.as_deref(), Some("s"));
    assert_eq!(split.task.unwrap().as_str(), r#"{"ttl":1}"#);
    assert_eq!(
        split.params.as_str(),
        "{\"_meta\":{\"x\":1.0},\n            \"name\":\"t\\u00e9\",\"arguments\":{ \"n\":1e400 }}"
    );
}

#[test]
fn parameters_without_hop_members_stay_the_same_buffer() {
    let params = raw(r#"{"name":"a","arguments":{},"_meta":{},"inputResponse":1}"#);
    let split = SplitParams::parse(&Method::PromptsGet, Some(&params)).unwrap();
    assert_eq!(split.params.as_bytes().as_ptr(), params.as_bytes().as_ptr());
    assert!(!split.has_envelope());
}

#[test]
fn a_meta_that_held_only_hop_members_is_gone() {
    for (source, expected) in [
        (r#"{"_meta":{"progressToken":"x"}}"#, "{}"),
        (
            r#"{"_meta":{"progressToken":"x"},"cursor":""}"#,
            r#"{"cursor":""}"#,
        ),
        (
            r#"{"a":1,"_meta":{"progressToken":null,"baggage":"b"}}"#,
            r#"{"a":1}"#,
        ),
    ] {
        assert_eq!(
            split(Method::ToolsList, source).unwrap().params.as_str(),
            expected
        );
    }
}

#[test]
fn what_routes_is_read_for_the_methods_that_have_it() {
    assert_eq!(
        split(Method::ResourcesRead, r#"{"uri":"a:b"}"#)
            .unwrap()
            .uri
            .unwrap(),
        "a:b"
    );
    assert_eq!(
        split(Method::ToolsList, r#"{"cursor":""}"#)
            .unwrap()
            .cursor
            .unwrap(),
        ""
    );
    assert_eq!(
        split(Method::ToolsList, r#"{"cursor":null}"#)
            .unwrap()
            .cursor,
        None
    );
    assert_eq!(
        split(Method::TasksGet, r#"{"taskId":"1"}"#)
            .unwrap()
            .task_id
            .unwrap(),
        "1"
    );
    assert_eq!(
        split(Method::Other("x".into()), r#"{"name":1,"requestState":2}"#)
            .unwrap()
            .name,
        None
    );
    let completion = |reference: &str| {
        split(
            Method::CompletionComplete,
            &format!("{{\"ref\":{reference}}}"),
        )
    };
    assert_eq!(
        completion(r#"{"type":"ref/prompt","name":"p"}"#)
            .unwrap()
            .reference,
        Some(Reference::Prompt("p".to_owned()))
    );
    assert_eq!(
        completion(r#"{"uri":"f:{x}","type":"ref/resource"}"#)
            .unwrap()
            .reference,
        Some(Reference::Resource("f:{x}".to_owned()))
    );
    assert!(completion(r#"{"type":"ref/tool","name":"p"}"#).is_err());
    let none = SplitParams::parse(&Method::ToolsList, None).unwrap();
    assert_eq!(none.params.as_str(), "{}");
    assert!(SplitParams::parse(&Method::ToolsList, Some(&RawJson::null())).is_ok());
}

#[test]
fn wrong_parameters_are_refused_with_the_member_that_is_wrong() {
    let refused = |method: Method, params: &str, expected: &str| {
        assert_eq!(split(method, params).unwrap_err().to_string(), expected);
    };
    refused(Method::ToolsCall, "{}", "`name` is missing");
    refused(
        Method::ToolsCall,
        r#"{"name":1}"#,
        "`name` must be a string",
    );
    refused(
        Method::ToolsCall,
        r#"{"name":"a","n\u0061me":"b"}"#,
        "`name` occurs twice",
    );
    refused(
        Method::ToolsCall,
        r#"{"name":"a","_meta":{},"_meta":{}}"#,
        "`_meta` occurs twice",
    );
    refused(
        Method::ToolsCall,
        r#"{"name":"a","_meta":7}"#,
        "`_meta` must be an object",
    );
    refused(
        Method::ToolsCall,
        r#"{"name":"a","inputResponses":[]}"#,
        "`inputResponses` must be an object",
    );
    refused(Method::ToolsCall, "[]", "`params` must be an object");
    refused(Method::ResourcesRead, "{}", "`uri` is missing");
    refused(
        Method::ToolsList,
        r#"{"cursor":3}"#,
        "`cursor` must be a string",
    );
    refused(
        Method::ToolsList,
        r#"{"_meta":{"progressToken":{}}}"#,
        "`progressToken` must be a string or a number",
    );
    assert_eq!(
        SplitParams::parse(&Method::ToolsCall, None).unwrap_err(),
        ParamsError::Missing("name")
    );
}

#[test]
fn stamping_adds_to_what_is_there() {
    let token = raw("5");
    let trace = TraceStamp {
        parent: Some("00-2"),
        ..TraceStamp::default()
    };
    let stateful = |params: &str| stamp_stateful(&raw(params), Some(&token), trace).to_string();
    assert_eq!(
        stateful("{}"),
        r#"{"_meta":{"progressToken":5,"traceparent":"00-2"}}"#
    );
    assert_eq!(
        stateful(r#"{ "a":1}"#),
        r#"{"_meta":{"progressToken":5,"traceparent":"00-2"}, "a":1}"#
    );
    assert_eq!(
        stateful(r#"{"a":1,"_meta":{ "x":1}}"#),
        r#"{"a":1,"_meta":{"progressToken":5,"traceparent":"00-2", "x":1}}"#
    );
    assert_eq!(
        stateful(r#"{"_meta":{}}"#),
        r#"{"_meta":{"progressToken":5,"traceparent":"00-2"}}"#
    );
    assert_eq!(
        stateful(r#"{"_meta":null}"#),
        r#"{"_meta":{"progressToken":5,"traceparent":"00-2"}}"#
    );
    let nothing = raw(r#"{"a":1}"#);
    assert_eq!(
        stamp_stateful(&nothing, None, TraceStamp::default()),
        nothing
    );
    assert_eq!(
        stamp_subscription(&raw(r#"{"uri":"a"}"#), &raw("\"l\"")).as_str(),
        r#"{"uri":"a","_meta":{"io.modelcontextprotocol/subscriptionId":"l"}}"#
    );
}

proptest! {
    #[test]
    fn what_is_stamped_comes_apart_again(key in "[a-z]{1,4}", value in "\\PC{0,10}", level in prop::option::of(0..8_usize)) {
        let params = object::assemble([
            ("name", raw("\"t\"")),
            ("_meta", object::assemble([(key.as_str(), RawJson::string(&value))])),
            ("arguments", raw("{ }")),
        ]);
        let (capabilities, info, token) = (raw(r#"{"elicitation":{}}"#), raw(r#"{"name":"g","version":"1"}"#), raw("\"a\""));
        let stamp = StatelessStamp {
            revision: Revision::LATEST,
            capabilities: &capabilities,
            client_info: &info,
            log_level: level.map(|level| LogLevel::ALL[level]),
            progress_token: Some(&token),
            trace: TraceStamp { parent: Some(&value), state: None, baggage: Some("a=b") },
        };
        let split = SplitParams::parse(&Method::ToolsCall, Some(&stamp_stateless(&params, &stamp))).unwrap();
        prop_assert_eq!(split.params, params);
        prop_assert_eq!(split.meta, RequestMeta {
            protocol_version: Some("2026-07-28".to_owned()),
            client_capabilities: Some(capabilities.clone()),
            client_info: Some(info.clone()),
            log_level: stamp.log_level.map(|level| level.to_string()),
            progress_token: Some(token.clone()),
            traceparent: Some(value.clone()),
            tracestate: None,
            baggage: Some("a=b".to_owned()),
        });
    }
}
