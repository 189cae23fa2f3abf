//! Backends.

use super::Resolver;
use crate::config::{
    Backend, BackendBounds, EraSetting, HttpWire, Restart, SessionPolicy, SseWire, StdioWire,
    Timeouts, Wire,
};
use crate::diagnostics::Mark;
use crate::document::{self, EraWord, SessionsWord};
use crate::yaml::{Entries, Spanned};

/// A backend and where to point when its prefix is wrong.
pub(super) struct ResolvedBackend {
    pub(super) value: Backend,
    pub(super) prefix_mark: Mark,
}

impl Resolver<'_> {
    pub(super) fn backends(
        &mut self,
        written: Option<Entries<document::Backend>>,
    ) -> Vec<ResolvedBackend> {
        self.backend_names();
        let mut backends = Vec::new();
        for (name, written) in written.map(|entries| entries.0).unwrap_or_default() {
            backends.extend(self.backend(&name, written));
        }
        backends
    }

    fn backend_names(&mut self) {
        for name in &self.written_backends {
            if is_backend_name(name) {
                continue;
            }
            let message = format!("`{}` cannot be the name of a backend", name.escape_debug());
            let rule = "use 1 to 32 of a-z, 0-9 and `-`, starting with a letter";
            let path = format!("backends.{}", name.value);
            self.complaints
                .add_with_help(name.mark, path, message, rule);
        }
    }

    fn backend(
        &mut self,
        name: &Spanned<String>,
        written: document::Backend,
    ) -> Option<ResolvedBackend> {
        let path = format!("backends.{}", name.value);
        let prefix_mark = written
            .prefix
            .as_ref()
            .map_or(name.mark, |prefix| prefix.mark);
        let mut backend = Backend::new(
            &name.value,
            Wire::Stdio(StdioWire {
                process: crate::config::Process::new(""),
            }),
        );
        backend.location = Some(self.complaints.location(name.mark));
        if let Some(prefix) = &written.prefix {
            self.prefix(prefix, &path);
            backend.prefix.clone_from(prefix);
        }
        backend.era = self.era(&written, &path);
        backend.sessions = self.sessions(&written, &path);
        backend.prefixed_uris = written.prefixed_uris.unwrap_or_default();
        backend.timeouts = timeouts(written.timeouts.as_ref());
        backend.restart = self.restart(written.restart.as_ref(), &path);
        backend.bounds = bounds(written.bounds.as_ref());
        if let Some(refresh) = written.refresh {
            backend.refresh = refresh.0;
        }
        if let Some(idle) = written.idle {
            backend.idle = idle.0;
        }
        backend.credentials = self.credentials(written.credentials.as_ref(), &written, &path);
        backend.wire = self.wire(written, &path)?;
        Some(ResolvedBackend {
            value: backend,
            prefix_mark,
        })
    }

    fn wire(&mut self, written: document::Backend, path: &str) -> Option<Wire> {
        if let Some(process) = written.stdio {
            let process = self.process(process, &format!("{path}.stdio"));
            return Some(Wire::Stdio(StdioWire { process }));
        }
        if let Some(http) = written.http {
            return self.http(http, &format!("{path}.http")).map(Wire::Http);
        }
        let sse = written.sse?;
        let path = format!("{path}.sse");
        let url = self.url(&sse.url, &format!("{path}.url"));
        let headers = self.headers(sse.headers, &path);
        let tls = self.backend_tls(sse.tls.as_ref(), &path);
        let process = sse
            .process
            .map(|process| self.process(process, &format!("{path}.process")));
        Some(Wire::Sse(SseWire {
            url: url?,
            headers,
            tls,
            process,
        }))
    }

    fn http(&mut self, written: document::Http, path: &str) -> Option<HttpWire> {
        let mut urls = Vec::new();
        for (index, written) in written.urls.iter().enumerate() {
            let path = format!("{path}.urls[{index}]");
            let Some(url) = self.url(written, &path) else {
                continue;
            };
            if urls.contains(&url) {
                self.complaints
                    .add(written.mark, path, "this URL is there twice");
            }
            urls.push(url);
        }
        let headers = self.headers(written.headers, path);
        let tls = self.backend_tls(written.tls.as_ref(), path);
        let process = written
            .process
            .map(|process| self.process(process, &format!("{path}.process")));
        (!urls.is_empty()).then_some(HttpWire {
            urls,
            headers,
            tls,
            process,
        })
    }

    fn prefix(&mut self, prefix: &Spanned<String>, path: &str) {
        let problem = if prefix.contains("__") {
            "`__` ends a prefix, so it cannot stand inside one"
        } else if prefix.ends_with('_') {
            "a prefix cannot end in `_`, because `__` follows it"
        } else if prefix.len() > 32 {
            "a prefix has at most 32 characters"
        } else if prefix.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
            "a prefix holds letters, digits, `-` and `_` only"
        } else {
            return;
        };
        self.complaints
            .add(prefix.mark, format!("{path}.prefix"), problem);
    }

    fn era(&mut self, written: &document::Backend, path: &str) -> EraSetting {
        let era = written.era.as_ref();
        match era.map(|era| (era.value, era.mark)) {
            Some((EraWord::Stateless, mark)) if written.sse.is_some() => {
                let message = "`sse` is the wire of 2024-11-05, which is stateful";
                let help = "a stateless server is reached by `http`";
                self.complaints
                    .add_with_help(mark, format!("{path}.era"), message, help);
                EraSetting::Stateful
            }
            _ if written.sse.is_some() => EraSetting::Stateful,
            None | Some((EraWord::Auto, _)) => EraSetting::Auto,
            Some((EraWord::Stateful, _)) => EraSetting::Stateful,
            Some((EraWord::Stateless, _)) => EraSetting::Stateless,
        }
    }

    fn sessions(&mut self, written: &document::Backend, path: &str) -> Option<SessionPolicy> {
        let sessions = written.sessions.as_ref()?;
        if let Some(era) = &written.era
            && matches!(era.value, EraWord::Stateless)
        {
            let message = "a stateless backend has no sessions";
            let path = format!("{path}.sessions");
            self.complaints
                .add_with_help(sessions.mark, path, message, "leave this key out");
        }
        Some(match sessions.value {
            SessionsWord::PerClient => SessionPolicy::PerClient,
            SessionsWord::PerPrincipal => SessionPolicy::PerPrincipal,
            SessionsWord::PerCall => SessionPolicy::PerCall,
            SessionsWord::Shared => SessionPolicy::Shared,
        })
    }

    fn restart(&mut self, written: Option<&document::Restart>, path: &str) -> Restart {
        let default = Restart::default();
        let Some(written) = written else {
            return default;
        };
        let restart = Restart {
            first: written
                .first
                .as_ref()
                .map_or(default.first, |first| first.0),
            longest: written.longest.map_or(default.longest, |longest| longest.0),
            crashes: written.crashes.unwrap_or(default.crashes),
            within: written.within.map_or(default.within, |within| within.0),
        };
        if let Some(first) = &written.first
            && restart.first > restart.longest
        {
            let message = "the first wait is longer than the longest";
            self.complaints
                .add(first.mark, format!("{path}.restart.first"), message);
        }
        restart
    }
}

fn timeouts(written: Option<&document::Timeouts>) -> Timeouts {
    let default = Timeouts::default();
    let Some(written) = written else {
        return default;
    };
    Timeouts {
        start: written.start.map_or(default.start, |start| start.0),
        call: written.call.map_or(default.call, |call| call.0),
        list: written.list.map_or(default.list, |list| list.0),
        stop: written.stop.map_or(default.stop, |stop| stop.0),
    }
}

fn bounds(written: Option<&document::BackendBounds>) -> BackendBounds {
    let default = BackendBounds::default();
    let Some(written) = written else {
        return default;
    };
    BackendBounds {
        in_flight: written.in_flight.unwrap_or(default.in_flight),
        queue: written.queue.unwrap_or(default.queue),
        pages: written.pages.unwrap_or(default.pages),
        items: written.items.unwrap_or(default.items),
        conversations: written.conversations.unwrap_or(default.conversations),
        conversations_per_principal: written
            .conversations_per_principal
            .unwrap_or(default.conversations_per_principal),
    }
}

/// `[a-z][a-z0-9-]{0,31}` (design §6): it may also stand before a URI, as a scheme.
pub(crate) fn is_backend_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= 32
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
