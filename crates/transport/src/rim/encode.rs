//! The steps of a reply as messages for whoever asked, in the revision it speaks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use isthmus_exchange::{
    ClientCapabilities, Complete, Continuation, CreatedTask, Error, ErrorKind, Event,
    InputRequired, LogRecord, Notice, Outcome, Scope,
};
use isthmus_protocol::convert::{downgrade_capabilities, downgrade_progress, downgrade_result};
use isthmus_protocol::message::{write_notification, write_result};
use isthmus_protocol::params::meta_key;
use isthmus_protocol::result::stamp_result_stateless;
use isthmus_protocol::{Id, LogLevel, Method, RawJson, Revision, object};

use super::{notice, tasks};
use crate::respond::{self, Answer, Asked};

/// Writes what one request leads to.
#[derive(Debug)]
pub(crate) struct Encoder {
    id: Id,
    method: Method,
    progress_token: Option<RawJson>,
    capabilities: Arc<ClientCapabilities>,
    speech: Speech,
}

/// How the client wants to hear it.
#[derive(Debug)]
enum Speech {
    /// As of 2026-07-28.
    Stateless {
        /// Log messages of this request, at least this severe.
        log_level: Option<LogLevel>,
        /// The gateway's own.
        server_info: RawJson,
    },
    /// As of the negotiated revision.
    Stateful {
        revision: Revision,
        /// Knows the session's log level.
        scope: Arc<Scope>,
    },
}

/// A response and the HTTP status it deserves.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) status: StatusCode,
    pub(crate) message: Bytes,
    pub(crate) retry_after: Option<Duration>,
    /// The scopes that the credential should have had.
    pub(crate) lacking: Option<Arc<[String]>>,
}

impl Encoder {
    pub(crate) fn stateless(
        id: Id,
        method: Method,
        progress_token: Option<RawJson>,
        log_level: Option<LogLevel>,
        capabilities: Arc<ClientCapabilities>,
        server_info: RawJson,
    ) -> Self {
        let speech = Speech::Stateless {
            log_level,
            server_info,
        };
        Self {
            id,
            method,
            progress_token,
            capabilities,
            speech,
        }
    }

    pub(crate) fn stateful(
        id: Id,
        method: Method,
        progress_token: Option<RawJson>,
        revision: Revision,
        capabilities: Arc<ClientCapabilities>,
        scope: Arc<Scope>,
    ) -> Self {
        Self {
            id,
            method,
            progress_token,
            capabilities,
            speech: Speech::Stateful { revision, scope },
        }
    }

    pub(crate) const fn id(&self) -> &Id {
        &self.id
    }

    /// The message for an event; `None` if this client is not told of it.
    pub(crate) fn event(&self, event: Event) -> Option<Bytes> {
        match (event, &self.speech) {
            (Event::Progress(progress), _) => self.progress(&progress.params),
            (Event::Log(record), _) => self.log(&record),
            // Log messages of no request never go to a listen stream (26:basic/patterns/subscriptions).
            (Event::Notice(Notice::Log(_)), _) => None,
            (Event::Notice(event), Speech::Stateless { .. }) => {
                notice::write(&event, Some(self.id.raw()), None)
            }
            (Event::Acknowledged(acknowledged), Speech::Stateless { .. }) => {
                let id = self.id.raw();
                Some(notice::acknowledgement(&acknowledged.filter, id))
            }
            // Whoever can be asked is asked by the rim that runs the call; dropping a question tells the backend rim that
            // nobody could be. Sessions hear of changes on a stream of their own.
            (Event::Question(_) | Event::Notice(_) | Event::Acknowledged(_), _) => None,
        }
    }

    /// The response.
    pub(crate) fn outcome(&self, outcome: Result<Outcome, Error>) -> Encoded {
        match outcome {
            Ok(Outcome::Complete(complete)) => {
                let message = write_result(&self.id, &self.complete(&complete));
                Encoded::ok(message)
            }
            Ok(Outcome::InputRequired(required)) => self.input_required(&required),
            Ok(Outcome::Task(created)) => self.task(&created),
            Err(error) => {
                let answer = self.answer(&respond::answer(&error, self.asked()));
                let lacking = match error.kind() {
                    ErrorKind::InsufficientScope { scopes } => Some(scopes.clone()),
                    _ => None,
                };
                Encoded { lacking, ..answer }
            }
        }
    }

    /// The response that ends a listen stream (MS-21).
    pub(crate) fn end_of_listen(&self) -> Bytes {
        let ended = Complete {
            result: RawJson::empty_object(),
            cache: None,
        };
        write_result(&self.id, &self.complete(&ended))
    }

