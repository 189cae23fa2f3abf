//! From a backend's task id to ours and back.

use isthmus_exchange::{BackendName, PrincipalId};
use isthmus_seal::{Purpose, SealKeys};

/// The id by which `principal` knows a task.
pub(crate) fn seal(
    keys: &SealKeys,
    principal: &PrincipalId,
    backend: &BackendName,
    native: &str,
) -> String {
    // A backend's name has no such character.
    let text = format!("{backend}\0{native}");
    keys.seal(Purpose::Task, principal.as_str(), text.as_bytes())
}

/// Whose task an id means, and how its backend knows it; `None` if it is no task of `principal`.
pub(crate) fn unseal(
    keys: &SealKeys,
    principal: &PrincipalId,
    id: &str,
) -> Option<(BackendName, String)> {
    if id.len() > LONGEST {
        return None;
    }
    let text = keys.unseal(Purpose::Task, principal.as_str(), id).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (backend, native) = text.split_once('\0')?;
    Some((BackendName::parse(backend).ok()?, native.to_owned()))
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
        let backend = BackendName::parse("b").unwrap();
        let anna = Principal::authenticated("test", "", "anna", "");
        let bert = Principal::authenticated("test", "", "bert", "");
        for native in ["1", "", "a\0b", "ü"] {
            let id = seal(&keys, anna.id(), &backend, native);
            let found = unseal(&keys, anna.id(), &id);
            assert_eq!(found, Some((backend.clone(), native.to_owned())));
            assert_eq!(unseal(&keys, bert.id(), &id), None);
            assert_eq!(unseal(&SealKeys::generate(), anna.id(), &id), None);
        }
        for wrong in ["", "1", &"x".repeat(LONGEST + 1)] {
            assert_eq!(unseal(&keys, anna.id(), wrong), None);
        }
    }
}
