//! From a `result` object as it came to an outcome of the core.

use std::time::Duration;

use isthmus_exchange::{
    BackendName, CacheHint, Complete, Error, ErrorKind, InputRequired, Outcome,
};
use isthmus_protocol::RawJson;
use isthmus_protocol::result::SplitResult;

/// A result of a stateful backend. A stray `resultType` means nothing there (digest §3.0).
pub(super) fn stateful(backend: &BackendName, result: &RawJson) -> Result<Outcome, Error> {
    let split = split(backend, result)?;
    Ok(Outcome::Complete(Complete {
        result: split.result,
        cache: None,
    }))
}

/// A result of a stateless backend (MC-5). A missing `resultType` counts as `complete`: some servers still omit it.
pub(super) fn stateless(backend: &BackendName, result: &RawJson) -> Result<Outcome, Error> {
    let split = split(backend, result)?;
    match split.result_type.as_deref() {
        None | Some("complete") => {
            let cache = split.ttl_ms.map(|milliseconds| CacheHint {
                ttl: Duration::from_millis(milliseconds),
                public: split.cache_scope.as_deref() == Some("public"),
            });
            Ok(Outcome::Complete(Complete {
                result: split.result,
                cache,
            }))
        }
        Some("input_required")
            if split.input_requests.is_none() && split.request_state.is_none() =>
        {
            Err(misbehaved(backend, "asks for input without saying which"))
        }
        Some("input_required") => Ok(Outcome::InputRequired(InputRequired {
            requests: split.input_requests,
            state: split.request_state,
        })),
        Some(other) => {
            let what = format!("answered with a result of the unknown type `{other}`");
            Err(misbehaved(backend, &what))
        }
    }
}

/// The backend said something that the protocol does not allow.
pub(super) fn misbehaved(backend: &BackendName, what: &str) -> Error {
    let kind = ErrorKind::BackendMisbehaved(backend.clone());
    Error::new(kind, format!("backend `{backend}` {what}"))
}

fn split(backend: &BackendName, result: &RawJson) -> Result<SplitResult, Error> {
    SplitResult::parse(result).map_err(|error| {
        misbehaved(backend, "answered with a result that is not an object").caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: &str, stateless_expected: &str, stateful_expected: &str) {
        let backend = BackendName::parse("b").unwrap();
        let result = RawJson::parse(result.to_owned()).unwrap();
        for (read, expected) in [
            (stateless as fn(&_, &_) -> _, stateless_expected),
            (stateful, stateful_expected),
        ] {
            let shown = match read(&backend, &result) {
                Ok(Outcome::Complete(complete)) => complete.result.to_string(),
                Ok(Outcome::InputRequired(asked)) => format!("asks {:?}", asked.state),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn each_era_reads_a_result_by_its_own_rules() {
        check("{\"x\": 1.0}", "{\"x\": 1.0}", "{\"x\": 1.0}");
        check(
            "{\"x\":1,\"resultType\":\"complete\"}",
            "{\"x\":1}",
            "{\"x\":1}",
        );
        check(
            "{\"resultType\":\"input_required\",\"requestState\":\"s\"}",
            "asks Some(\"s\")",
            "{}",
        );
        check(
            "{\"resultType\":\"input_required\"}",
            "backend `b` asks for input without saying which",
            "{}",
        );
        check(
            "{\"resultType\":\"new\"}",
            "backend `b` answered with a result of the unknown type `new`",
            "{}",
        );
        let refused = "backend `b` answered with a result that is not an object";
        check("[]", refused, refused);
    }
}