    fn progress(&self, params: &RawJson) -> Option<Bytes> {
        let token = self.progress_token.as_ref()?;
        let params = match self.speech {
            Speech::Stateless { .. } => params.clone(),
            Speech::Stateful { revision, .. } => downgrade_progress(params, revision),
        };
        let params = object::ObjectEdit::new(&params)
            .set(meta_key::PROGRESS_TOKEN, token.clone())
            .finish();
        Some(write_notification(&Method::Progress, Some(&params)))
    }

    fn log(&self, record: &LogRecord) -> Option<Bytes> {
        let wanted = match &self.speech {
            // Nothing unless this request asked for it (MS-23).
            Speech::Stateless { log_level, .. } => log_level.is_some_and(|l| record.level >= l),
            Speech::Stateful { scope, .. } => scope.log_level().is_none_or(|l| record.level >= l),
        };
        wanted.then(|| write_notification(&Method::LogMessage, Some(&record.params)))
    }

    fn complete(&self, complete: &Complete) -> RawJson {
        let Speech::Stateless { server_info, .. } = &self.speech else {
            return self.downgraded(&complete.result);
        };
        let cache = is_cacheable(&self.method).then(|| {
            complete
                .cache
                .map_or((Duration::ZERO, false), |hint| (hint.ttl, hint.public))
        });
        let listen = self.method == Method::SubscriptionsListen;
        let subscription = listen.then(|| self.id.raw());
        if self.method == Method::ServerDiscover {
            let versions = RawJson::from_serialize(&respond::served());
            let mut edit = object::ObjectEdit::new(&complete.result);
            if let Some(offered) = object::member(&complete.result, "capabilities") {
                let offered = downgrade_capabilities(&offered, Revision::V2026_07_28);
                edit = edit.set("capabilities", offered);
            }
            let result = edit.set("supportedVersions", versions).finish();
            return stamp_result_stateless(&result, "complete", cache, server_info, None);
        }
        stamp_result_stateless(
            &complete.result,
            "complete",
            cache,
            server_info,
            subscription,
        )
    }

    fn downgraded(&self, result: &RawJson) -> RawJson {
        match self.speech {
            Speech::Stateful { revision, .. } => downgrade_result(&self.method, result, revision),
            Speech::Stateless { .. } => result.clone(),
        }
    }

    fn input_required(&self, required: &InputRequired) -> Encoded {
        let Speech::Stateless { server_info, .. } = &self.speech else {
            return self.defect("a request of a session was answered with `input_required`");
        };
        let requests = required.requests.clone().map(|r| ("inputRequests", r));
        // Whatever a backend gave was sealed by the router.
        let state = match &required.state {
            Some(Continuation::Opaque(state)) => Some(("requestState", RawJson::string(state))),
            _ => None,
        };
        let result = object::assemble(requests.into_iter().chain(state));
        let result = stamp_result_stateless(&result, "input_required", None, server_info, None);
        Encoded::ok(write_result(&self.id, &result))
    }

    fn task(&self, created: &CreatedTask) -> Encoded {
        let Speech::Stateless { server_info, .. } = &self.speech else {
            return Encoded::ok(write_result(&self.id, &tasks::created(created)));
        };
        let result = stamp_result_stateless(&created.task, "task", None, server_info, None);
        Encoded::ok(write_result(&self.id, &result))
    }

    /// What whoever is in front of this rim must not answer.
    fn defect(&self, what: &'static str) -> Encoded {
        self.answer(&respond::answer(&Error::internal(what), self.asked()))
    }

    fn answer(&self, answer: &Answer) -> Encoded {
        let mut answer = answer.clone();
        if let Ok(result) = answer.body {
            let complete = Complete {
                result,
                cache: None,
            };
            answer.body = Ok(self.complete(&complete));
        }
        Encoded {
            status: answer.status,
            message: answer.write(Some(&self.id)),
            retry_after: answer.retry_after,
            lacking: None,
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            revision: match self.speech {
                Speech::Stateless { .. } => Revision::V2026_07_28,
                Speech::Stateful { revision, .. } => revision,
            },
            method: &self.method,
            capabilities: &self.capabilities,
        }
    }
}

impl Encoded {
    const fn ok(message: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            message,
            retry_after: None,
            lacking: None,
        }
    }
}

/// The results that must say how long they may be kept (digest §1.12).
const fn is_cacheable(method: &Method) -> bool {
    matches!(
        method,
        Method::ServerDiscover
            | Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourcesTemplatesList
            | Method::ResourcesRead
    )
}
