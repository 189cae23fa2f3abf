//! The error by which a backend of 2025-11-25 says that its user has to visit pages first (`-32042`; digest §3.3, trap 22).
//!
//! Nothing has to wait for that: the call has ended, and is sent anew once the user has been there. A caller of another
//! era is told by `input_required`; one that knows the error gets it with ids of ours.

use isthmus_exchange::{
    BackendName, Caller, Continuation, Error, ErrorKind, InputRequired, Outcome,
};
use isthmus_protocol::object::{self, ObjectEdit, assemble, assemble_array, string_member};
use isthmus_protocol::{JsonRpcError, Method, RawJson, code};

use crate::asking;
use crate::traffic::exposed_elicitation_id;

/// The pages that a backend's error names; `None` if it is another error, or cannot be read.
fn pages(error: &Error) -> Option<(&BackendName, &JsonRpcError, Vec<RawJson>)> {
    let ErrorKind::Answered { backend, error } = error.kind() else {
        return None;
    };
    if error.code != code::URL_ELICITATION_REQUIRED {
        return None;
    }
    let listed = object::member(error.data.as_ref()?, MEMBER)?;
    let pages = object::elements(&listed)?;
    let sound = pages
        .iter()
        .all(|page| string_member(page, "url").is_some() && string_member(page, ID).is_some());
    (sound && !pages.is_empty() && pages.len() <= asking::MOST_AT_ONCE)
        .then_some((backend, error, pages))
}

/// The error as a live caller may have it: the ids are ours.
pub(crate) fn with_own_ids(error: Error) -> Error {
    let Some((backend, answered, pages)) = pages(&error) else {
        return error;
    };
    let pages: Vec<RawJson> = pages
        .iter()
        .map(|page| {
            let id = string_member(page, ID).unwrap_or_default();
            let id = RawJson::string(&exposed_elicitation_id(backend, &id));
            ObjectEdit::new(page).set(ID, id).finish()
        })
        .collect();
    let data = answered.data.clone().unwrap_or_else(RawJson::empty_object);
    let mut answered = answered.clone();
    answered.data = Some(
        ObjectEdit::new(&data)
            .set(MEMBER, assemble_array(&pages))
            .finish(),
    );
    Error::answered(backend.clone(), answered)
}

/// What a caller that is asked by outcomes is told instead.
///
/// # Errors
///
/// `MissingCapability` if it cannot send its user anywhere; else the error itself, if it is another one.
pub(crate) fn as_questions(error: Error, caller: &Caller) -> Result<Outcome, Error> {
    let Some((backend, _, pages)) = pages(&error) else {
        return Err(error);
    };
    let mut elicitations = Vec::with_capacity(pages.len());
    let mut requests = Vec::with_capacity(pages.len());
    for (at, page) in pages.iter().enumerate() {
        elicitations.push(string_member(page, ID).unwrap_or_default());
        let params = ObjectEdit::new(page)
            .set("mode", RawJson::string("url"))
            .remove(ID)
            .finish();
        let method = Method::ElicitationCreate;
        if let Some(refusal) = asking::refusal(&caller.capabilities, backend, &method, &params) {
            return Err(refusal);
        }
        let method = RawJson::string(method.as_str());
        let request = assemble([("method", method), ("params", params)]);
        requests.push((format!("u{}", at + 1), request));
    }
    let requests = requests.iter();
    let requests = assemble(requests.map(|(key, request)| (key.as_str(), request.clone())));
    Ok(Outcome::InputRequired(InputRequired {
        requests: Some(requests),
        state: Some(Continuation::Restart { elicitations }),
    }))
}

/// Whether the user agreed to visit the pages: then the call may be sent anew.
///
/// # Errors
///
/// `CannotAsk` if the user did not.
pub(crate) fn agreed(backend: &BackendName, responses: Option<&RawJson>) -> Result<(), Error> {
    let responses = responses.and_then(|responses| object::members(responses).ok());
    let refused = responses.unwrap_or_default().iter().any(|(_, answer)| {
        let action = string_member(answer, "action");
        action.is_some_and(|action| action != "accept")
    });
    if refused {
        let text =
            format!("`{backend}` needs its user to visit a page first, and the user did not");
        return Err(Error::new(ErrorKind::CannotAsk(backend.clone()), text));
    }
    Ok(())
}

