//! What may be asked of a client, what counts as an answer, and what stands in for one that never comes.
//!
//! A backend gets no answer but a sound one. `inputResponses` has room for results only, so whoever could not be asked
//! is `cancel` to an elicitation, and the end of the call to everything else (digest §3.2, trap 9).

use isthmus_exchange::{Answer, BackendName, ClientCapabilities, Error, ErrorKind};
use isthmus_protocol::object::{member, members, string_member};
use isthmus_protocol::{JsonRpcError, Method, RawJson, code};

/// Whether `method` may be answered by a question first (MS-18).
pub(crate) const fn is_interactive(method: &Method) -> bool {
    matches!(
        method,
        Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
    )
}

/// Whether a backend may ask this of a client.
pub(crate) const fn is_question(method: &Method) -> bool {
    matches!(
        method,
        Method::ElicitationCreate | Method::SamplingCreateMessage | Method::RootsList
    )
}

/// Whether a question sends the user to a page.
pub(crate) fn leads_to_url(method: &Method, params: &RawJson) -> bool {
    *method == Method::ElicitationCreate && string_member(params, "mode").as_deref() == Some("url")
}

/// What a backend hears that asks what its caller did not declare: the same as of a client that knows no such method.
pub(crate) fn undeclared(method: &Method) -> Answer {
    let text = format!("the client of this call did not declare that it answers this `{method}`");
    Err(JsonRpcError::new(code::METHOD_NOT_FOUND, text))
}

/// What a caller hears whose backend asks what it did not declare.
pub(crate) fn missing_capability(
    backend: &BackendName,
    method: &Method,
    missing: RawJson,
) -> Error {
    let text = format!("`{backend}` asks the client by `{method}`, which it did not declare");
    Error::new(ErrorKind::MissingCapability(missing), text)
}

/// What `capabilities` lack for a question, as the error its caller gets.
pub(crate) fn refusal(
    capabilities: &ClientCapabilities,
    backend: &BackendName,
    method: &Method,
    params: &RawJson,
) -> Option<Error> {
    let missing = capabilities.missing_for(method, params)?;
    Some(missing_capability(backend, method, missing))
}

/// What a stateful backend hears in place of an answer that never came.
pub(crate) fn never_answered(method: &Method) -> Answer {
    match cancelled(method) {
        Some(cancelled) => Ok(cancelled),
        None => Err(JsonRpcError::new(NO_ANSWER, "the client did not answer")),
    }
}

/// The result that says nobody answered; `None` if there is no such result for the kind.
pub(crate) fn cancelled(method: &Method) -> Option<RawJson> {
    let elicitation = *method == Method::ElicitationCreate;
    elicitation.then(|| RawJson::assembled(&br#"{"action":"cancel"}"#[..]))
}

/// Whether `answer` is a result that `method` may have.
///
/// # Errors
///
/// What is wrong with it, for whoever sent it.
pub(crate) fn check_answer(method: &Method, answer: &RawJson) -> Result<(), &'static str> {
    if !answer.is_object() {
        return Err("is no object");
    }
    let is_object = |key| member(answer, key).is_some_and(|value: RawJson| value.is_object());
    match method {
        Method::ElicitationCreate => {
            let action = string_member(answer, "action").ok_or("has no `action`")?;
            if !["accept", "decline", "cancel"].contains(&action.as_str()) {
                return Err("has an `action` other than `accept`, `decline` and `cancel`");
            }
            if action == "accept" && member(answer, "content").is_some() && !is_object("content") {
                return Err("has a `content` that is no object");
            }
        }
        Method::SamplingCreateMessage
            if string_member(answer, "role").is_none() || member(answer, "content").is_none() =>
        {
            return Err("is no message: it needs `role` and `content`");
        }
        Method::RootsList => {
            let roots = member(answer, "roots").ok_or("has no `roots`")?;
            if !roots.as_bytes().starts_with(b"[") {
                return Err("has `roots` that are no list");
            }
        }
        _ => {}
    }
    Ok(())
}

/// One entry of `inputRequests`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Under which the answer goes back.
    pub(crate) key: String,
    /// What is asked.
    pub(crate) method: Method,
    /// How.
    pub(crate) params: RawJson,
}

