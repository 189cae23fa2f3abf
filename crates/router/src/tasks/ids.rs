//! From a backend's task id to ours and back.

use isthmus_exchange::{BackendName, PrincipalId};
use isthmus_protocol::RawJson;
use isthmus_seal::{Purpose, SealKeys};
use serde::{Deserialize, Serialize};

/// The tool whose call a task is: who may use the one may look after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct MadeBy {
    /// What its backend calls it.
    pub(crate) native: String,
    /// What its caller called it.
    pub(crate) exposed: String,
}

/// A task as its id says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskId {
    pub(crate) backend: BackendName,
    pub(crate) native: String,
    /// `None`: its backend has listed it, and nobody said what it is.
    pub(crate) made_by: Option<MadeBy>,
}

#[derive(Serialize, Deserialize)]
struct Sealed(String, String, Option<MadeBy>);

/// The id by which `principal` knows a task.
pub(crate) fn seal(keys: &SealKeys, principal: &PrincipalId, task: &TaskId) -> String {
    let TaskId {
        backend,
        native,
        made_by,
    } = task.clone();
    let text = RawJson::from_serialize(&Sealed(backend.as_str().to_owned(), native, made_by));
    keys.seal(Purpose::Task, principal.as_str(), text.as_bytes())
}

/// Which task an id means; `None` if it is no task of `principal`.
pub(crate) fn unseal(keys: &SealKeys, principal: &PrincipalId, id: &str) -> Option<TaskId> {
    if id.len() > LONGEST {
        return None;
    }
    let text = keys.unseal(Purpose::Task, principal.as_str(), id).ok()?;
    let Sealed(backend, native, made_by) = serde_json::from_slice(&text).ok()?;
    Some(TaskId {
        backend: BackendName::parse(&backend).ok()?,
        native,
        made_by,
    })
}

/// Bytes of an id that is worth opening.
const LONGEST: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use isthmus_exchange::Principal;

    use super::*;

    #[test]
    fn an_id_leads_its_own_principal_back_and_nobody_else() {
        let keys = SealKeys::generate();
        let anna = Principal::authenticated("test", "", "anna", "");
        let bert = Principal::authenticated("test", "", "bert", "");
        let made_by = MadeBy {
            native: "t".to_owned(),
            exposed: "b__t".to_owned(),
        };
        for native in ["1", "", "a\0b", "ü"] {
            for made_by in [None, Some(made_by.clone())] {
                let task = TaskId {
                    backend: BackendName::parse("b").unwrap(),
                    native: native.to_owned(),
                    made_by,
                };
                let id = seal(&keys, anna.id(), &task);
                assert_eq!(unseal(&keys, anna.id(), &id), Some(task));
                assert_eq!(unseal(&keys, bert.id(), &id), None);
                assert_eq!(unseal(&SealKeys::generate(), anna.id(), &id), None);
            }
        }
        for wrong in ["", "1", &"x".repeat(LONGEST + 1)] {
            assert_eq!(unseal(&keys, anna.id(), wrong), None);
        }
    }
}
