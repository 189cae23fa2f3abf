//! One call from the moment a backend has it to its reply: which conversation, what it declares, who may be asked.
//!
//! A caller that can be asked in place gets questions as events; towards a stateless backend they are made of its rounds
//! (`rounds.rs`). Any other caller gets them as an outcome, and towards a stateful backend its call is parked meanwhile
//! (`parking/`).

use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{
    Attachment, BackendName, Caller, Continuation, Error, ErrorKind, Outcome, Reply, Request,
    Retry, Step,
};
use isthmus_protocol::object::{self, ObjectEdit};
use isthmus_protocol::{Era, JsonRpcError, LogLevel, Method, RawJson, code};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::asking::{self, Entry};
use crate::backend::Backend;
use crate::capabilities::answerable;
use crate::conversation::{Asker, Outgoing};
use crate::held::{Asked, Heard, Held, Patience};
use crate::parking::{Parkable, Seed};
use crate::pool::Lease;
use crate::rounds::Rounds;
use crate::tasks::{self, Follow, Sent};
use crate::url_elicitation;

/// What is known of a call besides what goes to the backend.
struct Call {
    caller: Arc<Caller>,
    method: Method,
    deadline: Option<Instant>,
    /// Which log messages the caller hears.
    log_level: Option<LogLevel>,
    /// Which level a stateful backend is asked for.
    raise_to: Option<LogLevel>,
    retry: Option<Retry>,
    /// What the caller makes of a task.
    follow: Follow,
}

impl Backend {
    /// Sends one call, in native names, through the conversation that its caller may use.
    ///
    /// Dropping the future or the reply cancels the call at the backend in its era's way; not once it has answered
    /// `InputRequired`.
    ///
    /// # Errors
    ///
    /// `Overloaded` when the queue is full, `BackendUnavailable`, `TimedOut`, `BackendMisbehaved`, `MissingCapability` if the
    /// backend wants to ask what the caller did not declare, or what it answered.
    pub async fn call(&self, mut request: Request) -> Result<Reply, Error> {
        if let Some(retry) = request.retry.take() {
            request.retry = self.continued(retry).await?;
        }
        let place = self.admission().admit(self.name()).await?;
        let (call, mut outgoing) = self.outgoing(request);
        let deadline = call
            .deadline
            .unwrap_or_else(|| Instant::now() + self.patience(&call.method));
        let sending = async {
            match self.send(&call, outgoing.clone()).await {
                Err(error) if answered_with(&error, code::HEADER_MISMATCH) => {
                    // The tool's schema has changed under us: look again and try once more (MC-2).
                    outgoing.tool = self.fresh_definition(&outgoing).await?;
                    self.send(&call, outgoing.clone()).await
                }
                sent => sent,
            }
        };
        let sent = tokio::time::timeout_at(deadline, sending)
            .await
            .unwrap_or_else(|_| Err(self.timed_out()));
        match sent {
            Ok((lease, sent)) => self.attend(&call, (place, lease), deadline, sent),
            Err(error) => {
                ending(self.name(), &call.caller, &call.method, Err(error)).map(Reply::ready)
            }
        }
    }

    /// What is left of a retry for the backend to see.
    async fn continued(&self, retry: Retry) -> Result<Option<Retry>, Error> {
        match &retry.state {
            Some(Continuation::Restart { elicitations }) => {
                url_elicitation::agreed(self.name(), retry.responses.as_ref())?;
                self.pool().elicited(self.name(), elicitations).await;
                Ok(None)
            }
            // Parked calls do not come this way.
            Some(Continuation::Parked { .. }) => {
                let text = "the interaction expired; send the call again";
                Err(Error::new(ErrorKind::Expired, text))
            }
            Some(Continuation::Opaque(_)) | None => Ok(Some(retry)),
        }
    }

    fn outgoing(&self, request: Request) -> (Call, Outgoing) {
        let follow = Follow::of(&request);
        let caller = request.caller;
        let live = caller.attachment == Attachment::Live;
        // Before a session sets its level, which messages it hears is the backend's choice (LS-15).
        let own_choice =
            caller.revision.era() == Era::Stateful && caller.scope.log_level().is_none();
        let log_level = request.wants.log_level;
        let asked = self.pool().may_ask()
            && (live || asking::is_interactive(&request.method) || tasks::may_ask(&request.method));
        let asker = asked.then(|| Asker {
            scope: caller.scope.id(),
            live,
        });
        let outgoing = Outgoing {
            method: request.method.clone(),
            params: request.params,
            wants: request.wants,
            trace: request.trace,
            capabilities: answerable(&caller),
            tool: request
                .target
                .and_then(|target| target.item)
                .map(|item| item.native_definition.clone()),
            asker,
        };
        let call = Call {
            caller,
            method: request.method,
            deadline: request.deadline,
            log_level: if own_choice {
                Some(LogLevel::Debug)
            } else {
                log_level
            },
            raise_to: log_level.filter(|_| !own_choice),
            retry: request.retry,
            follow,
        };
        (call, outgoing)
    }

