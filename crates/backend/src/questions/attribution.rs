//! Whose a question is that came without a stream of its own.
//!
//! On a pipe, and on the GET stream of a session, nothing says which call made the backend ask. It is told by what the
//! question names, or by there being nobody else; between callers who are strangers to each other it is never guessed
//! (digest §3.5, traps 10 and 11).

use isthmus_protocol::object::member_at;
use isthmus_protocol::{RawJson, tasks};

use crate::conversation::Asker;
use crate::traffic;

/// One call in flight during which a backend may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// By which the conversation knows it, also before it is sent.
    pub(crate) key: u64,
    /// The id it was sent with.
    pub(crate) request: Option<u64>,
    /// Who would be asked.
    pub(crate) asker: Option<Asker>,
    /// It waits for its user, and has left the backend to others meanwhile.
    pub(crate) waits: bool,
    /// Which questions it may be about.
    pub(crate) takes: Takes,
}

/// Which questions a call may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Any: one of the three methods that may ask.
    Any,
    /// Those of a task, which it fetches (`tasks/result`).
    OfTask(String),
    /// Those that come on its own stream or name it: a request that usually asks nobody.
    ItsOwn,
}

/// What a question says of where it belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    task: Option<String>,
    request: Option<u64>,
}

impl Hints {
    /// Whether the question belongs to a task.
    pub(crate) const fn name_a_task(&self) -> bool {
        self.task.is_some()
    }

    /// Reads them from the parameters of a question.
    pub(crate) fn of(params: &RawJson) -> Self {
        let token = member_at(params, &["_meta", "progressToken"]);
        Self {
            task: tasks::related_task(params),
            request: token.and_then(|token| traffic::request_of(&token)),
        }
    }
}

/// Which of `calls`, in the order in which they began, a question belongs to; `None` while that cannot be told.
pub(crate) fn owner<'c>(
    calls: impl Iterator<Item = &'c Candidate> + Clone,
    hints: &Hints,
) -> Option<u64> {
    let sent = calls.filter(|call| call.request.is_some());
    if let Some(task) = &hints.task {
        let mut fetching =
            sent.filter(|call| matches!(&call.takes, Takes::OfTask(own) if own == task));
        return fetching.next().map(|call| call.key);
    }
    if hints.request.is_some()
        && let Some(named) = sent.clone().find(|call| call.request == hints.request)
    {
        return Some(named.key);
    }
    let running = sent.filter(|call| call.takes == Takes::Any);
    let busy = running.clone().filter(|call| !call.waits);
    if busy.clone().next().is_some() {
        newest_of_one_client(busy)
    } else {
        newest_of_one_client(running)
    }
}

/// Whether a call of `asker` may begin beside `calls` without making it doubtful whose a question is.
pub(crate) fn may_run<'c>(
    mut calls: impl Iterator<Item = &'c Candidate>,
    asker: Option<Asker>,
) -> bool {
    calls.all(|call| call.waits || call.takes != Takes::Any || is_same_client(call.asker, asker))
}

fn newest_of_one_client<'c>(mut calls: impl Iterator<Item = &'c Candidate>) -> Option<u64> {
    let mut newest = calls.next()?;
    for call in calls {
        if !is_same_client(newest.asker, call.asker) {
            return None;
        }
        newest = call;
    }
    Some(newest.key)
}