const MEMBER: &str = "elicitations";
const ID: &str = "elicitationId";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use isthmus_exchange::{Attachment, ClientCapabilities, Principal, Scope, ScopeId};
    use isthmus_protocol::Revision;

    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    fn error(data: &str) -> Error {
        let mut answered = JsonRpcError::new(-32042, "log in first");
        answered.data = Some(json(data));
        Error::answered(BackendName::parse("b").unwrap(), answered)
    }

    fn caller(declared: &str) -> Caller {
        let principal = Principal::anonymous();
        Caller {
            scope: Arc::new(Scope::principal(ScopeId(1), principal.id().clone())),
            principal,
            revision: Revision::V2026_07_28,
            capabilities: Arc::new(ClientCapabilities::parse(json(declared)).unwrap()),
            client_info: None,
            attachment: Attachment::Detached,
            address: None,
        }
    }

    const TWO: &str = r#"{"x":1,"elicitations":[
        {"mode":"url","elicitationId":"a","url":"https://e.example/a","message":"A"},
        {"elicitationId":"b","url":"https://e.example/b","message":"B"}]}"#;

    #[test]
    fn each_page_becomes_a_question_and_the_call_starts_over() {
        let outcome = as_questions(error(TWO), &caller(r#"{"elicitation":{"url":{}}}"#));
        let Ok(Outcome::InputRequired(InputRequired { requests, state })) = outcome else {
            panic!("{outcome:?}")
        };
        let elicitations = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(state, Some(Continuation::Restart { elicitations }));
        let requests = requests.unwrap();
        let second = object::member(&requests, "u2").unwrap();
        assert_eq!(
            second.as_str(),
            r#"{"method":"elicitation/create","params":{"url":"https://e.example/b","message":"B","mode":"url"}}"#
        );
        assert!(!requests.as_str().contains(ID));
    }

    #[test]
    fn a_client_that_opens_no_pages_is_told_so() {
        let refused = as_questions(error(TWO), &caller(r#"{"elicitation":{}}"#)).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::MissingCapability(_)));
    }

    #[test]
    fn what_cannot_be_read_stays_the_error_it_is() {
        for data in [
            "7",
            "{}",
            r#"{"elicitations":[]}"#,
            r#"{"elicitations":[{"url":"x"}]}"#,
        ] {
            let caller = caller(r#"{"elicitation":{"url":{}}}"#);
            let kept = as_questions(error(data), &caller).unwrap_err();
            assert!(matches!(kept.kind(), ErrorKind::Answered { .. }), "{data}");
            assert!(matches!(
                with_own_ids(error(data)).kind(),
                ErrorKind::Answered { .. }
            ));
        }
    }

    #[test]
    fn a_live_caller_gets_the_error_with_ids_that_are_not_the_backends() {
        let ours = with_own_ids(error(TWO));
        let ErrorKind::Answered { error, backend } = ours.kind() else {
            panic!("{ours:?}")
        };
        let data = error.data.as_ref().unwrap();
        let pages = object::elements(&object::member(data, MEMBER).unwrap()).unwrap();
        let id = string_member(&pages[0], ID).unwrap();
        assert_eq!(id, exposed_elicitation_id(backend, "a"));
        assert_ne!(id, "a");
        assert_eq!(object::member(data, "x").unwrap().as_str(), "1");
    }

    #[test]
    fn a_user_who_declines_is_not_sent_round_again() {
        let backend = BackendName::parse("b").unwrap();
        let agreed = |text: &str| agreed(&backend, Some(&json(text)));
        assert!(agreed(r#"{"u1":{"action":"accept"}}"#).is_ok());
        assert!(agreed("{}").is_ok());
        let refused = agreed(r#"{"u1":{"action":"accept"},"u2":{"action":"decline"}}"#);
        assert!(matches!(
            refused.unwrap_err().kind(),
            ErrorKind::CannotAsk(_)
        ));
    }
}
