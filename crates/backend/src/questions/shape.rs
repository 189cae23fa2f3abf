//! A question in the words of the core, and its answer in those of the backend.

use bytes::Bytes;
use isthmus_exchange::{Answer, BackendName, Question};
use isthmus_protocol::message::{write_error, write_result};
use isthmus_protocol::object::{ObjectEdit, edit_member, elements, member, string_member};
use isthmus_protocol::params::meta_key;
use isthmus_protocol::{Id, Method, RawJson, Revision, tasks};
use tokio::sync::oneshot;

use crate::traffic;

/// Makes a question of a backend's request: what belongs to the hop is taken out, and an elicitation says its mode (digest
/// §3.0). Returns also the place where the answer arrives.
pub(super) fn question(
    backend: &BackendName,
    method: Method,
    params: &RawJson,
) -> (Question, oneshot::Receiver<Answer>) {
    let bare = tasks::without_related_task(params);
    let bare = edit_member(&bare, "_meta", |meta| meta.remove(meta_key::PROGRESS_TOKEN));
    let mut edit = ObjectEdit::new(&bare).remove("task");
    let mut elicitation_id = None;
    if method == Method::ElicitationCreate {
        elicitation_id = string_member(params, "elicitationId")
            .map(|id| traffic::exposed_elicitation_id(backend, &id));
        edit = edit.remove("elicitationId");
        if member(params, "mode").is_none() {
            edit = edit.set("mode", RawJson::string("form"));
        }
    }
    let params = edit.finish();
    let (mut question, answered) = Question::new(backend.clone(), method, params);
    question.elicitation_id = elicitation_id;
    (question, answered)
}

/// Writes the response to the request `id`.
pub(super) fn response(
    id: &Id,
    method: &Method,
    revision: Option<Revision>,
    answer: &Answer,
) -> Bytes {
    match answer {
        Ok(result) if *method == Method::SamplingCreateMessage => {
            write_result(id, &for_revision(result, revision))
        }
        Ok(result) => write_result(id, result),
        Err(error) => write_error(Some(id), error),
    }
}

/// Before 2025-11-25 the content of a sampled message was one block, not a list of them.
fn for_revision(result: &RawJson, revision: Option<Revision>) -> RawJson {
    if revision.is_none_or(|revision| revision >= Revision::V2025_11_25) {
        return result.clone();
    }
    let blocks = member(result, "content").and_then(|content| elements(&content));
    match blocks.as_deref() {
        Some([only]) => ObjectEdit::new(result)
            .set("content", only.clone())
            .finish(),
        _ => result.clone(),
    }
}

#[cfg(test)]
mod tests {
    use isthmus_protocol::JsonRpcError;

    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    fn asked(method: Method, params: &str) -> Question {
        let backend = BackendName::parse("b").unwrap();
        question(&backend, method, &json(params)).0
    }

    #[test]
    fn an_elicitation_says_its_mode_and_loses_its_id() {
        let form = asked(
            Method::ElicitationCreate,
            r#"{"message":"m","requestedSchema":{ }}"#,
        );
        assert_eq!(
            form.params.as_str(),
            r#"{"message":"m","requestedSchema":{ },"mode":"form"}"#
        );
        assert_eq!(form.elicitation_id, None);
        let url = asked(
            Method::ElicitationCreate,
            r#"{"mode":"url","elicitationId":"e","url":"https://x"}"#,
        );
        assert_eq!(url.params.as_str(), r#"{"mode":"url","url":"https://x"}"#);
        let backend = BackendName::parse("b").unwrap();
        let id = traffic::exposed_elicitation_id(&backend, "e");
        assert_eq!(url.elicitation_id, Some(id));
    }

    #[test]
    fn what_belongs_to_the_hop_is_taken_out_and_the_rest_stays() {
        let meta =
            r#"{"progressToken":1,"io.modelcontextprotocol/related-task":{"taskId":"t"},"x":1.0}"#;
        let question = asked(
            Method::SamplingCreateMessage,
            &format!(r#"{{"maxTokens":1e1,"task":{{}},"_meta":{meta}}}"#),
        );
        assert_eq!(
            question.params.as_str(),
            r#"{"maxTokens":1e1,"_meta":{"x":1.0}}"#
        );
        let roots = asked(Method::RootsList, r#"{"_meta":{"progressToken":1}}"#);
        assert_eq!(roots.params.as_str(), "{}");
    }

    #[test]
    fn the_answer_has_the_backends_own_id_and_the_shape_of_its_revision() {
        let id = Id::from_raw(json(r#""q\u0031""#)).unwrap();
        let method = Method::SamplingCreateMessage;
        let answer = Ok(json(
            r#"{"role":"assistant","content":[{"type":"text"}],"model":"m"}"#,
        ));
        let text = |revision| response(&id, &method, Some(revision), &answer);
        assert_eq!(
            text(Revision::V2025_06_18),
            r#"{"jsonrpc":"2.0","id":"q\u0031","result":{"role":"assistant","content":{"type":"text"},"model":"m"}}"#
        );
        assert_eq!(
            text(Revision::V2025_11_25),
            r#"{"jsonrpc":"2.0","id":"q\u0031","result":{"role":"assistant","content":[{"type":"text"}],"model":"m"}}"#
        );
        let refused = Err(JsonRpcError::new(-1, "no"));
        assert_eq!(
            response(&Id::number(7), &method, None, &refused),
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}"#
        );
    }
}
