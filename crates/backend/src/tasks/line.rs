//! Requests about tasks, in the conversation that the task was made in.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{BackendName, Error, ErrorKind, Outcome, Reply, Wants};
use isthmus_protocol::object::assemble;
use isthmus_protocol::tasks::CoreTasks;
use isthmus_protocol::{Era, Method, RawJson, tasks};
use tokio::time::timeout;

use crate::conversation::{Conversation, Outgoing};

/// A conversation and what each request about a task says of itself there.
#[derive(Clone)]
pub(crate) struct Line {
    backend: BackendName,
    conversation: Arc<dyn Conversation>,
    /// Capabilities, trace and who can be asked; method and parameters are put in.
    template: Outgoing,
    /// Keeps the conversation from being closed as one that nobody uses.
    hold: Hold,
}

/// Whatever keeps a conversation open while it lives.
pub(crate) type Hold = Arc<dyn Any + Send + Sync>;

impl Line {
    /// Requests like `template` in `conversation`, which `hold` keeps open.
    pub(crate) fn new(
        backend: BackendName,
        conversation: Arc<dyn Conversation>,
        template: &Outgoing,
        hold: Hold,
    ) -> Self {
        let template = Outgoing {
            wants: Wants::default(),
            tool: None,
            params: RawJson::empty_object(),
            ..template.clone()
        };
        Self {
            backend,
            conversation,
            template,
            hold,
        }
    }

    /// The same conversation for requests like another template.
    pub(super) fn for_requests_like(&self, template: &Outgoing) -> Self {
        let (backend, conversation) = (self.backend.clone(), self.conversation.clone());
        Self::new(backend, conversation, template, self.hold.clone())
    }

    pub(super) const fn backend(&self) -> &BackendName {
        &self.backend
    }

    /// Whether the backend speaks of tasks as 2025-11-25 does.
    pub(super) fn is_core(&self) -> bool {
        self.conversation.facts().revision.era() == Era::Stateful
    }

    /// Whether the backend runs tools as tasks of 2025-11-25.
    pub(super) fn takes_tasks(&self) -> bool {
        CoreTasks::of_server(&self.conversation.facts().capabilities).calls
    }

    /// Whether the conversation can still be used.
    pub(super) fn is_open(&self) -> bool {
        !self.conversation.closed().is_cancelled()
    }

    /// Sends a request whose events matter.
    pub(super) async fn send(&self, outgoing: Outgoing) -> Result<Reply, Error> {
        self.conversation.clone().request(outgoing).await
    }

    /// Begins to fetch the result of a task of 2025-11-25: comes when there is one, and questions before it.
    pub(super) async fn fetch(&self, id: &str, wants: Wants) -> Result<Reply, Error> {
        let outgoing = Outgoing {
            wants,
            ..self.about(Method::TasksResult, id)
        };
        self.send(outgoing).await
    }

    /// The task as it is now, in the words of the extension.
    pub(super) async fn look(&self, id: &str) -> Result<RawJson, Error> {
        let task = self.ask(self.about(Method::TasksGet, id)).await?;
        Ok(if self.is_core() {
            tasks::from_core(&task)
        } else {
            task
        })
    }

    /// Asks for the end of a task.
    pub(super) async fn cancel(&self, id: &str) -> Result<(), Error> {
        self.ask(self.about(Method::TasksCancel, id))
            .await
            .map(drop)
    }

    /// Answers questions of a task of the extension.
    pub(super) async fn update(&self, id: &str, responses: RawJson) -> Result<(), Error> {
        let mut outgoing = self.about(Method::TasksUpdate, id);
        outgoing.params = assemble([
            ("taskId", RawJson::string(id)),
            ("inputResponses", responses),
        ]);
        self.ask(outgoing).await.map(drop)
    }

    /// A request that is answered at once, with a result.
    async fn ask(&self, outgoing: Outgoing) -> Result<RawJson, Error> {
        let method = outgoing.method.clone();
        let answer = async { self.send(outgoing).await?.outcome().await };
        match timeout(PATIENCE, answer).await {
            Ok(Ok(Outcome::Complete(complete))) => Ok(complete.result),
            Ok(Ok(_)) => Err(self.misbehaved(&format!("asked for input to `{method}`"))),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let text = format!("`{}` did not answer `{method}` in time", self.backend);
                let kind = ErrorKind::TimedOut(Some(self.backend.clone()));
                Err(Error::new(kind, text))
            }
        }
    }

    fn about(&self, method: Method, id: &str) -> Outgoing {
        Outgoing {
            method,
            params: assemble([("taskId", RawJson::string(id))]),
            ..self.template.clone()
        }
    }

    pub(super) fn misbehaved(&self, what: &str) -> Error {
        let kind = ErrorKind::BackendMisbehaved(self.backend.clone());
        Error::new(kind, format!("`{}` {what}", self.backend))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

/// How long a request about a task may take that the backend should answer at once.
const PATIENCE: Duration = Duration::from_secs(30);
