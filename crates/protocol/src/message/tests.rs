use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Message, MessageError> {
    parse_message(&Bytes::copy_from_slice(text.as_bytes()))
}

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

fn refused(text: &str, kind: MessageErrorKind, id: Option<&str>) {
    let error = parse(text).unwrap_err();
    assert_eq!(error.kind, kind, "{text}");
    assert_eq!(error.id.map(|id| id.to_string()).as_deref(), id, "{text}");
}

#[test]
fn a_request_keeps_its_id_and_params_as_written() {
    let text = r#" {"params":{ "a":1.0 },"id":"\u0061","extra":[1],"method":"tools/call","jsonrpc":"2.0"} "#;
    assert_eq!(
        parse(text).unwrap(),
        Message::Request {
            id: Id::from_raw(raw(r#""\u0061""#)).unwrap(),
            method: Method::ToolsCall,
            params: Some(raw(r#"{ "a":1.0 }"#)),
        }
    );
}

#[test]
fn values_share_the_memory_of_the_body() {
    let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
    let Message::Response {
        outcome: Ok(result),
        ..
    } = parse_message(&body).unwrap()
    else {
        panic!("a response");
    };
    assert!(body.as_ptr_range().contains(&result.as_bytes().as_ptr()));
}

#[test]
fn null_and_absent_are_told_apart() {
    let result = parse(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).unwrap();
    assert!(matches!(result, Message::Response { outcome: Ok(result), .. } if result.is_null()));
    refused(
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        MessageErrorKind::NotAMessage,
        None,
    );
    refused(
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        MessageErrorKind::NotAMessage,
        None,
    );
    let error =
        parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#).unwrap();
    assert!(
        matches!(error, Message::Response { id: None, outcome: Err(error) } if error.code == -32700)
    );
    let notification =
        parse(r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":null}"#).unwrap();
    assert!(matches!(
        notification,
        Message::Notification { params: None, .. }
    ));
}

#[test]
fn what_is_not_a_message_is_refused_with_the_id_that_could_be_read() {
    use MessageErrorKind::{NotAMessage, Syntax};
    refused("", Syntax, None);
    refused("{", Syntax, None);
    refused("nonsense", Syntax, None);
    refused(
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"} x"#,
        Syntax,
        None,
    );
    refused("7", NotAMessage, None);
    refused("[]", NotAMessage, None);
    refused("{}", NotAMessage, None);
    refused(r#"{"jsonrpc":"2.0","id":7}"#, NotAMessage, Some("7"));
    refused(r#"{"id":7,"method":"ping"}"#, NotAMessage, Some("7"));
    refused(
        r#"{"jsonrpc":"2.0","id":7,"method":3}"#,
        NotAMessage,
        Some("7"),
    );
    refused(
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        NotAMessage,
        None,
    );
    refused(
        r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":3}"#,
        NotAMessage,
        Some("7"),
    );
    refused(
        r#"{"jsonrpc":"2.0","id":7,"method":"ping","result":3}"#,
        NotAMessage,
        Some("7"),
    );
    refused(
        r#"{"jsonrpc":"2.0","id":7,"result":3,"error":{"code":1}}"#,
        NotAMessage,
        Some("7"),
    );
    refused(
        r#"{"jsonrpc":"2.0","id":7,"error":"oh"}"#,
        NotAMessage,
        Some("7"),
    );
    refused(
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":1.5,"message":"x"}}"#,
        NotAMessage,
        Some("7"),
    );
}

#[test]
fn an_envelope_member_that_occurs_twice_is_refused_however_it_is_spelled() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":null}"#,
    ] {
        refused(text, MessageErrorKind::NotAMessage, Some("1"));
    }
}

#[test]
fn a_batch_is_read_member_by_member() {
    let text = Bytes::from_static(
        br#" [ {"jsonrpc":"2.0","id":1,"method":"ping"}, 7 , {"jsonrpc":"2.0","id":2}, {"jsonrpc":"2.0","method":"x"} ]"#,
    );
    let Incoming::Batch(batch) = parse_incoming(&text).unwrap() else {
        panic!("a batch");
    };
    assert_eq!(
        batch.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, false, true]
    );
    for text in ["[]", "[", "[{}] 1", "[{},]"] {
        assert!(
            parse_incoming(&Bytes::from_static(text.as_bytes())).is_err(),
            "{text}"
        );
    }
}

#[test]
fn deep_nesting_is_a_syntax_error_and_costs_no_stack() {
    for open in ["[", "{\"a\":"] {
        let text = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":{}",
            open.repeat(200_000)
        );
        refused(&text, MessageErrorKind::Syntax, None);
    }
}

#[test]
fn what_is_written_reads_back() {
    let id = Id::number(9);
    let params = raw(r#"{"name":"x","arguments":{"n":1e400}}"#);
    let request = parse_message(&write_request(
        &id,
        &Method::Other("odd\"\n".into()),
        &params,
    ))
    .unwrap();
    assert_eq!(
        request,
        Message::Request {
            id: id.clone(),
            method: Method::Other("odd\"\n".into()),
            params: Some(params.clone())
        }
    );
    let notification = parse_message(&write_notification(&Method::Initialized, None)).unwrap();
    assert_eq!(
        notification,
        Message::Notification {
            method: Method::Initialized,
            params: None
        }
    );
    let result = parse_message(&write_result(&id, &params)).unwrap();
    assert_eq!(
        result,
        Message::Response {
            id: Some(id.clone()),
            outcome: Ok(params.clone())
        }
    );
    assert_eq!(
        write_result_pieces(&id, &params).concat(),
        write_result(&id, &params)
    );
    let error = JsonRpcError::new(-1, "no \"way\"").with_data(&[1, 2]);
    let response = parse_message(&write_error(Some(&id), &error)).unwrap();
    assert_eq!(
        response,
        Message::Response {
            id: Some(id.clone()),
            outcome: Err(error.clone())
        }
    );
    let batch = write_batch(&[write_error(None, &error), write_result(&id, &params)]);
    assert!(matches!(parse_incoming(&batch), Ok(Incoming::Batch(batch)) if batch.len() == 2));
}

proptest! {
    #[test]
    fn every_request_survives_writing_and_reading(method in "\\PC{0,20}", id in "-?[0-9]{1,30}", text in "\\PC{0,40}") {
        let id = match RawJson::parse(id) {
            Ok(id) => Id::from_raw(id).unwrap(),
            Err(_) => Id::from_raw(RawJson::string(&text)).unwrap(),
        };
        let params = raw(&format!("{{\"a\":{}}}", RawJson::string(&text)));
        let method = Method::parse(&method);
        let read = parse_message(&write_request(&id, &method, &params)).unwrap();
        prop_assert_eq!(read, Message::Request { id, method, params: Some(params) });
    }
}
