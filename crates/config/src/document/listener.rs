//! `listeners`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::ListenerTls;
use crate::yaml::Spanned;

/// Where clients are accepted.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// IP address and port, such as `127.0.0.1:8080` or `[::1]:8080`. Port 0 lets the system choose one.
    pub(crate) address: Spanned<String>,
    /// Names under which clients reach the listener, as in `mcp.example`, `mcp.example:8080` or `*` for any. A request
    /// for another name is refused, which keeps web pages from reaching the gateway through a name of their own. The
    /// names of loopback and the listener's own address are always allowed.
    pub(crate) allowed_hosts: Option<Vec<Spanned<String>>>,
    /// Origins of web pages that may call, as in `https://app.example`, `http://localhost:*` or `*` for any. A listener
    /// on loopback always allows pages of the same machine: `http://localhost:*`, `https://localhost:*`, and
    /// the same for `127.0.0.1` and `[::1]`.
    pub(crate) allowed_origins: Option<Vec<Spanned<String>>>,
    /// The URL by which clients know the listener, such as `https://mcp.example`: its routes are below. Needed for OAuth,
    /// and where something passes requests on to a listener on loopback. Its host is among the allowed ones.
    pub(crate) public_url: Option<Spanned<String>>,
    /// How it speaks TLS. Without it everything is sent as it is.
    pub(crate) tls: Option<ListenerTls>,
    /// Addresses of proxies before the gateway, as in `10.0.0.0/8` or `10.0.0.7`. Of those, and of nobody else, `Forwarded`
    /// and `X-Forwarded-For` are believed: rules and logs see the address of the client behind them. Hosts are never
    /// taken from a header.
    pub(crate) trusted_proxies: Option<Vec<Spanned<String>>>,
    /// Whether everybody who reaches the listener may call the routes that ask nobody who they are. Has to be said if
    /// others than this machine reach it: at any address but loopback, or by a public URL.
    #[schemars(extend("default" = false))]
    pub(crate) allow_unauthenticated: Option<Spanned<bool>>,
}
