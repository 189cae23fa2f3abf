//! What a backend says besides results: progress, logs, notices, and requests of its own.

use std::fmt::Write;

use aws_lc_rs::digest;
use isthmus_exchange::{BackendName, ItemKind, LogRecord, Progress};
use isthmus_protocol::message::{write_error, write_result};
use isthmus_protocol::object::{ObjectEdit, edit_member, member, string_member};
use isthmus_protocol::params::meta_key;
use isthmus_protocol::{Id, JsonRpcError, Method, RawJson, code, tasks};

use crate::conversation::PeerNotice;

/// Our progress token for the request `id`.
pub(crate) fn progress_token(id: u64) -> RawJson {
    RawJson::assembled(FIRST_TOKEN.saturating_add(id).to_string())
}

/// The request of ours that a progress token was made for.
pub(crate) fn request_of(token: &RawJson) -> Option<u64> {
    // Some servers keep tokens as strings and send ours back as one.
    let number: u64 = token.as_str().trim_matches('"').parse().ok()?;
    number.checked_sub(FIRST_TOKEN)
}

/// `params` of `notifications/progress`: which request of ours it is for, and the rest.
pub(crate) fn progress(params: &RawJson) -> Option<(u64, Progress)> {
    let request = request_of(&member(params, "progressToken")?)?;
    let params = ObjectEdit::new(params).remove("progressToken").finish();
    Some((request, Progress { params }))
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
pub(crate) fn notice(
    backend: &BackendName,
    method: &Method,
    params: Option<&RawJson>,
) -> Option<PeerNotice> {
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
        Method::TasksStatus => task(tasks::from_core(params?))?,
        Method::TasksNotification => task(without_subscription_id(params?))?,
        Method::ElicitationComplete => PeerNotice::ElicitationComplete {
            id: exposed_elicitation_id(backend, &string_member(params?, "elicitationId")?),
        },
        _ => return None,
    })
}

/// By which id others than the backend know an elicitation that it gave `id`: always the same for the same backend and
/// id, and not to be turned back.
pub(crate) fn exposed_elicitation_id(backend: &BackendName, id: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(backend.as_str().as_bytes());
    hash.update(&[0]);
    hash.update(id.as_bytes());
    let mut exposed = String::with_capacity(2 * EXPOSED_BYTES);
    for byte in &hash.finish().as_ref()[..EXPOSED_BYTES] {
        // Writing to a string does not fail.
        let _ = write!(exposed, "{byte:02x}");
    }
    exposed
}

fn task(task: RawJson) -> Option<PeerNotice> {
    let id = tasks::task_id(&task)?;
    Some(PeerNotice::Task { id, task })
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

/// Tokens have a range of their own: a small number that a backend chose for itself must not look like one of ours. They
/// fit into 31 bits all the same, which some servers have no more of.
const FIRST_TOKEN: u64 = 1 << 30;
/// How much of a hash is enough to be unique and not to be guessed.
const EXPOSED_BYTES: usize = 16;
/// Notices wait in queues that count them and not their bytes.
const LARGEST_NOTICE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    fn backend(name: &str) -> BackendName {
        BackendName::parse(name).unwrap()
    }

    #[test]
    fn progress_is_told_by_our_token_and_passed_on_without_it() {
        let token = progress_token(7);
        for text in [
            format!(r#"{{"progressToken":{token},"progress":1.0}}"#),
            format!(r#"{{"progress":1.0,"progressToken":"{token}"}}"#),
        ] {
            let (request, progress) = progress(&json(&text)).unwrap();
            assert_eq!(
                (request, progress.params.as_str()),
                (7, r#"{"progress":1.0}"#)
            );
        }
        assert!(progress(&json(r#"{"progressToken":7,"progress":1}"#)).is_none());
        assert!(progress(&json(r#"{"progressToken":"x","progress":1}"#)).is_none());
    }

    #[test]
    fn an_elicitation_is_known_by_the_same_id_every_time_and_by_another_for_another_backend() {
        let [a, b] = ["a", "b"].map(backend);
        let id = exposed_elicitation_id(&a, "e-1");
        assert_eq!(id.len(), 32);
        assert_eq!(id, exposed_elicitation_id(&a, "e-1"));
        assert_ne!(id, exposed_elicitation_id(&b, "e-1"));
        assert_ne!(id, exposed_elicitation_id(&a, "e-2"));
        let params = json(r#"{"elicitationId":"e-1"}"#);
        assert_eq!(
            notice(&a, &Method::ElicitationComplete, Some(&params)),
            Some(PeerNotice::ElicitationComplete { id })
        );
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
            notice(&backend("b"), &Method::ResourcesUpdated, Some(&params)),
            Some(expected)
        );
    }

    #[test]
    fn a_task_is_told_of_in_the_words_of_the_extension_whoever_tells() {
        let backend = BackendName::parse("b").unwrap();
        let told = |method, params: &str| notice(&backend, &method, Some(&json(params)));
        let expected = Some(PeerNotice::Task {
            id: "t".to_owned(),
            task: json(r#"{"taskId":"t","ttlMs":5}"#),
        });
        let core = r#"{"taskId":"t","ttl":5}"#;
        assert_eq!(told(Method::TasksStatus, core), expected);
        let tagged =
            r#"{"taskId":"t","ttlMs":5,"_meta":{"io.modelcontextprotocol/subscriptionId":1}}"#;
        assert_eq!(told(Method::TasksNotification, tagged), expected);
        assert_eq!(told(Method::TasksStatus, "{}"), None);
    }
}
