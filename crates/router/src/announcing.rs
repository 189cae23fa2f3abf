//! What backends say unasked, brought to whoever may and wants to hear it.
//!
//! Where we could not hear what a backend said (it was gone, or said more than we could follow), what is watched there may
//! have changed, and watchers are told so (trap 16).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use isthmus_backend::BackendNotice;
use isthmus_catalog::prefixed_uri;
use isthmus_exchange::{BackendName, Decision, Notice, ScopeId};
use isthmus_protocol::object::ObjectEdit;
use isthmus_protocol::{RawJson, tasks};

use crate::any_backend::AnyBackend;
use crate::exposed_uri::ExposedUri;
use crate::listener::{Listener, Update};
use crate::live_route::LiveRoute;
use crate::tasks::MadeBy;

impl LiveRoute {
    /// Passes on what a backend said.
    pub(crate) fn deliver(self: &Arc<Self>, backend: &BackendName, notice: &BackendNotice) {
        if let Notice::Task { id, .. } = &notice.notice {
            self.tasks.said_of(backend, id);
        }
        self.listeners.each(|listener| {
            let scope = &listener.caller.scope;
            if !notice.audience.includes(scope) {
                return;
            }
            let follows = listener.filter.follow_scope;
            match &notice.notice {
                Notice::ResourceUpdated { uri, params } => {
                    self.deliver_update(listener, backend, uri, params);
                }
                Notice::Log(record) => {
                    // Before a session sets its level, which messages it hears is the backend's choice (LS-15).
                    let wanted = scope.log_level().is_none_or(|level| record.level >= level);
                    if follows && wanted {
                        listener.logged(record.clone());
                    }
                }
                Notice::ElicitationComplete { id } => {
                    // The rim knows whether its session was the one that was asked.
                    if follows {
                        listener.completed(id.clone());
                    }
                }
                Notice::Task { id, params } => {
                    // A session hears of the tasks that it was told of before.
                    if follows
                        && let Some(known) = self.tasks.known(scope.id(), backend, id)
                        && self.may_follow(listener, backend, known.made_by.as_ref())
                    {
                        let params = tasks::with_task_id(params, &known.text);
                        listener.task(known.text, params);
                    }
                }
                Notice::ListChanged(_) => {}
            }
        });
    }

    fn may_follow(
        &self,
        listener: &Listener,
        backend: &BackendName,
        made_by: Option<&MadeBy>,
    ) -> bool {
        let decision = self
            .state()
            .task_decision(&listener.caller, backend, made_by);
        decision == Decision::Allow
    }

    fn deliver_update(
        self: &Arc<Self>,
        listener: &Listener,
        backend: &BackendName,
        uri: &str,
        params: &RawJson,
    ) {
        let caller = &listener.caller;
        let asked = if listener.filter.follow_scope {
            let scope = caller.scope.id();
            self.subscriptions.asked_about(scope, backend, uri)
        } else {
            Vec::new()
        };
        let named = listener.watched.iter();
        let named = named.filter(|watched| watched.concerns(backend, uri));
        let concerned: Vec<_> = named.chain(&asked).collect();
        if concerned.is_empty() {
            return;
        }
        let state = self.state();
        // A part of what is watched may be hidden from who watches it.
        let view = state.view(caller);
        let shown = state.catalog.locate_link(backend, uri, view).is_some();
        if !shown || !state.may_hear_of(caller, backend, uri) {
            return;
        }
        let mut forms = BTreeMap::new();
        for watched in concerned {
            let form = if watched.native == uri {
                watched.exposed.clone()
            } else if watched.is_prefixed() {
                prefixed_uri(backend, uri)
            } else {
                let exposed = ExposedUri::of(self, &state, caller, backend, uri);
                exposed.into_new().unwrap_or_else(|| uri.to_owned())
            };
            forms.insert(form, watched.exposed.clone());
        }
        for (form, watched) in forms {
            let params = if form == uri {
                params.clone()
            } else {
                let form = RawJson::string(&form);
                ObjectEdit::new(params).set("uri", form).finish()
            };
            let uri = form;
            listener.updated(Update {
                uri,
                params,
                watched,
            });
        }
    }

    /// We missed what a backend said: everything that is watched there may have changed.
    pub(crate) fn deliver_all_updates(&self, backend: &BackendName) {
        self.may_have_changed(backend, None);
    }

    /// Subscribes anew at a backend that is new or may have forgotten, and goes on trying for as long as it is behind this
    /// route: an acknowledgement that was given cannot be taken back (MS-21).
    pub(crate) fn resubscribe(self: &Arc<Self>, backend: &Arc<dyn AnyBackend>) {
        let mut renewal = self.subscriptions.begin_renewal(backend.name());
        if renewal.is_complete() {
            return;
        }
        let (weak, backend) = (Arc::downgrade(self), backend.clone());
        self.run(async move {
            let mut pause = FIRST_PAUSE;
            while let Some(route) = weak.upgrade()
                && route.leads_to(&backend)
            {
                let renewed = route.subscriptions.renew(&backend, &mut renewal).await;
                for (scope, native) in renewed {
                    // Between the loss and now nobody heard anything.
                    route.may_have_changed(backend.name(), Some((scope, &native)));
                }
                drop(route);
                if renewal.is_complete() {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        });
    }

    fn leads_to(&self, backend: &Arc<dyn AnyBackend>) -> bool {
        let state = self.state();
        let mut members = state.members.iter();
        members.any(|member| Arc::ptr_eq(member.backend(), backend))
    }

    /// Tells watchers of `backend` that what they watch may have changed: all of them, or those of one scope and resource.
    fn may_have_changed(&self, backend: &BackendName, only: Option<(ScopeId, &str)>) {
        self.listeners.each(|listener| {
            let scope = listener.caller.scope.id();
            if only.is_some_and(|(only, _)| only != scope) {
                return;
            }
            let asked = if listener.filter.follow_scope {
                self.subscriptions.asked_by(scope)
            } else {
                Vec::new()
            };
            for watched in listener.watched.iter().chain(&asked) {
                let meant = only.is_none_or(|(_, native)| native == watched.native);
                let caller = &listener.caller;
                let meant = meant && watched.backend == *backend;
                if meant && self.state().may_hear_of(caller, backend, &watched.native) {
                    listener.updated(Update::of_all(watched.exposed.clone()));
                }
            }
        });
    }
}

/// Before a subscription that could not be renewed is tried again; doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
