//! How a backend's URI looks to one caller.

use std::sync::Arc;

use isthmus_catalog::{UriForm, prefixed_uri};
use isthmus_exchange::{BackendName, Caller};

use crate::live_route::{LiveRoute, RouteState};

/// How a native URI looks to the callers of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExposedUri {
    /// As it is, to everybody.
    Raw,
    /// As it is, to this scope: it was noted whose it is.
    Noted,
    /// Like this, to everybody.
    Prefixed(String),
    /// Like this, to this scope: it knows the raw form as somebody else's.
    PrefixedHere(String),
}

impl ExposedUri {
    /// Hands `uri` of `backend` out to the caller's scope.
    pub(crate) fn of(
        route: &Arc<LiveRoute>,
        state: &RouteState,
        caller: &Arc<Caller>,
        backend: &BackendName,
        uri: &str,
    ) -> Self {
        match state.catalog.uri_form(backend, uri) {
            UriForm::Raw => Self::Raw,
            UriForm::Prefixed(uri) => Self::Prefixed(uri),
            UriForm::RawIfRemembered => {
                if route.links.claim(&caller.scope, uri, backend) {
                    route.forget_with_scope(caller);
                    Self::Noted
                } else {
                    Self::PrefixedHere(prefixed_uri(backend, uri))
                }
            }
        }
    }

    /// Whether it means the same to every caller.
    pub(crate) const fn same_for_everyone(&self) -> bool {
        matches!(self, Self::Raw | Self::Prefixed(_))
    }

    /// What the URI becomes; `None` if it stays.
    pub(crate) fn into_new(self) -> Option<String> {
        match self {
            Self::Raw | Self::Noted => None,
            Self::Prefixed(uri) | Self::PrefixedHere(uri) => Some(uri),
        }
    }
}
