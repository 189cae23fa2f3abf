//! Whatever arrives, reading it ends, panics nowhere, and keeps its promises.
//!
//! The bodies are plain functions of bytes, so that a coverage-guided fuzzer can drive them as well as proptest does.

#![allow(unreachable_pub, missing_docs)]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use isthmus_protocol::convert::{downgrade_definition, downgrade_result};
use isthmus_protocol::headers::{HeaderParameters, MCP_NAME, decode_value, encode_value};
use isthmus_protocol::listing::parse_list_page;
use isthmus_protocol::message::{write_error, write_notification, write_request, write_result};
use isthmus_protocol::object::{ObjectEdit, member, members};
use isthmus_protocol::params::{SplitParams, StatelessStamp, TraceStamp, stamp_stateless};
use isthmus_protocol::result::{SplitResult, stamp_result_stateless};
use isthmus_protocol::sse::{SseDecoder, SseEvent, encode_event};
use isthmus_protocol::tasks::{CoreTasks, Detail, Snapshot, Support};
use isthmus_protocol::visit::{drop_app_domain, rewrite_definition, rewrite_result};
use isthmus_protocol::{
    Incoming, Message, Method, RawJson, Revision, ServerCapabilities, UriTemplate, parse_incoming,
    parse_message, tasks,
};
use proptest::prelude::*;

/// A body, line or event from a peer of any era.
pub fn envelope(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let messages = match parse_incoming(&body) {
        Ok(Incoming::Single(message)) => vec![message],
        Ok(Incoming::Batch(batch)) => batch.into_iter().flatten().collect(),
        Err(_) => return,
    };
    for message in messages {
        let written = match &message {
            Message::Request {
                id,
                method,
                params: Some(params),
            } => write_request(id, method, params),
            Message::Notification { method, params } => write_notification(method, params.as_ref()),
            Message::Response {
                id: Some(id),
                outcome: Ok(result),
            } => write_result(id, result),
            Message::Response {
                id,
                outcome: Err(error),
            } => write_error(id.as_ref(), error),
            _ => continue,
        };
        assert_eq!(
            parse_message(&written).as_ref(),
            Ok(&message),
            "what is relayed says the same"
        );
        match &message {
            Message::Request { method, params, .. } | Message::Notification { method, params } => {
                request(method, params.as_ref());
            }
            Message::Response {
                outcome: Ok(value), ..
            } => result(value),
            Message::Response { .. } => {}
        }
    }
}

/// The parameters of a request.
pub fn request(method: &Method, params: Option<&RawJson>) {
    let Ok(split) = SplitParams::parse(method, params) else {
        return;
    };
    let (empty, token) = (RawJson::empty_object(), RawJson::string("t"));
    let stamp = StatelessStamp {
        revision: Revision::LATEST,
        capabilities: &empty,
        client_info: &empty,
        log_level: None,
        progress_token: Some(&token),
        trace: TraceStamp::default(),
    };
    let stamped = stamp_stateless(&split.params, &stamp);
    let again = SplitParams::parse(method, Some(&stamped)).expect("our own stamp is well-formed");
    assert!(again.has_envelope());
    assert_eq!(again.name, split.name);
}

/// A result of any method, or anything that claims to be one.
pub fn result(value: &RawJson) {
    let info = RawJson::empty_object();
    if let Ok(split) = SplitResult::parse(value) {
        let stamped = stamp_result_stateless(
            &split.result,
            "complete",
            Some((Duration::ZERO, true)),
            &info,
            None,
        );
        let again = SplitResult::parse(&stamped).expect("our own stamp is well-formed");
        assert_eq!(again.result_type.as_deref(), Some("complete"));
    }
    for method in [
        Method::ToolsCall,
        Method::PromptsGet,
        Method::ResourcesRead,
        Method::TasksGet,
    ] {
        let rewritten = rewrite_result(&method, value, &|_, uri| Some(format!("b+{uri}")));
        assert!(
            rewritten.read::<serde::de::IgnoredAny>().is_ok()
                == value.read::<serde::de::IgnoredAny>().is_ok()
        );
        for revision in Revision::ALL {
            let _ = downgrade_result(&method, value, revision);
        }
    }
    for member in ["tools", "resources"] {
        let _ = parse_list_page(member, "name", value);
        let _ = rewrite_definition(member, value, "name", "x__y", &|_, uri| {
            Some(format!("b+{uri}"))
        });
        let _ = downgrade_definition(member, value, Revision::V2025_06_18);
    }
    let _ = drop_app_domain(value);
    let _ = ServerCapabilities::parse(value);
    task(value);
    edit(value);
    if let Ok(parameters) = HeaderParameters::from_tool(value) {
        let headers: HeaderMap = parameters.write(Some(value)).into_iter().collect();
        assert_eq!(parameters.check(&headers, Some(value)), Ok(()));
    }
}

