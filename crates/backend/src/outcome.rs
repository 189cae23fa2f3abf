//! From a result as a backend wrote it to an outcome of the core, in either era.

use std::time::Duration;

use isthmus_exchange::{
    BackendName, CacheHint, Complete, Continuation, CreatedTask, Error, ErrorKind, InputRequired,
    Outcome,
};
use isthmus_protocol::result::{InvalidResult, SplitResult, is_bare};
use isthmus_protocol::{Method, RawJson, tasks};

/// Reads the result of a stateful backend: it is complete, and a stray `resultType` means nothing (digest §3.0).
pub(crate) fn stateful(backend: &BackendName, result: &RawJson) -> Result<Outcome, Error> {
    let result = if is_bare(result) {
        result.clone()
    } else {
        split(backend, result)?.result
    };
    Ok(complete(result))
}

/// Reads the result of a stateless backend (MC-5, MC-6).
///
/// # Errors
///
/// `BackendMisbehaved` for a `resultType` that nobody asked for: only three methods may want input, and only a tool may
/// become a task. Whether this caller can follow one is not known here.
pub(crate) fn stateless(
    backend: &BackendName,
    method: &Method,
    result: &RawJson,
) -> Result<Outcome, Error> {
    if *method == Method::TasksGet {
        // Some write `task` here (digest §8): whatever it says, it is one.
        let task = SplitResult::parse_task(result).map_err(|error| no_object(backend, error))?;
        return Ok(complete(task.result));
    }
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
        Some("task") if *method == Method::ToolsCall => {
            if tasks::task_id(&split.result).is_none() {
                let text = format!("`{backend}` made a task and does not say which");
                return Err(misbehaved(backend, text));
            }
            Ok(Outcome::Task(CreatedTask { task: split.result }))
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
    SplitResult::parse(result).map_err(|error| no_object(backend, error))
}

const fn complete(result: RawJson) -> Outcome {
    Outcome::Complete(Complete {
        result,
        cache: None,
    })
}

fn no_object(backend: &BackendName, error: InvalidResult) -> Error {
    let text = format!("`{backend}` answered with a result that is no object");
    misbehaved(backend, text).caused_by(error)
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
        assert!(read(&Method::ToolsCall, r#"{"resultType":"odd"}"#).is_err());
        assert!(read(&Method::ToolsCall, r#"{"resultType":"task"}"#).is_err());
        assert!(read(&Method::PromptsGet, r#"{"resultType":"task","taskId":"1"}"#).is_err());
        assert!(read(&Method::ToolsCall, "[]").is_err());
    }

    #[test]
    fn a_tool_may_become_a_task_which_keeps_what_is_its_own() {
        let text = r#"{"resultType":"task","taskId":"1","ttlMs":5}"#;
        let Ok(Outcome::Task(created)) = read(&Method::ToolsCall, text) else {
            panic!("no task")
        };
        assert_eq!(created.task.as_str(), r#"{"taskId":"1","ttlMs":5}"#);
        for kind in ["complete", "task"] {
            let text = format!(r#"{{"resultType":"{kind}","ttlMs":5,"inputRequests":{{}}}}"#);
            let Ok(Outcome::Complete(task)) = read(&Method::TasksGet, &text) else {
                panic!("not complete")
            };
            assert_eq!(task.result.as_str(), r#"{"ttlMs":5,"inputRequests":{}}"#);
        }
    }
}
