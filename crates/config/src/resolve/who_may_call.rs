//! What listeners and routes say together: whether somebody could call whom nobody has asked who he is.

use super::Resolver;
use super::authentication::Callers;
use super::listener::ResolvedListener;
use crate::config::{AuthenticationMethod, HostPattern, Location, Route};
use crate::diagnostics::Mark;

impl Resolver<'_> {
    /// Complains about every door that is open and does not say so, and about methods that can let nobody in.
    pub(super) fn who_may_call(
        &mut self,
        listeners: &mut [ResolvedListener],
        routes: &[Route],
        callers: &Callers,
    ) {
        for listener in listeners.iter_mut() {
            self.open_door(listener, routes);
            let settings = &mut listener.value;
            let urls: Vec<_> = routes
                .iter()
                .filter_map(|route| settings.url_of(route))
                .chain(settings.public_url.clone())
                .collect();
            for url in urls {
                let pattern = HostPattern::parse(url.authority());
                let known = |pattern: &HostPattern| settings.allowed_hosts.contains(pattern);
                if let Some(pattern) = pattern.filter(|pattern| !known(pattern)) {
                    settings.allowed_hosts.push(pattern);
                }
            }
        }
        self.audiences(listeners, routes);
        self.certificates_nobody_asks_for(listeners, routes);
        self.keys_for_nothing(routes, callers);
    }

    fn open_door(&mut self, listener: &ResolvedListener, routes: &[Route]) {
        let settings = &listener.value;
        if settings.allow_unauthenticated {
            return;
        }
        let open: Vec<&Route> = routes
            .iter()
            .filter(|route| settings.lets_others_reach(route))
            .filter(|route| route.authentication.is_open() && !self.unclear(&route.path))
            .collect();
        let Some(first) = open.first() else {
            return;
        };
        let reached = match settings.url_of(first) {
            Some(url) => url.origin().to_owned(),
            None => settings.address.to_string(),
        };
        let open: Vec<String> = open
            .iter()
            .map(|route| format!("`{}`", route.path))
            .collect();
        self.complaints.add_with_help(
            listener.address_mark,
            format!("listeners.{}", settings.name),
            format!(
                "everybody who reaches {reached} could call {}: there is no authentication",
                open.join(", ")
            ),
            "say by `authentication` who may call, listen on 127.0.0.1, or say `allow_unauthenticated: true`",
        );
    }

    /// A token is made for somebody. Where nothing says for whom, one that was made for another service would do.
    fn audiences(&mut self, listeners: &[ResolvedListener], routes: &[Route]) {
        for route in routes {
            let nameless = listeners
                .iter()
                .find(|listener| listener.value.url_of(route).is_none());
            let Some(nameless) = nameless else { continue };
            let wrong = [
                format!("routes.{}.public_url", route.path),
                format!("listeners.{}.public_url", nameless.value.name),
            ];
            if wrong.iter().any(|path| self.complaints.mention(path)) {
                continue;
            }
            for method in &route.authentication.methods {
                let AuthenticationMethod::Jwt(jwt) = method else {
                    continue;
                };
                let Some(location) = &jwt.location else {
                    continue;
                };
                if jwt.audiences.is_empty() {
                    let message = format!(
                        "nothing says for whom tokens of `{}` have to be made",
                        route.path
                    );
                    let help = format!(
                        "say `public_url` in the listener `{}` or in the route, or `audience` here",
                        nameless.value.name
                    );
                    let path = format!("routes.{}.authentication", route.path);
                    self.complaints
                        .add_with_help(mark(location), path, message, help);
                }
            }
        }
    }

    /// A client shows a certificate only to a listener that asks for one.
    fn certificates_nobody_asks_for(&mut self, listeners: &[ResolvedListener], routes: &[Route]) {
        let asks = |listener: &ResolvedListener| {
            let tls = listener.value.tls.as_ref();
            tls.is_some_and(|tls| tls.clients.is_some())
        };
        if listeners.iter().any(asks) {
            return;
        }
        let unclear = |listener: &ResolvedListener| {
            let path = format!("listeners.{}.tls", listener.value.name);
            self.complaints.mention_below(&path)
        };
        if listeners.iter().any(unclear) {
            return;
        }
        let mut written: Vec<&Location> = Vec::new();
        for method in routes
            .iter()
            .flat_map(|route| &route.authentication.methods)
        {
            if let AuthenticationMethod::Certificate(certificate) = method {
                // What routes have in common was written once.
                let location = certificate.location.as_ref();
                written.extend(location.filter(|location| !written.contains(location)));
            }
        }
        for location in written {
            self.complaints.add_with_help(
                mark(location),
                "authentication",
                "no listener asks clients for certificates",
                "say by `tls: {clients: …}` in a listener which authorities are believed",
            );
        }
    }

    fn keys_for_nothing(&mut self, routes: &[Route], callers: &Callers) {
        let Some(first) = callers.keys.first() else {
            return;
        };
        let taken = routes.iter().any(|route| {
            let mut methods = route.authentication.methods.iter();
            methods.any(|method| matches!(method, AuthenticationMethod::ApiKeys(_)))
        });
        if let (false, Some(location)) = (taken, &first.location) {
            self.complaints.add_with_help(
                mark(location),
                "api_keys",
                "no route takes these keys",
                "say `authentication: [api_keys: {}]`, for all routes or in one of them",
            );
        }
    }
}

const fn mark(location: &Location) -> Mark {
    Mark {
        line: location.line,
        column: location.column,
    }
}
