//! Listeners.

use std::net::SocketAddr;

use super::Resolver;
use crate::config::{HostPattern, Listener, Network, OriginPattern};
use crate::diagnostics::Mark;
use crate::document;
use crate::yaml::{Entries, Spanned};

/// A listener and where to point when it may not be as open as it is.
pub(super) struct ResolvedListener {
    pub(super) value: Listener,
    pub(super) address_mark: Mark,
}

impl Resolver<'_> {
    pub(super) fn listeners(
        &mut self,
        written: Option<Entries<document::Listener>>,
    ) -> Vec<ResolvedListener> {
        let Some(written) = written else {
            let address = SocketAddr::from(([127, 0, 0, 1], 8080));
            return vec![ResolvedListener {
                value: Listener::new("main", address),
                address_mark: Mark { line: 1, column: 1 },
            }];
        };
        let mut listeners: Vec<ResolvedListener> = Vec::new();
        for (name, written) in written.0 {
            let path = format!("listeners.{}", name.value);
            let Some(address) = self.address(&written.address, &path) else {
                self.host_patterns(written.allowed_hosts.as_deref(), &path);
                self.origin_patterns(written.allowed_origins.as_deref(), &path);
                self.networks(written.trusted_proxies.as_deref(), &path);
                continue;
            };
            let mut others = listeners.iter().map(|other| &other.value);
            if let Some(other) = others.find(|other| clash(other.address, address)) {
                let message = format!("listener `{}` already takes {}", other.name, other.address);
                self.complaints
                    .add(written.address.mark, format!("{path}.address"), message);
            }
            let mut listener = Listener::new(name.value, address);
            listener.location = Some(self.complaints.location(name.mark));
            listener
                .allowed_hosts
                .extend(self.host_patterns(written.allowed_hosts.as_deref(), &path));
            listener
                .allowed_origins
                .extend(self.origin_patterns(written.allowed_origins.as_deref(), &path));
            listener.trusted_proxies = self.networks(written.trusted_proxies.as_deref(), &path);
            listener.public_url = self.public_url(written.public_url.as_ref(), &path);
            listener.tls = written.tls.and_then(|tls| self.listener_tls(&tls, &path));
            listener.allow_unauthenticated =
                written.allow_unauthenticated.is_some_and(|said| said.value);
            listeners.push(ResolvedListener {
                value: listener,
                address_mark: written.address.mark,
            });
        }
        listeners
    }

    fn address(&mut self, written: &Spanned<String>, path: &str) -> Option<SocketAddr> {
        let address = written.value.parse().ok();
        if address.is_none() {
            let help = match written.rsplit_once(':') {
                Some((_, port)) if port.parse::<u16>().is_ok() => {
                    format!("a name may mean several addresses: write `127.0.0.1:{port}`")
                }
                _ => "write it as `127.0.0.1:8080` or `[::1]:8080`".to_owned(),
            };
            self.complaints.add_with_help(
                written.mark,
                format!("{path}.address"),
                "not an IP address and a port",
                help,
            );
        }
        address
    }

    fn host_patterns(
        &mut self,
        written: Option<&[Spanned<String>]>,
        path: &str,
    ) -> Vec<HostPattern> {
        let help = "write it as `mcp.example`, `mcp.example:8080` or `*`";
        self.patterns(
            written,
            &format!("{path}.allowed_hosts"),
            "a host",
            help,
            HostPattern::parse,
        )
    }

    fn origin_patterns(
        &mut self,
        written: Option<&[Spanned<String>]>,
        path: &str,
    ) -> Vec<OriginPattern> {
        let help = "write it as `https://app.example`, `http://localhost:*` or `*`";
        self.patterns(
            written,
            &format!("{path}.allowed_origins"),
            "an origin",
            help,
            OriginPattern::parse,
        )
    }

    fn networks(&mut self, written: Option<&[Spanned<String>]>, path: &str) -> Vec<Network> {
        self.patterns(
            written,
            &format!("{path}.trusted_proxies"),
            "addresses",
            "write it as `10.0.0.0/8` or `10.0.0.7`",
            Network::parse,
        )
    }

    fn patterns<T>(
        &mut self,
        written: Option<&[Spanned<String>]>,
        path: &str,
        noun: &str,
        help: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let mut patterns = Vec::new();
        for (index, text) in written.unwrap_or_default().iter().enumerate() {
            match read(text) {
                Some(pattern) => patterns.push(pattern),
                None => {
                    let message = format!("`{}` is not a pattern for {noun}", text.escape_debug());
                    let path = format!("{path}[{index}]");
                    self.complaints
                        .add_with_help(text.mark, path, message, help);
                }
            }
        }
        patterns
    }
}

/// Whether the system would refuse to bind both.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let everywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || (everywhere && a.is_ipv4() == b.is_ipv4()))
}
