//! Looks names up, and knows `localhost` by itself.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

/// The system's resolver, except that `localhost` is both loopback addresses (RFC 6761 §6.3).
///
/// Servers bind "localhost" to either family, and hosts files list sometimes one and sometimes both: the connector
/// tries the second address when the first refuses or is slow.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    system: GaiResolver,
}

impl Resolver {
    pub(crate) fn new() -> Self {
        Self {
            system: GaiResolver::new(),
        }
    }
}

type Addresses = Box<dyn Iterator<Item = SocketAddr> + Send>;
type Lookup = std::pin::Pin<Box<dyn Future<Output = Result<Addresses, io::Error>> + Send>>;

impl Service<Name> for Resolver {
    type Response = Addresses;
    type Error = io::Error;
    type Future = Lookup;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Lookup {
        if is_localhost(name.as_str()) {
            let both = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            ];
            return Box::pin(std::future::ready(Ok(
                Box::new(both.into_iter()) as Addresses
            )));
        }
        let mut system = self.system.clone();
        Box::pin(async move {
            std::future::poll_fn(|context| system.poll_ready(context)).await?;
            let found = system.call(name).await?;
            Ok(Box::new(found) as Addresses)
        })
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name
            .rsplit_once('.')
            .is_some_and(|(_, last)| last.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_and_names_below_it_are_the_loopback() {
        for name in ["localhost", "LocalHost.", "app.localhost"] {
            assert!(is_localhost(name), "{name}");
        }
        for name in ["localhost.example", "notlocalhost", ""] {
            assert!(!is_localhost(name), "{name}");
        }
    }
}