/// A task in either shape, or anything that claims to be one.
pub fn task(value: &RawJson) {
    let flat = tasks::from_core(value);
    let core = tasks::to_core(&flat);
    let again = tasks::from_core(&core);
    for kept in ["taskId", "status", "ttlMs", "pollIntervalMs"] {
        assert_eq!(member(&again, kept), member(&flat, kept), "lost on the way");
    }
    for changed in [
        tasks::list_to_core(&tasks::list_from_core(value)),
        tasks::with_related_task(value, "t"),
        tasks::without_related_task(value),
        tasks::with_task_id(value, "t"),
        tasks::detailed(&flat, Detail::Result(value.clone())),
        tasks::detailed(
            &flat,
            Detail::Questions(vec![("k".to_owned(), value.clone())]),
        ),
    ] {
        assert!(members(&changed).is_ok() || !value.is_object());
    }
    if let Some(created) = tasks::created_from_core(value) {
        let again = tasks::created_from_core(&tasks::created_to_core(&created));
        let again = again.expect("a task that was packed is unpacked");
        assert_eq!(tasks::task_id(&again), tasks::task_id(&created));
    }
    let related = tasks::related_task(&tasks::with_related_task(value, "t"));
    assert_eq!(related.as_deref(), Some("t"));
    let _ = (
        Snapshot::of(value),
        Support::of_tool(value),
        CoreTasks::of_server(value),
    );
}

/// An edit of any value.
pub fn edit(value: &RawJson) {
    let edited = ObjectEdit::new(value)
        .set("name", RawJson::null())
        .remove("_meta")
        .finish();
    let members = members(&edited).expect("an edit gives an object");
    assert_eq!(members.iter().filter(|(key, _)| key == "name").count(), 1);
    assert!(members.iter().all(|(key, _)| key != "_meta"));
}

/// An event stream, cut into pieces of `piece` bytes.
pub fn event_stream(bytes: &[u8], piece: usize) {
    const LIMIT: usize = 64;
    let decode = |piece: usize| {
        let mut decoder = SseDecoder::new(LIMIT);
        let mut events = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.next_event() {
                events.push(event);
            }
        }
        events
    };
    let events = decode(piece);
    assert_eq!(events, decode(usize::MAX));
    for event in events.into_iter().flatten() {
        assert!(event.data.len() <= LIMIT);
        let mut decoder = SseDecoder::new(LIMIT * 16);
        decoder.push(encode_event(
            event.event.as_deref(),
            event.id.as_deref(),
            &event.data,
        ));
        let again = decoder
            .next_event()
            .expect("one event")
            .expect("a short one");
        // Carriage returns cannot be told in data that is split into lines; everything else can.
        assert_eq!(
            again,
            SseEvent {
                retry: None,
                ..event
            }
        );
    }
}

/// A header value from a peer.
pub fn header(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    if let Ok(text) = decode_value(&value) {
        assert_eq!(decode_value(&encode_value(&text)), Ok(text));
    }
    let definition = RawJson::parse(
        &br#"{"inputSchema":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}}}"#[..],
    );
    let parameters = HeaderParameters::from_tool(&definition.expect("well-formed")).expect("valid");
    let headers = HeaderMap::from_iter([
        (MCP_NAME, value.clone()),
        ("mcp-param-n".parse().expect("a name"), value),
    ]);
    let arguments = RawJson::parse(&b"{\"n\":1e0}"[..]).expect("well-formed");
    let _ = parameters.check(&headers, Some(&arguments));
}

/// A URI template of a backend, and a URI of a client.
pub fn template(template: &str, uri: &str) {
    if let Ok(template) = UriTemplate::parse(template) {
        let _ = template.matches(uri);
        assert!(template.as_str().starts_with(template.literal_prefix()));
    }
}

