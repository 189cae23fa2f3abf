//! Whether a request whose target is known may go there: the decision that its lists were made by, with what only the
//! request has.

use isthmus_exchange::{
    Attempt, BackendName, Caller, Decision, Error, ErrorKind, ItemKind, Request, Target,
};
use isthmus_protocol::object::{member, repeated_key};
use isthmus_protocol::{Method, RawJson};

use crate::live_route::RouteState;
use crate::tasks::MadeBy;

impl RouteState {
    /// Lets a request through that its caller may make of `target`, which is a `kind` and which the client calls `asked`.
    /// `unknown` is what it would be told if there were no such target.
    ///
    /// # Errors
    ///
    /// `InsufficientScope` if it takes another credential; `unknown` if the target is not there for the caller; invalid
    /// parameters if only this way of using it is not allowed, or if other readers could read other arguments.
    pub(crate) fn admit(
        &self,
        kind: ItemKind,
        target: &Target,
        asked: &str,
        request: &Request,
        unknown: impl FnOnce() -> Error,
    ) -> Result<(), Error> {
        let trail = request.trail.as_deref();
        if self.same_for_everyone() {
            return Ok(());
        }
        let view = self.view(&request.caller);
        let decide = |attempt| self.catalog.verdict(kind, target, asked, view, attempt);
        let mut verdict = decide(None);
        if verdict.decision != Decision::Hide && self.authorization.reads_attempts() {
            let arguments = self.arguments(request)?;
            let attempt = Attempt {
                method: &request.method,
                arguments: arguments.as_ref(),
            };
            verdict = decide(Some(attempt));
            if verdict.decision == Decision::Hide {
                if let Some(trail) = trail {
                    trail.decided(&verdict);
                }
                let message = format!("`{asked}` may not be used like this");
                return Err(Error::invalid_params(message));
            }
        }
        if let Some(trail) = trail {
            trail.decided(&verdict);
        }
        match verdict.decision {
            Decision::Allow => Ok(()),
            Decision::StepUp(scopes) => Err(insufficient(asked, scopes)),
            Decision::Hide => Err(unknown()),
        }
    }

    /// Whether a caller who watches a resource of `backend` may be told that it changed.
    pub(crate) fn may_hear_of(&self, caller: &Caller, backend: &BackendName, uri: &str) -> bool {
        if self.same_for_everyone() {
            return true;
        }
        let view = self.view(caller);
        let target = self.catalog.locate_link(backend, uri, view);
        target.is_some_and(|target| {
            let kind = ItemKind::Resource;
            let verdict = self.catalog.verdict(kind, &target, uri, view, None);
            verdict.decision == Decision::Allow
        })
    }

    /// What may be done with a task of `backend`: what may be done with the tool whose call it is. `None` as `made_by`: it is
    /// not known which.
    pub(crate) fn task_decision(
        &self,
        caller: &Caller,
        backend: &BackendName,
        made_by: Option<&MadeBy>,
    ) -> Decision {
        if self.same_for_everyone() {
            return Decision::Allow;
        }
        let view = self.view(caller);
        let target = made_by.and_then(|MadeBy { native, exposed }| {
            let kind = ItemKind::Tool;
            let target = self
                .catalog
                .target_at(kind, backend, native, exposed, view)?;
            Some(self.catalog.verdict(kind, &target, exposed, view, None))
        });
        target.map_or(Decision::Hide, |verdict| verdict.decision)
    }

    /// The arguments that rules look at; `None` where the method has none.
    fn arguments(&self, request: &Request) -> Result<Option<RawJson>, Error> {
        let has_arguments = matches!(request.method, Method::ToolsCall | Method::PromptsGet);
        if !has_arguments || !self.authorization.reads_arguments() {
            return Ok(None);
        }
        if let Some(key) = repeated_key(&request.params) {
            let message = format!("`{key}` is there twice: the server might read the other one");
            return Err(Error::invalid_params(message));
        }
        let arguments = member(&request.params, "arguments").filter(|given| !given.is_null());
        Ok(Some(arguments.unwrap_or_else(RawJson::empty_object)))
    }
}

/// What a caller is told who needs these scopes for `asked`.
pub(crate) fn insufficient(asked: &str, scopes: std::sync::Arc<[String]>) -> Error {
    let message = format!("`{asked}` needs the scopes `{}`", scopes.join(" "));
    Error::new(ErrorKind::InsufficientScope { scopes }, message)
}
