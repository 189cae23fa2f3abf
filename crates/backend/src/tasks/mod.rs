//! Calls that become tasks, and requests about tasks (digest §3.9).
//!
//! A caller that can follow tasks gets them, in the words of the extension; for any other a task is driven to its end
//! inside the call that made it. A backend of 2025-11-25 is translated for callers of the extension; between two peers of
//! one era, requests about tasks pass as they are. Which client a task belongs to, and what it is called there, is the
//! router's business.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isthmus_exchange::{
    BackendName, Caller, Complete, CreatedTask, Error, ErrorKind, Outcome, Reply, Request, Step,
    Wants,
};
use isthmus_protocol::object::{ObjectEdit, assemble, member, string_member};
use isthmus_protocol::tasks::{self, EXTENSION, Snapshot, Status, Support};
use isthmus_protocol::{Era, JsonRpcError, Method, RawJson, code};
use tokio::runtime::Handle;

use self::background::Background;
use self::desk::Desk;
use self::drive::drive;
pub(crate) use self::line::Hold;
use self::line::Line;
pub use self::news::TaskNews;
use crate::conversation::{Conversation, Outgoing};

mod background;
mod desk;
mod drive;
mod inquiry;
mod line;
mod news;

/// What a caller makes of a task.
#[derive(Debug, Clone)]
pub(crate) enum Follow {
    /// It declared the extension.
    Extension,
    /// It asked for a task of 2025-11-25 with these parameters.
    Core(RawJson),
    /// It knows nothing of tasks: the call is driven to its end.
    Inside {
        /// It could have declared the extension, had it wanted to: a backend that insists on that is believed.
        could_declare: bool,
    },
}

/// The tasks of one backend.
pub(crate) struct Tasks {
    backend: BackendName,
    background: Background,
    desk: Arc<Desk>,
    /// Tools of a stateless backend that refused to run without a task.
    insisting: Mutex<BTreeSet<String>>,
}

/// A request that was sent.
pub(crate) struct Sent {
    /// As it was sent.
    pub(crate) outgoing: Outgoing,
    /// What comes back.
    pub(crate) reply: Reply,
    /// What has to be done with the reply, after the rounds in which a stateless backend may ask first.
    pub(crate) driving: Option<Driving>,
}

/// Drives the task that a call may become to its end.
pub(crate) struct Driving {
    line: Line,
    wants: Wants,
    background: Background,
}

impl Driving {
    /// The reply to the call without any task in it. Dropping it cancels the task.
    pub(crate) fn drive(self, call: Reply) -> Reply {
        drive(self.line, call, self.wants, &self.background)
    }
}

impl Sent {
    const fn plain(outgoing: Outgoing, reply: Reply) -> Self {
        Self {
            outgoing,
            reply,
            driving: None,
        }
    }
}

impl Follow {
    /// What the caller of `request` makes of a task.
    pub(crate) fn of(request: &Request) -> Self {
        let caller = &request.caller;
        let stateless = caller.revision.era() == Era::Stateless;
        match &request.task {
            Some(task) if !stateless => Self::Core(task.clone()),
            _ if stateless && caller.capabilities.extension(EXTENSION).is_some() => Self::Extension,
            _ => Self::Inside {
                could_declare: stateless,
            },
        }
    }
}

impl Tasks {
    pub(crate) fn new(backend: BackendName, handle: Handle) -> Self {
        let background = Background::new(handle);
        let desk = Arc::new(Desk::new(background.clone()));
        Self {
            backend,
            background,
            desk,
            insisting: Mutex::default(),
        }
    }

    /// Whether a request may have to do with tasks; if not it needs nothing of this.
    pub(crate) fn concern(follow: &Follow, era: Era, outgoing: &Outgoing) -> bool {
        match outgoing.method {
            Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksResult
            | Method::TasksCancel
            | Method::TasksList => true,
            Method::ToolsCall => match (follow, era) {
                (_, Era::Stateless) | (Follow::Core(_), _) => true,
                _ => support(outgoing) != Support::Forbidden,
            },
            _ => false,
        }
    }

