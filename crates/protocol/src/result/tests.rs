use proptest::prelude::*;

use super::*;

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

#[test]
fn a_modern_result_is_taken_apart_and_keeps_what_is_not_the_hops() {
    let split = SplitResult::parse(&raw(
        r#"{"resultType":"complete", "content":[1.0],"isError":true,"ttlMs":5e3,"cacheScope":"public",
            "_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"},"x":"\u0041"},"new":[]}"#,
    ))
    .unwrap();
    assert_eq!(split.result_type.as_deref(), Some("complete"));
    assert_eq!(split.ttl_ms, Some(5000));
    assert_eq!(split.cache_scope.as_deref(), Some("public"));
    assert_eq!(split.server_info.unwrap().as_str(), r#"{"name":"s"}"#);
    assert!(split.is_error);
    assert_eq!(
        split.result.as_str(),
        "{\"content\":[1.0],\"isError\":true,\n            \"_meta\":{\"x\":\"\\u0041\"},\"new\":[]}"
    );
}

#[test]
fn a_result_without_hop_members_stays_the_same_buffer() {
    let result = raw(r#"{"content":[],"isError":false,"_meta":{"a":1}}"#);
    let split = SplitResult::parse(&result).unwrap();
    assert_eq!(split.result.as_bytes().as_ptr(), result.as_bytes().as_ptr());
    assert!(!split.is_error);
    assert_eq!(split.result_type, None);
}

#[test]
fn questions_are_found() {
    let split = SplitResult::parse(&raw(
        r#"{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"requestState":"s"}"#,
    ))
    .unwrap();
    assert_eq!(split.result_type.as_deref(), Some("input_required"));
    assert_eq!(
        split.input_requests.unwrap().as_str(),
        r#"{"k":{"method":"roots/list"}}"#
    );
    assert_eq!(split.request_state.as_deref(), Some("s"));
    assert_eq!(split.result.as_str(), "{}");
}

#[test]
fn the_ttl_of_a_task_is_its_own() {
    let split =
        SplitResult::parse(&raw(r#"{"ttlMs":5,"resultType":"task","taskId":"1"}"#)).unwrap();
    assert_eq!(split.ttl_ms, None);
    assert_eq!(split.result.as_str(), r#"{"ttlMs":5,"taskId":"1"}"#);
}

#[test]
fn members_of_the_wrong_type_count_as_absent() {
    let split = SplitResult::parse(&raw(
        r#"{"resultType":1,"ttlMs":-1,"cacheScope":null,"_meta":3}"#,
    ))
    .unwrap();
    assert_eq!(
        (split.result_type, split.ttl_ms, split.cache_scope),
        (None, None, None)
    );
    assert_eq!(split.result.as_str(), r#"{"_meta":3}"#);
    assert!(SplitResult::parse(&raw("[]")).is_err());
    assert_eq!(milliseconds(b"1.5"), None);
    assert_eq!(milliseconds(b"1e300"), None);
}

#[test]
fn stamping_adds_to_what_is_there() {
    let info = raw(r#"{"name":"g"}"#);
    let stamped = |result: &str| {
        stamp_result_stateless(&raw(result), "complete", None, &info, None).to_string()
    };
    let meta = r#""io.modelcontextprotocol/serverInfo":{"name":"g"}"#;
    assert_eq!(
        stamped("{}"),
        format!(r#"{{"resultType":"complete","_meta":{{{meta}}}}}"#)
    );
    assert_eq!(
        stamped(r#"{ "a":1}"#),
        format!(r#"{{"resultType":"complete","_meta":{{{meta}}}, "a":1}}"#)
    );
    assert_eq!(
        stamped(r#"{"a":"_meta","_meta":{"b":1}}"#),
        format!(r#"{{"resultType":"complete","a":"_meta","_meta":{{{meta},"b":1}}}}"#)
    );
    assert_eq!(
        stamped(r#"{"_\u006deta":7}"#),
        format!(r#"{{"resultType":"complete","_\u006deta":{{{meta}}}}}"#)
    );
}

proptest! {
    #[test]
    fn what_is_stamped_comes_apart_again(value in "\\PC{0,10}", ttl in any::<u32>(), public in any::<bool>(), meta in any::<bool>()) {
        let text = RawJson::string(&value);
        let result = if meta {
            raw(&format!(r#"{{ "a":{text},"_meta":{{ "b":{text} }} }}"#))
        } else {
            raw(&format!(r#"{{ "a":{text} }}"#))
        };
        let (info, id) = (raw(r#"{"name":"g"}"#), raw("\"l\""));
        let cache = Some((Duration::from_millis(ttl.into()), public));
        let stamped = stamp_result_stateless(&result, "complete", cache, &info, Some(&id));
        let split = SplitResult::parse(&stamped).unwrap();
        prop_assert_eq!(split.ttl_ms, Some(u64::from(ttl)));
        prop_assert_eq!(split.cache_scope.as_deref(), Some(if public { "public" } else { "private" }));
        prop_assert_eq!(split.server_info, Some(info));
        prop_assert_eq!(split.subscription_id, Some(id));
        let members = |object: &RawJson| crate::object::members(object).unwrap();
        let squeezed = |object: &RawJson| members(object).into_iter().map(|(key, value)| {
            let value = if key == "_meta" { format!("{:?}", members(&value)) } else { value.to_string() };
            (key, value)
        }).collect::<Vec<_>>();
        prop_assert_eq!(squeezed(&split.result), squeezed(&result));
    }

    #[test]
    fn a_bare_result_is_one_that_taking_apart_would_not_change(
        key in prop_oneof![
            Just("resultType"), Just("r\\u0065sultType"), Just("ttlMs"), Just("cacheScope"), Just("_meta"),
            Just("requestState"), Just("inputRequests"), Just("content"),
        ],
        inner in prop_oneof![
            Just("1"), Just("\"x\""), Just("{}"), Just(r#"{"io.modelcontextprotocol/serverInfo":{}}"#),
            Just(r#"{"io.modelcontextprotocol\/\u0073erverInfo":{}}"#),
            Just(r#"{"io.modelcontextprotocol/subscriptionId":1,"b":2}"#), Just(r#"{"b":2}"#),
        ],
    ) {
        let result = raw(&format!(r#"{{"a":1,"{key}":{inner},"z":[]}}"#));
        let split = SplitResult::parse(&result).unwrap();
        if is_bare(&result) {
            prop_assert_eq!(split.result.as_str(), result.as_str());
            prop_assert!(split.result_type.is_none() && split.request_state.is_none());
        }
    }
}

#[test]
fn a_task_keeps_its_time_to_live_and_its_questions() {
    let text = r#"{"resultType":"complete","taskId":"t","ttlMs":5,"inputRequests":{"a":{}},"requestState":"s"}"#;
    let split = SplitResult::parse_task(&RawJson::parse(text).unwrap()).unwrap();
    assert_eq!(
        split.result.as_str(),
        r#"{"taskId":"t","ttlMs":5,"inputRequests":{"a":{}}}"#
    );
    assert_eq!((split.ttl_ms, split.input_requests), (None, None));
}