/// The entries of an `inputRequests` object.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn entries(requests: &RawJson) -> Result<Vec<Entry>, String> {
    let members = members(requests).map_err(|_| "`inputRequests` is no object".to_owned())?;
    if members.len() > MOST_AT_ONCE {
        return Err(format!("it asks {} things at once", members.len()));
    }
    let entries = members.into_iter().map(|(key, request)| {
        let name = string_member(&request, "method")
            .ok_or_else(|| format!("`{key}` of `inputRequests` has no method"))?;
        let method = Method::parse(&name);
        if !is_question(&method) {
            let name: String = name.chars().take(40).collect();
            return Err(format!("`{key}` of `inputRequests` is a `{name}`"));
        }
        let params = member(&request, "params").filter(RawJson::is_object);
        Ok(Entry {
            key,
            method,
            params: params.unwrap_or_else(RawJson::empty_object),
        })
    });
    entries.collect()
}

/// How many questions of one call may be open at a time.
pub(crate) const MOST_AT_ONCE: usize = 64;
/// How many questions one call may ask in all: a backend that asks for ever is stopped.
pub(crate) const MOST_IN_ALL: u32 = 1_000;
/// Sampling and roots that nobody answered.
const NO_ANSWER: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn an_answer_has_to_be_a_result_of_its_kind() {
        let ask = Method::ElicitationCreate;
        for sound in [
            r#"{"action":"accept","content":{}}"#,
            r#"{"action":"accept"}"#,
            r#"{"action":"decline"}"#,
            r#"{"action":"cancel","content":null}"#,
        ] {
            assert_eq!(check_answer(&ask, &json(sound)), Ok(()), "{sound}");
        }
        for unsound in [
            "7",
            "[]",
            "{}",
            r#"{"action":1}"#,
            r#"{"action":"yes"}"#,
            r#"{"action":"accept","content":[]}"#,
        ] {
            assert!(check_answer(&ask, &json(unsound)).is_err(), "{unsound}");
        }
        let sample = |text| check_answer(&Method::SamplingCreateMessage, &json(text)).is_ok();
        assert!(sample(
            r#"{"role":"assistant","content":{"type":"text","text":"x"},"model":"m"}"#
        ));
        assert!(!sample(r#"{"action":"accept"}"#));
        let roots = |text| check_answer(&Method::RootsList, &json(text)).is_ok();
        assert!(roots(r#"{"roots":[]}"#));
        assert!(!roots("{}") && !roots(r#"{"roots":{}}"#));
    }

    #[test]
    fn only_three_kinds_of_requests_can_be_put_to_a_client() {
        let read = |text: &str| entries(&json(text));
        let asked = read(
            r#"{"a":{"method":"roots/list"},"b":{"method":"elicitation/create","params":{"x":1}}}"#,
        );
        let asked = asked.unwrap();
        assert_eq!(
            (asked[0].key.as_str(), &asked[0].method),
            ("a", &Method::RootsList)
        );
        assert_eq!(asked[0].params.as_str(), "{}");
        assert_eq!(asked[1].params.as_str(), r#"{"x":1}"#);
        assert!(read(r#"{"a":{"method":"tools/call"}}"#).is_err());
        assert!(read(r#"{"a":{}}"#).is_err());
        assert!(read("[]").is_err());
    }

    #[test]
    fn nobody_answering_is_a_cancel_where_there_is_one_and_an_error_elsewhere() {
        let answer = never_answered(&Method::ElicitationCreate).unwrap();
        assert_eq!(answer.as_str(), r#"{"action":"cancel"}"#);
        assert!(never_answered(&Method::RootsList).is_err());
        assert!(never_answered(&Method::SamplingCreateMessage).is_err());
    }
}