/// One client with an open session may be asked during any of its calls: it is the same person. Detached callers share a
/// scope and nothing else.
fn is_same_client(one: Option<Asker>, other: Option<Asker>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.live && other.live && one.scope == other.scope,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use isthmus_exchange::ScopeId;

    use super::*;

    const ALICE: Option<Asker> = Some(Asker {
        scope: ScopeId(1),
        live: true,
    });
    const BOB: Option<Asker> = Some(Asker {
        scope: ScopeId(2),
        live: true,
    });
    const DETACHED: Option<Asker> = Some(Asker {
        scope: ScopeId(3),
        live: false,
    });

    /// A call that was sent with an id ten times its key.
    fn call(key: u64, asker: Option<Asker>) -> Candidate {
        Candidate {
            key,
            request: Some(10 * key),
            asker,
            waits: false,
            takes: Takes::Any,
        }
    }

    fn waiting(key: u64, asker: Option<Asker>) -> Candidate {
        Candidate {
            waits: true,
            ..call(key, asker)
        }
    }

    fn check(calls: &[Candidate], expected: Option<u64>) {
        let found = owner(calls.iter(), &Hints::default());
        assert_eq!(found, expected, "{calls:?}");
    }

    fn hinted(calls: &[Candidate], params: &str) -> Option<u64> {
        let params = RawJson::parse(params.to_owned()).unwrap();
        owner(calls.iter(), &Hints::of(&params))
    }

    #[test]
    fn the_only_call_in_flight_is_the_one_and_one_client_is_asked_in_its_newest() {
        check(&[], None);
        check(&[call(1, ALICE)], Some(1));
        check(&[call(1, None)], Some(1));
        check(&[call(1, DETACHED)], Some(1));
        check(&[call(1, ALICE), call(2, ALICE)], Some(2));
        let unsent = Candidate {
            request: None,
            ..call(2, BOB)
        };
        check(&[call(1, ALICE), unsent], Some(1));
    }

    #[test]
    fn between_strangers_nothing_is_guessed() {
        check(&[call(1, ALICE), call(2, BOB)], None);
        check(&[call(1, ALICE), call(2, None)], None);
        check(&[call(1, None), call(2, None)], None);
        check(&[call(1, DETACHED), call(2, DETACHED)], None);
        check(&[call(1, ALICE), call(2, ALICE), call(3, BOB)], None);
    }

    #[test]
    fn whoever_waits_for_his_user_counts_last() {
        check(&[waiting(1, ALICE), call(2, BOB)], Some(2));
        check(&[call(1, BOB), waiting(2, ALICE)], Some(1));
        check(&[waiting(1, ALICE)], Some(1));
        check(&[waiting(1, ALICE), waiting(2, ALICE)], Some(2));
        check(&[waiting(1, ALICE), waiting(2, BOB)], None);
        check(&[waiting(1, ALICE), call(2, BOB), call(3, ALICE)], None);
    }

    #[test]
    fn a_question_that_names_its_call_belongs_to_it() {
        let calls = [call(1, ALICE), call(2, BOB)];
        let token = traffic::progress_token(10);
        let named = format!(r#"{{"_meta":{{"progressToken":{token}}}}}"#);
        assert_eq!(hinted(&calls, &named), Some(1));
        // A token that the backend chose itself says nothing.
        assert_eq!(hinted(&calls, r#"{"_meta":{"progressToken":10}}"#), None);
        assert_eq!(
            hinted(&calls[..1], r#"{"_meta":{"progressToken":"x"}}"#),
            Some(1)
        );
    }

    #[test]
    fn a_question_of_a_task_belongs_to_whoever_fetches_them_and_to_nobody_else() {
        let fetching = Candidate {
            takes: Takes::OfTask("t".to_owned()),
            ..call(2, BOB)
        };
        let calls = [call(1, ALICE), fetching];
        let of = |task: &str| {
            let key = "io.modelcontextprotocol/related-task";
            format!(r#"{{"_meta":{{"{key}":{{"taskId":"{task}"}}}}}}"#)
        };
        assert_eq!(hinted(&calls, &of("t")), Some(2));
        assert_eq!(hinted(&calls, &of("u")), None);
        assert_eq!(hinted(&calls, "{}"), Some(1));
        assert_eq!(hinted(&calls[1..], "{}"), None);
        let completing = Candidate {
            takes: Takes::ItsOwn,
            ..call(2, BOB)
        };
        check(&[call(1, ALICE), completing.clone()], Some(1));
        check(&[completing], None);
    }

    #[test]
    fn only_one_client_runs_at_a_time_and_whoever_waits_is_in_nobodys_way() {
        let may = |calls: &[Candidate], asker| may_run(calls.iter(), asker);
        assert!(may(&[], ALICE) && may(&[], None));
        assert!(may(&[call(1, ALICE)], ALICE));
        assert!(!may(&[call(1, ALICE)], BOB));
        assert!(!may(&[call(1, DETACHED)], DETACHED));
        assert!(!may(&[call(1, None)], None));
        assert!(may(&[waiting(1, DETACHED), waiting(2, ALICE)], BOB));
    }
}
