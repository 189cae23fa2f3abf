//! What identifies a request from round to round.

use aws_lc_rs::digest::{Context, SHA256};
use isthmus_protocol::object::{elements, member, members, text};
use isthmus_protocol::{Method, RawJson};

/// Of method, subject and arguments as the client wrote them, names and URIs exposed ones. A client repeats what it said
/// and not its bytes: the order of members, white space and escapes do not count. Numbers count as they are written.
pub(super) fn of_request(method: &Method, params: &RawJson) -> String {
    let mut hash = Context::new(&SHA256);
    part(&mut hash, b'm', method.as_str().as_bytes());
    for key in ["name", "uri", "arguments"] {
        match member(params, key) {
            Some(present) => value(&mut hash, &present),
            None => part(&mut hash, b'-', b""),
        }
    }
    let digest = hash.finish();
    let bytes = digest.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Bounded by the depth that a message may have.
fn value(hash: &mut Context, json: &RawJson) {
    if let Some(text) = text(json) {
        part(hash, b's', text.as_bytes());
    } else if let Ok(mut members) = members(json) {
        // Stable: of a key that stands there twice both count, in their order.
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        part(hash, b'o', &count(members.len()));
        for (key, member) in members {
            part(hash, b'k', key.as_bytes());
            value(hash, &member);
        }
    } else if let Some(elements) = elements(json) {
        part(hash, b'a', &count(elements.len()));
        for element in elements {
            value(hash, &element);
        }
    } else {
        part(hash, b'l', json.as_bytes().trim_ascii());
    }
}

/// Kind and length in front keep one part from being read as another.
fn part(hash: &mut Context, kind: u8, bytes: &[u8]) {
    hash.update(&[kind]);
    hash.update(&count(bytes.len()));
    hash.update(bytes);
}

fn count(number: usize) -> [u8; 8] {
    u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(params: &str) -> String {
        of_request(
            &Method::ToolsCall,
            &RawJson::parse(params.to_owned()).unwrap(),
        )
    }

    #[test]
    fn the_same_request_written_in_another_way_is_the_same() {
        let one = digest(r#"{"name":"t","arguments":{"a":[1,"é",{"x":null}],"b":true}}"#);
        let other = digest(
            r#"{ "arguments": {"b" :true, "a":[ 1,"\u00e9",{"\u0078":null}]},"name":"t","_meta":{"x":1}}"#,
        );
        assert_eq!(one, other);
    }

    #[test]
    fn whatever_else_changes_makes_another_request() {
        let requests = [
            r#"{"name":"t"}"#,
            r#"{"uri":"t"}"#,
            r#"{"name":"u"}"#,
            r#"{"name":"t","arguments":{}}"#,
            r#"{"name":"t","arguments":[]}"#,
            r#"{"name":"t","arguments":""}"#,
            r#"{"name":"t","arguments":null}"#,
            r#"{"name":"t","arguments":{"a":1}}"#,
            r#"{"name":"t","arguments":{"a":1.0}}"#,
            r#"{"name":"t","arguments":{"a":"1"}}"#,
            r#"{"name":"t","arguments":{"a":[1]}}"#,
            r#"{"name":"t","arguments":{"a":1,"a":2}}"#,
            r#"{"name":"t","arguments":{"a":2,"a":1}}"#,
            r#"{"name":"t","arguments":{"a":[[1],2]}}"#,
            r#"{"name":"t","arguments":{"a":[[1,2]]}}"#,
            r#"{"name":"t","arguments":{"a":12345678901234567890123}}"#,
            r#"{"name":"t","arguments":{"a":12345678901234567890124}}"#,
        ];
        let digests: std::collections::HashSet<String> =
            requests.iter().map(|params| digest(params)).collect();
        assert_eq!(digests.len(), requests.len());
        let read = of_request(
            &Method::PromptsGet,
            &RawJson::parse(requests[0].to_owned()).unwrap(),
        );
        assert!(!digests.contains(&read));
    }
}