    async fn send(&self, call: &Call, outgoing: Outgoing) -> Result<(Arc<Lease>, Sent), Error> {
        let lease = self.lease_for(call).await?;
        let outgoing = match &call.retry {
            Some(retry) if speaks(&lease, Era::Stateless) => outgoing.with_retry(retry),
            _ => outgoing,
        };
        match self.send_in(&lease, call, outgoing.clone()).await {
            Ok(sent) => Ok((lease, sent)),
            // The backend ended our session and said so with 404: it did not accept the request, so sending it once more
            // is safe (digest §3.3).
            Err(error) if matches!(error.kind(), ErrorKind::SessionUnknown) => {
                drop(lease);
                let lease = self.lease_for(call).await?;
                match self.send_in(&lease, call, outgoing).await {
                    Ok(sent) => Ok((lease, sent)),
                    Err(error) if matches!(error.kind(), ErrorKind::SessionUnknown) => {
                        let message = format!("`{}` keeps ending its sessions", self.name());
                        let kind = ErrorKind::BackendMisbehaved(self.name().clone());
                        Err(Error::new(kind, message).caused_by(error))
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn send_in(
        &self,
        lease: &Arc<Lease>,
        call: &Call,
        outgoing: Outgoing,
    ) -> Result<Sent, Error> {
        let (conversation, hold) = (lease.conversation(), lease.clone());
        let follow = call.follow.clone();
        self.tasks()
            .send(conversation, hold, &call.caller, follow, outgoing)
            .await
    }

    /// The conversation for a call, told what it has to know of its caller first.
    async fn lease_for(&self, call: &Call) -> Result<Arc<Lease>, Error> {
        let lease = self.pool().acquire(&call.caller).await?;
        if let Some(level) = call.raise_to {
            lease.raise_log_level(level).await;
        }
        lease.tell_roots(&call.caller).await;
        Ok(Arc::new(lease))
    }

    /// The reply as its caller gets it.
    fn attend(
        &self,
        call: &Call,
        (place, lease): (OwnedSemaphorePermit, Arc<Lease>),
        deadline: Instant,
        sent: Sent,
    ) -> Result<Reply, Error> {
        let Sent {
            outgoing,
            reply,
            driving,
        } = sent;
        let Call { caller, method, .. } = call;
        let live = caller.attachment == Attachment::Live;
        let driven = live && asking::is_interactive(method) && speaks(&lease, Era::Stateless);
        let reply = if let Some(driving) = driving {
            driving.drive(if driven {
                self.rounds(caller, outgoing, &lease).drive(reply)
            } else {
                reply
            })
        } else if driven {
            match reply.into_ready() {
                Ok(Outcome::InputRequired(required)) => {
                    let first = Reply::ready(Outcome::InputRequired(required));
                    self.rounds(caller, outgoing, &lease).drive(first)
                }
                Ok(outcome) => return Ok(Reply::ready(outcome)),
                Err(running) => self.rounds(caller, outgoing, &lease).drive(running),
            }
        } else {
            match reply.into_ready() {
                Ok(outcome) => {
                    return ending(self.name(), caller, method, Ok(outcome)).map(Reply::ready);
                }
                Err(running) => running,
            }
        };
        let reply = {
            let (backend, caller, method) = (self.name().clone(), caller.clone(), method.clone());
            reply.map(move |step| match step {
                Step::Done(outcome) => Step::Done(ending(&backend, &caller, &method, outcome)),
                event @ Step::Event(_) => event,
            })
        };
        let patience = Patience {
            deadline,
            // A caller's own deadline is fixed; the backend's begins anew with each sign of progress.
            extension: (call.deadline.is_none()).then(|| self.patience(&call.method)),
            timed_out: self.timed_out(),
        };
        let heard = Heard {
            log_level: call.log_level,
            asked: live.then(|| Asked {
                capabilities: caller.capabilities.clone(),
                limit: self.asking_bounds().answer,
            }),
        };
        if live || !asking::is_interactive(method) || speaks(&lease, Era::Stateless) {
            let held = Held::new(reply, (place, lease), patience, heard);
            return Ok(Reply::running(held));
        }
        let capabilities = caller.capabilities.clone();
        let seed = self.seed(caller, lease);
        let held = Held::new(reply, (place, seed), patience, heard);
        let parkable = Parkable::new(self.parking().clone(), held, capabilities);
        Ok(Reply::running(parkable))
    }

    fn rounds(&self, caller: &Caller, outgoing: Outgoing, lease: &Lease) -> Rounds {
        Rounds {
            backend: self.name().clone(),
            conversation: lease.conversation().clone(),
            outgoing,
            capabilities: caller.capabilities.clone(),
            limit: self.asking_bounds().rounds,
        }
    }

    fn seed(&self, caller: &Caller, lease: Arc<Lease>) -> Seed {
        Seed {
            backend: self.name().clone(),
            principal: caller.principal.id().clone(),
            admission: self.admission().clone(),
            occupied: lease,
            patience: self.settings().timeouts.call,
            ending: self.parks().ending(),
            _counted: self.parks().count(),
        }
    }

    async fn fresh_definition(&self, outgoing: &Outgoing) -> Result<Option<RawJson>, Error> {
        let name = object::string_member(&outgoing.params, "name");
        let listing = self.listing().await?;
        Ok(listing
            .items
            .iter()
            .find(|item| {
                item.kind == isthmus_exchange::ItemKind::Tool && Some(&item.key) == name.as_ref()
            })
            .map(|item| item.definition.clone()))
    }

    /// How long a request may take without a sign of life.
    fn patience(&self, method: &Method) -> Duration {
        tasks::patience(method).unwrap_or(self.settings().timeouts.call)
    }

    fn timed_out(&self) -> Error {
        let seconds = self.settings().timeouts.call.as_secs_f32();
        let message = format!("`{}` did not answer within {seconds} s", self.name());
        Error::new(ErrorKind::TimedOut(Some(self.name().clone())), message)
    }
}

impl Outgoing {
    /// Puts the answers of a retry where a stateless backend expects them (26:basic/patterns/mrtr). A stateful one never
    /// gets them: they mean nothing to it.
    pub(crate) fn with_retry(mut self, retry: &Retry) -> Self {
        let mut edit = ObjectEdit::new(&self.params);
        if let Some(responses) = &retry.responses {
            edit = edit.set("inputResponses", responses.clone());
        }
        if let Some(Continuation::Opaque(state)) = &retry.state {
            edit = edit.set("requestState", RawJson::string(state));
        }
        self.params = edit.finish();
        self
    }
}

/// A backend's outcome as this caller may have it: pages to visit in its era's way, and no questions that it cannot be
/// asked (MS-18).
fn ending(
    backend: &BackendName,
    caller: &Caller,
    method: &Method,
    outcome: Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    let live = caller.attachment == Attachment::Live;
    match outcome {
        Err(error) if answered_with(&error, code::URL_ELICITATION_REQUIRED) => {
            if live {
                Err(url_elicitation::with_own_ids(error))
            } else if asking::is_interactive(method) {
                url_elicitation::as_questions(error, caller)
            } else {
                Err(error)
            }
        }
        Ok(Outcome::InputRequired(required)) => {
            if let Some(requests) = &required.requests {
                let entries = asking::entries(requests).map_err(|text| {
                    let kind = ErrorKind::BackendMisbehaved(backend.clone());
                    Error::new(kind, format!("`{backend}`: {text}"))
                })?;
                let can = &caller.capabilities;
                let refused =
                    |entry: &Entry| asking::refusal(can, backend, &entry.method, &entry.params);
                if let Some(refusal) = entries.iter().find_map(refused) {
                    return Err(refusal);
                }
            }
            Ok(Outcome::InputRequired(required))
        }
        // Where it could not be sent once more: to a client it would mean that its own session is gone (trap 6).
        Err(error) if matches!(error.kind(), ErrorKind::SessionUnknown) => {
            let kind = ErrorKind::BackendUnavailable(backend.clone());
            Err(Error::new(kind, error.message().to_owned()).caused_by(error))
        }
        outcome => outcome,
    }
}

fn speaks(lease: &Lease, era: Era) -> bool {
    lease.conversation().facts().revision.era() == era
}

fn answered_with(error: &Error, code: i64) -> bool {
    matches!(error.kind(), ErrorKind::Answered { error: JsonRpcError { code: answered, .. }, .. } if *answered == code)
}

#[cfg(test)]
mod tests;
