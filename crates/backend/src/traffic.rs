//! What a backend says besides results: progress, logs, notices, and requests of its own.

use isthmus_exchange::{ItemKind, LogRecord, Progress};
use isthmus_protocol::message::{write_error, write_result};
use isthmus_protocol::object::{ObjectEdit, edit_member, member, string_member};
use isthmus_protocol::params::meta_key;
use isthmus_protocol::{Id, JsonRpcError, Method, RawJson, code};

use crate::conversation::PeerNotice;

/// `params` of `notifications/progress`: which of our tokens it is for, and the rest.
pub(crate) fn progress(params: &RawJson) -> Option<(u64, Progress)> {
    let token = member(params, "progressToken")?;
    // Some servers keep tokens as strings and send ours back as one.
    let number = token.as_str().trim_matches('"').parse().ok()?;
    let params = ObjectEdit::new(params).remove("progressToken").finish();
    Some((number, Progress { params }))
}

/// `params` of `notifications/message`.
pub(crate) fn log_record(params: &RawJson) -> Option<LogRecord> {
    let level = string_member(params, "level")?.parse().ok()?;
    Some(LogRecord {
        level,
        params: params.clone(),
    })
}

/// A notification that belongs to no request; not if it is larger than [`LARGEST_NOTICE`].
pub(crate) fn notice(method: &Method, params: Option<&RawJson>) -> Option<PeerNotice> {
    if params.is_some_and(|params| params.len() > LARGEST_NOTICE) {
        return None;
    }
    Some(match method {
        Method::ToolsListChanged => PeerNotice::ListChanged(ItemKind::Tool),
        Method::PromptsListChanged => PeerNotice::ListChanged(ItemKind::Prompt),
        Method::ResourcesListChanged => PeerNotice::ListChanged(ItemKind::Resource),
        Method::ResourcesUpdated => {
            let params = without_subscription_id(params?);
            PeerNotice::ResourceUpdated {
                uri: string_member(&params, "uri")?,
                params,
            }
        }
        Method::LogMessage => PeerNotice::Log(log_record(params?)?),
        _ => return None,
    })
}

/// The id of a listen belongs to the hop (digest §3.10).
fn without_subscription_id(params: &RawJson) -> RawJson {
    edit_member(params, "_meta", |meta| {
        meta.remove(meta_key::SUBSCRIPTION_ID)
    })
}

/// Our answer to a request of the backend: we are there, and relay nothing else to clients (LC-4).
pub(crate) fn answer_to(id: &Id, method: &Method) -> bytes::Bytes {
    if *method == Method::Ping {
        return write_result(id, &RawJson::empty_object());
    }
    let text = format!(
        "the gateway does not relay `{method}` to its clients and did not declare that it would"
    );
    write_error(Some(id), &JsonRpcError::new(code::METHOD_NOT_FOUND, text))
}

/// Notices wait in queues that count them and not their bytes.
const LARGEST_NOTICE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn progress_is_told_by_our_token_and_passed_on_without_it() {
        for text in [
            r#"{"progressToken":7,"progress":1.0}"#,
            r#"{"progress":1.0,"progressToken":"7"}"#,
        ] {
            let (token, progress) = progress(&json(text)).unwrap();
            assert_eq!(
                (token, progress.params.as_str()),
                (7, r#"{"progress":1.0}"#)
            );
        }
        assert!(progress(&json(r#"{"progressToken":"x","progress":1}"#)).is_none());
    }

    #[test]
    fn an_update_keeps_everything_but_the_subscription_id() {
        let params =
            json(r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3,"x":1},"uri":"a:b"}"#);
        let expected = PeerNotice::ResourceUpdated {
            uri: "a:b".to_owned(),
            params: json(r#"{"_meta":{"x":1},"uri":"a:b"}"#),
        };
        assert_eq!(
            notice(&Method::ResourcesUpdated, Some(&params)),
            Some(expected)
        );
    }
}