    /// Sends a request of `caller`, and sees to it that whatever task comes of it is one that the caller can follow.
    ///
    /// `hold` keeps the conversation open.
    ///
    /// # Errors
    ///
    /// The conversation's; `BackendMisbehaved` for a task that nobody can follow.
    pub(crate) async fn send(
        &self,
        conversation: &Arc<dyn Conversation>,
        hold: Hold,
        caller: &Caller,
        follow: Follow,
        outgoing: Outgoing,
    ) -> Result<Sent, Error> {
        let era = conversation.facts().revision.era();
        if !Self::concern(&follow, era, &outgoing) {
            let reply = conversation.clone().request(outgoing.clone()).await?;
            return Ok(Sent::plain(outgoing, reply));
        }
        let backend = self.backend.clone();
        let line = Line::new(backend, conversation.clone(), &outgoing, hold);
        match (&outgoing.method, era) {
            (Method::ToolsCall, Era::Stateless) => {
                self.call_stateless(line, follow, outgoing).await
            }
            (Method::ToolsCall, Era::Stateful) => {
                self.call_stateful(line, caller, follow, outgoing).await
            }
            (_, Era::Stateless) => {
                let reply = relay_to_stateless(line, &follow, outgoing.clone()).await?;
                Ok(Sent::plain(outgoing, reply))
            }
            (_, Era::Stateful) => {
                let reply = self.about_core_task(line, caller, outgoing.clone()).await?;
                Ok(Sent::plain(outgoing, reply))
            }
        }
    }

    /// Listens to what the backend says of the tasks `ids`, for as long as the returned value lives; `None` if it has no words
    /// for that.
    pub(crate) fn hear_of(
        &self,
        conversation: &Arc<dyn Conversation>,
        hold: Hold,
        ids: &[String],
    ) -> Option<TaskNews> {
        let outgoing = Outgoing::plain(Method::SubscriptionsListen, RawJson::empty_object());
        let line = Line::new(self.backend.clone(), conversation.clone(), &outgoing, hold);
        TaskNews::of(line, outgoing, ids, &self.background)
    }

    /// Gives up what is kept for tasks. Tasks themselves go on at the backend.
    pub(crate) async fn close(&self) {
        self.desk.clear();
        self.background.close().await;
    }

    async fn call_stateless(
        &self,
        line: Line,
        follow: Follow,
        mut outgoing: Outgoing,
    ) -> Result<Sent, Error> {
        let declared = |outgoing: &Outgoing| tasks::declare(&outgoing.capabilities);
        let could_declare = match follow {
            Follow::Extension => {
                outgoing.capabilities = declared(&outgoing);
                let reply = line.send(outgoing.clone()).await?;
                return Ok(Sent::plain(outgoing, reply));
            }
            Follow::Core(_) => false,
            Follow::Inside { could_declare } => could_declare,
        };
        let tool = string_member(&outgoing.params, "name").unwrap_or_default();
        if could_declare || !self.insists(&tool) {
            match line.send(outgoing.clone()).await {
                Err(error) if !could_declare && is_insistence(&error) => self.note_insistence(tool),
                Ok(reply) => return Ok(Sent::plain(outgoing, without_tasks(line, reply))),
                Err(error) => return Err(error),
            }
        }
        outgoing.capabilities = declared(&outgoing);
        let line = line.for_requests_like(&outgoing);
        let reply = line.send(outgoing.clone()).await?;
        let driving = Some(self.driving(line, outgoing.wants));
        Ok(Sent {
            outgoing,
            reply,
            driving,
        })
    }

    fn driving(&self, line: Line, wants: Wants) -> Driving {
        Driving {
            line,
            wants,
            background: self.background.clone(),
        }
    }

    async fn call_stateful(
        &self,
        line: Line,
        caller: &Caller,
        follow: Follow,
        mut outgoing: Outgoing,
    ) -> Result<Sent, Error> {
        let asked = match (&follow, support(&outgoing)) {
            (Follow::Core(task), _) => task.clone(),
            (Follow::Extension, Support::Optional | Support::Required)
            | (Follow::Inside { .. }, Support::Required)
                if line.takes_tasks() =>
            {
                assemble([("ttl", RawJson::from_serialize(&TTL_MS))])
            }
            _ => {
                let reply = line.send(outgoing.clone()).await?;
                return Ok(Sent::plain(outgoing, reply));
            }
        };
        outgoing.params = ObjectEdit::new(&outgoing.params)
            .set("task", asked)
            .finish();
        let reply = line.send(outgoing.clone()).await?.map(as_created);
        if matches!(follow, Follow::Inside { .. }) {
            let driving = Some(self.driving(line, outgoing.wants));
            return Ok(Sent {
                outgoing,
                reply,
                driving,
            });
        }
        let (desk, principal) = (self.desk.clone(), caller.principal.id().clone());
        let reply = reply.map(move |step| {
            if let Step::Done(Ok(Outcome::Task(created))) = &step {
                desk.remember(&principal, &created.task, line.clone());
            }
            step
        });
        Ok(Sent::plain(outgoing, reply))
    }