/// JSON that is likely to reach the code behind the parser: known keys, odd values, repeated members, odd spelling.
fn json() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "jsonrpc",
        "id",
        "method",
        "params",
        "result",
        "error",
        "code",
        "message",
        "data",
        "_meta",
        "name",
        "uri",
        "ref",
        "type",
        "cursor",
        "content",
        "contents",
        "messages",
        "resource",
        "structuredContent",
        "outputSchema",
        "inputSchema",
        "properties",
        "x-mcp-header",
        "tools",
        "resources",
        "nextCursor",
        "ttlMs",
        "resultType",
        "requestState",
        "inputResponses",
        "task",
        "tasks",
        "taskId",
        "status",
        "ttl",
        "pollInterval",
        "pollIntervalMs",
        "execution",
        "taskSupport",
        "io.modelcontextprotocol/related-task",
        "progressToken",
        "ui",
        "resourceUri",
        "domain",
        "n\\u0061me",
        "\\ud800",
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
        "",
    ]);
    let leaf = prop::sample::select(vec![
        "\"2.0\"",
        "1",
        "-0",
        "1.0",
        "1e400",
        "null",
        "true",
        "{}",
        "[]",
        "\"\"",
        "\"tools/call\"",
        "\"resources/read\"",
        "\"text\"",
        "\"resource_link\"",
        "\"resource\"",
        "\"tool_result\"",
        "\"ref/prompt\"",
        "\"string\"",
        "\"integer\"",
        "\"object\"",
        "\"a:b\"",
        "\"\\ud800\"",
        "\"\\u0061\"",
        "\"complete\"",
        "\"task\"",
        "\"working\"",
        "\"required\"",
        "9007199254740993",
    ]);
    let value = leaf.prop_map(str::to_owned).prop_recursive(6, 48, 6, move |inner| {
        let member = (key.clone(), "[ ]{0,1}", inner.clone()).prop_map(|(key, space, value)| {
            format!("{space}\"{key}\"{space}:{space}{value}{space}")
        });
        prop_oneof![
            3 => prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => prop::collection::vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(", "))),
        ]
    });
    value.boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_a_possible_body(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        envelope(&bytes);
    }

    #[test]
    fn any_json_is_a_possible_body(text in json()) {
        envelope(text.as_bytes());
        envelope(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{text}}}"#).as_bytes());
        envelope(format!(r#"[{{"jsonrpc":"2.0","id":1,"result":{text}}},{text}]"#).as_bytes());
    }

    #[test]
    fn a_body_that_was_cut_off_is_refused(text in json(), cut in 0..1000_usize) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{text}}}"#);
        let cut = cut % body.len();
        if body.is_char_boundary(cut) {
            prop_assert!(parse_incoming(&Bytes::copy_from_slice(&body.as_bytes()[..cut])).is_err());
        }
    }

    #[test]
    fn any_json_is_a_possible_result(text in json()) {
        result(&RawJson::parse(text).expect("the strategy makes JSON"));
    }

    #[test]
    fn any_json_may_be_the_parameters_of_any_method(text in json(), method in 0..6_usize) {
        let methods = ["tools/call", "resources/read", "tools/list", "completion/complete", "tasks/get", "x"];
        let params = RawJson::parse(text).expect("the strategy makes JSON");
        request(&Method::parse(methods[method]), Some(&params));
    }

    #[test]
    fn any_bytes_are_a_possible_event_stream(
        bytes in prop::collection::vec(prop::sample::select(vec![
            b"data: x\n".as_slice(), b"data:\r\n", b"\n", b"\r", b"\xef\xbb\xbf", b"id: \xff\n", b"event: e\n",
            b"retry: 9\n", b": c\n", b"0123456789", b"\0",
        ]), 0..40),
        piece in 1..20_usize,
    ) {
        event_stream(&bytes.concat(), piece);
    }

    #[test]
    fn any_bytes_are_a_possible_header(bytes in "(=\\?base64\\?)?[\\x00-\\xff]{0,20}(\\?=)?") {
        header(bytes.as_bytes());
    }

    #[test]
    fn any_text_is_a_possible_template(text in "[a-z{}+*:/?,.]{0,30}", uri in "\\PC{0,30}") {
        template(&text, &uri);
    }
}
