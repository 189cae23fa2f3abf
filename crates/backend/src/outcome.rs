//! From a result as a backend wrote it to an outcome of the core, in either era.

use std::time::Duration;

use isthmus_exchange::{
    BackendName, CacheHint, Complete, Continuation, Error, ErrorKind, InputRequired, Outcome,
};
use isthmus_protocol::result::{SplitResult, is_bare};
use isthmus_protocol::{Method, RawJson};

/// Reads the result of a stateful backend: it is complete, and a stray `resultType` means nothing (digest §3.0).
pub(crate) fn stateful(backend: &BackendName, result: &RawJson) -> Result<Outcome, Error> {
    let result = if is_bare(result) {
        result.clone()
    } else {
        split(backend, result)?.result
    };
    Ok(Outcome::Complete(Complete {
        result,
        cache: None,
    }))
}

/// Reads the result of a stateless backend (MC-5, MC-6).
///
/// # Errors
///
/// `BackendMisbehaved` for a `resultType` that nobody asked for: only three methods may want input, and no task was
/// offered.
pub(crate) fn stateless(
    backend: &BackendName,
    method: &Method,
    result: &RawJson,
) -> Result<Outcome, Error> {
    let split = split(backend, result)?;
    match split.result_type.as_deref() {
        // Absent in servers that grew out of an older revision.
        Some("complete") | None => {
            let cache = split.ttl_ms.map(|ms| CacheHint {
                ttl: Duration::from_millis(ms),
                public: split.cache_scope.as_deref() == Some("public"),
            });
            Ok(Outcome::Complete(Complete {
                result: split.result,
                cache,
            }))
        }
        Some("input_required") if may_ask(method) => {
            if split.input_requests.is_none() && split.request_state.is_none() {
                let text = format!("`{backend}` wants input and does not say which");
                return Err(misbehaved(backend, text));
            }
            Ok(Outcome::InputRequired(InputRequired {
                requests: split.input_requests,
                state: split.request_state.map(Continuation::Opaque),
            }))
        }
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            let text =
                format!("`{backend}` answered `{method}` with a result of the type `{other}`");
            Err(misbehaved(backend, text))
        }
    }
}

fn split(backend: &BackendName, result: &RawJson) -> Result<SplitResult, Error> {
    SplitResult::parse(result).map_err(|error| {
        misbehaved(
            backend,
            format!("`{backend}` answered with a result that is no object"),
        )
        .caused_by(error)
    })
}

const fn may_ask(method: &Method) -> bool {
    matches!(
        method,
        Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
    )
}

fn misbehaved(backend: &BackendName, text: String) -> Error {
    Error::new(ErrorKind::BackendMisbehaved(backend.clone()), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &Method, text: &str) -> Result<Outcome, Error> {
        let backend = BackendName::parse("b").unwrap();
        stateless(&backend, method, &RawJson::parse(text.to_owned()).unwrap())
    }

    #[test]
    fn a_complete_result_loses_what_belongs_to_the_hop_and_keeps_the_rest() {
        let text =
            r#"{"resultType":"complete","tools":[ ],"ttlMs":5000,"cacheScope":"public","x":1.0}"#;
        let Ok(Outcome::Complete(complete)) = read(&Method::ToolsList, text) else {
            panic!("not complete")
        };
        assert_eq!(complete.result.as_str(), r#"{"tools":[ ],"x":1.0}"#);
        let hint = complete.cache.unwrap();
        assert_eq!((hint.ttl, hint.public), (Duration::from_secs(5), true));
    }

    #[test]
    fn input_may_be_wanted_by_three_methods_only() {
        let text = r#"{"resultType":"input_required","requestState":"s"}"#;
        let asked = read(&Method::ToolsCall, text);
        assert!(
            matches!(asked, Ok(Outcome::InputRequired(InputRequired { state: Some(Continuation::Opaque(state)), .. })) if state == "s")
        );
        assert!(read(&Method::ToolsList, text).is_err());
        assert!(read(&Method::ToolsCall, r#"{"resultType":"input_required"}"#).is_err());
    }

    #[test]
    fn an_unknown_type_of_result_and_a_result_that_is_no_object_are_refused() {
        assert!(read(&Method::ToolsCall, r#"{"resultType":"task","taskId":"1"}"#).is_err());
        assert!(read(&Method::ToolsCall, "[]").is_err());
    }
}