    /// A request about a task of a backend of 2025-11-25.
    async fn about_core_task(
        &self,
        line: Line,
        caller: &Caller,
        outgoing: Outgoing,
    ) -> Result<Reply, Error> {
        let id = string_member(&outgoing.params, "taskId").unwrap_or_default();
        let made_in = self.desk.line_of(caller.principal.id(), &id);
        let line = made_in.map_or(line, |line| line.for_requests_like(&outgoing));
        if caller.revision.era() == Era::Stateful {
            let method = outgoing.method.clone();
            let reply = line.send(outgoing).await?;
            return Ok(reply.map(move |step| in_our_words(&method, step)));
        }
        let done = |()| RawJson::empty_object();
        let desk = &self.desk;
        let result = match outgoing.method {
            Method::TasksGet => desk.get(caller, line, &id).await?,
            Method::TasksUpdate => {
                let params = &outgoing.params;
                done(desk.update(caller, &line, &id, params).await?)
            }
            Method::TasksCancel => done(desk.cancel(caller, &line, &id).await?),
            other => return Err(unknown_method(&other)),
        };
        Ok(Reply::complete(result))
    }

    fn insists(&self, tool: &str) -> bool {
        self.insisting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(tool)
    }

    fn note_insistence(&self, tool: String) {
        let mut insisting = self
            .insisting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if insisting.len() < MOST_INSISTING {
            insisting.insert(tool);
        }
    }
}

/// How long a request about a task may take, if that is not as long as any other: the result of a task is waited for as long as
/// the task takes, and whoever waits ends that by cancelling, or with its session.
pub(crate) const fn patience(method: &Method) -> Option<Duration> {
    match method {
        Method::TasksResult => Some(LONGEST_TASK),
        _ => None,
    }
}

/// Whether a request about a task, of a caller that is not asked in place, may find the backend asking something.
pub(crate) const fn may_ask(method: &Method) -> bool {
    matches!(method, Method::TasksGet)
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}

fn support(outgoing: &Outgoing) -> Support {
    outgoing
        .tool
        .as_ref()
        .map_or(Support::Forbidden, Support::of_tool)
}

/// A request about a task of a backend with the extension: whoever may ask it has declared that.
async fn relay_to_stateless(
    line: Line,
    follow: &Follow,
    mut outgoing: Outgoing,
) -> Result<Reply, Error> {
    let knows = matches!(
        outgoing.method,
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel
    );
    if !knows || !matches!(follow, Follow::Extension) {
        return Err(unknown_method(&outgoing.method));
    }
    outgoing.capabilities = tasks::declare(&outgoing.capabilities);
    line.send(outgoing).await
}

/// A call for which no task was offered: there is none.
fn without_tasks(line: Line, reply: Reply) -> Reply {
    reply.map(move |step| match step {
        Step::Done(Ok(Outcome::Task(_))) => {
            let error = line.misbehaved("made a task of a call whose caller did not offer that");
            Step::Done(Err(error))
        }
        step => step,
    })
}

/// What a backend of 2025-11-25 answers to a call with `task`.
fn as_created(step: Step) -> Step {
    match step {
        Step::Done(Ok(Outcome::Complete(complete))) => {
            Step::Done(Ok(match tasks::created_from_core(&complete.result) {
                Some(task) => Outcome::Task(CreatedTask { task }),
                None => Outcome::Complete(complete),
            }))
        }
        step => step,
    }
}

/// What a backend of 2025-11-25 answers to a request about tasks, in the words of the extension.
fn in_our_words(method: &Method, step: Step) -> Step {
    match step {
        Step::Done(Ok(Outcome::Complete(complete))) => {
            let result = match method {
                Method::TasksGet | Method::TasksCancel => tasks::from_core(&complete.result),
                Method::TasksList => tasks::list_from_core(&complete.result),
                _ => tasks::without_related_task(&complete.result),
            };
            Step::Done(Ok(Outcome::Complete(Complete { result, ..complete })))
        }
        step => step,
    }
}

/// The result of a call that was a task of 2025-11-25, or why there is none.
///
/// For a task that broke some servers hand out a result without content, and say the reason with the status alone.
fn result_or_reason(seen: &Snapshot, result: RawJson) -> Result<RawJson, JsonRpcError> {
    if seen.status == Status::Completed || member(&result, "content").is_some() {
        return Ok(result);
    }
    let reason = seen.message.as_deref().unwrap_or("the task failed");
    Err(JsonRpcError::new(code::INTERNAL_ERROR, reason))
}

fn unknown_method(method: &Method) -> Error {
    let text = format!("the backend has no method `{method}`");
    Error::new(ErrorKind::MethodNotFound, text)
}

fn is_insistence(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Answered { error, .. } if tasks::needs_extension(error))
}

/// How long a task is waited for.
const LONGEST_TASK: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a backend of 2025-11-25 is asked to keep a task, when it is we who ask for one.
const TTL_MS: u64 = 60 * 60 * 1_000;
/// How many tools are remembered that insist on a task.
const MOST_INSISTING: usize = 1_000;

#[cfg(test)]
mod tests;
