use super::*;
use crate::{JsonRpcError, RawJson, object};

fn json(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

const CORE: &str = r#"{"taskId":"t","status":"working","createdAt":"a","lastUpdatedAt":"b","ttl":60000,"pollInterval":500,"x":1}"#;

#[test]
fn a_task_loses_nothing_on_the_way_to_the_extension_and_back() {
    let flat = from_core(&json(CORE));
    assert_eq!(
        flat.as_str(),
        r#"{"taskId":"t","status":"working","createdAt":"a","lastUpdatedAt":"b","x":1,"ttlMs":60000,"pollIntervalMs":500}"#
    );
    let back = to_core(&flat);
    let same: serde_json::Value = back.read().unwrap();
    assert_eq!(same, json(CORE).read::<serde_json::Value>().unwrap());
}

#[test]
fn durations_become_whole_and_a_missing_ttl_becomes_null() {
    let check = |core: &str, expected: &str| assert_eq!(from_core(&json(core)).as_str(), expected);
    check(r#"{"ttl":1.5e3}"#, r#"{"ttlMs":1500}"#);
    check(r#"{"ttl":0.2}"#, r#"{"ttlMs":1}"#);
    check(r#"{"ttl":null,"pollInterval":null}"#, r#"{"ttlMs":null}"#);
    check(r#"{"ttl":-5,"pollInterval":"x"}"#, r#"{"ttlMs":null}"#);
    check("{}", r#"{"ttlMs":null}"#);
}

#[test]
fn a_created_task_is_unpacked_and_packed_again_with_what_stood_beside_it() {
    let result = json(&format!(
        r#"{{"task":{CORE},"_meta":{{"io.modelcontextprotocol/related-task":{{"taskId":"t"}},"y":2}}}}"#
    ));
    let flat = created_from_core(&result).unwrap();
    assert_eq!(task_id(&flat).as_deref(), Some("t"));
    assert_eq!(
        object::member(&flat, "_meta").unwrap().as_str(),
        r#"{"y":2}"#
    );
    let packed = created_to_core(&flat);
    assert_eq!(
        object::member(&packed, "_meta").unwrap().as_str(),
        r#"{"y":2}"#
    );
    let inner = object::member(&packed, "task").unwrap();
    assert_eq!(object::member(&inner, "ttl").unwrap().as_str(), "60000");
    assert!(object::member(&inner, "_meta").is_none());
    for other in [r#"{"content":[]}"#, r#"{"task":{}}"#, r#"{"task":7}"#, "[]"] {
        assert!(created_from_core(&json(other)).is_none(), "{other}");
    }
}

#[test]
fn a_detail_sets_the_status_and_never_says_which_task_it_is_related_to() {
    let task = json(r#"{"taskId":"t","status":"failed"}"#);
    let result = json(
        r#"{"content":[],"isError":true,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#,
    );
    assert_eq!(
        detailed(&task, Detail::Result(result)).as_str(),
        r#"{"taskId":"t","status":"completed","result":{"content":[],"isError":true,"resultType":"complete"}}"#
    );
    let error = JsonRpcError::new(-32603, "no");
    assert_eq!(
        detailed(&task, Detail::Error(error)).as_str(),
        r#"{"taskId":"t","status":"failed","error":{"code":-32603,"message":"no"}}"#
    );
    let questions = vec![("1".to_owned(), json(r#"{"method":"roots/list"}"#))];
    assert_eq!(
        detailed(&task, Detail::Questions(questions)).as_str(),
        r#"{"taskId":"t","status":"input_required","inputRequests":{"1":{"method":"roots/list"}}}"#
    );
}

#[test]
fn a_core_task_has_nothing_inside() {
    let flat = json(r#"{"taskId":"t","status":"completed","ttlMs":null,"result":{"content":[]}}"#);
    assert_eq!(
        to_core(&flat).as_str(),
        r#"{"taskId":"t","status":"completed","ttl":null}"#
    );
}

#[test]
fn a_list_is_changed_task_by_task_and_keeps_its_cursor() {
    let list = json(r#"{"tasks":[{"taskId":"a","ttl":1},{"taskId":"b"}],"nextCursor":"c"}"#);
    let flat = list_from_core(&list);
    assert_eq!(
        flat.as_str(),
        r#"{"tasks":[{"taskId":"a","ttlMs":1},{"taskId":"b","ttlMs":null}],"nextCursor":"c"}"#
    );
    assert_eq!(
        list_to_core(&flat).as_str(),
        r#"{"tasks":[{"taskId":"a","ttl":1},{"taskId":"b","ttl":null}],"nextCursor":"c"}"#
    );
    assert_eq!(list_from_core(&json("{}")).as_str(), "{}");
}

#[test]
fn a_relation_is_written_read_and_taken_away() {
    let value = json(r#"{"a":1,"_meta":{"b":2}}"#);
    let related = with_related_task(&value, "t");
    assert_eq!(related_task(&related).as_deref(), Some("t"));
    assert_eq!(without_related_task(&related), value);
    assert_eq!(related_task(&value), None);
    let alone = with_related_task(&json("{}"), "t");
    assert_eq!(without_related_task(&alone).as_str(), "{}");
}

#[test]
fn what_a_server_declares_is_read_and_can_be_declared_again() {
    let server = json(r#"{"tasks":{"list":{},"requests":{"tools":{"call":{}}}}}"#);
    let tasks = CoreTasks::of_server(&server);
    assert_eq!(
        tasks,
        CoreTasks {
            calls: true,
            list: true,
            cancel: false
        }
    );
    assert_eq!(
        tasks.declaration().as_str(),
        r#"{"list":{},"requests":{"tools":{"call":{}}}}"#
    );
    assert_eq!(CoreTasks::of_server(&json("{}")), CoreTasks::default());
}

#[test]
fn a_tool_says_whether_it_runs_as_a_task() {
    let check = |tool: &str, expected| assert_eq!(Support::of_tool(&json(tool)), expected);
    check("{}", Support::Forbidden);
    check(
        r#"{"execution":{"taskSupport":"optional"}}"#,
        Support::Optional,
    );
    check(
        r#"{"execution":{"taskSupport":"required"}}"#,
        Support::Required,
    );
    check(
        r#"{"execution":{"taskSupport":"forbidden"}}"#,
        Support::Forbidden,
    );
    check(r#"{"description":"taskSupport"}"#, Support::Forbidden);
}

#[test]
fn a_refusal_for_want_of_the_extension_is_told_from_others() {
    let missing = object::assemble([("requiredCapabilities", missing_extension())]);
    let error = |code| JsonRpcError::new(code, "").with_data(&missing);
    assert!(needs_extension(&error(-32021)));
    assert!(!needs_extension(&error(-32602)));
    assert!(!needs_extension(&JsonRpcError::new(-32021, "")));
    assert_eq!(
        declare(&json(r#"{"roots":{},"extensions":{"x/y":{}}}"#)).as_str(),
        r#"{"roots":{},"extensions":{"x/y":{},"io.modelcontextprotocol/tasks":{}}}"#
    );
}

#[test]
fn a_snapshot_reads_what_a_gateway_acts_by() {
    let task = json(
        r#"{"status":"input_required","ttlMs":5,"pollIntervalMs":250,"statusMessage":"m","lastUpdatedAt":"u"}"#,
    );
    let snapshot = Snapshot::of(&task).unwrap();
    assert_eq!(snapshot.status, Status::InputRequired);
    assert_eq!(snapshot.poll_interval.unwrap().as_millis(), 250);
    assert_eq!(snapshot.ttl.unwrap().as_millis(), 5);
    assert!(Snapshot::of(&json(r#"{"status":"odd"}"#)).is_none());
    assert!(Status::Cancelled.is_terminal() && !Status::Working.is_terminal());
}
