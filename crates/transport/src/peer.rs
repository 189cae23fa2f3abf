//! Who is at the other end of a connection, as far as the connection itself can say.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection.
#[derive(Clone, Default)]
pub struct Peer {
    /// Where it connects from.
    pub address: Option<SocketAddr>,
    /// The certificate (DER) that it has shown, and whose chain, times and key were verified when the connection began.
    pub certificate: Option<Arc<[u8]>>,
}

impl From<Option<SocketAddr>> for Peer {
    fn from(address: Option<SocketAddr>) -> Self {
        Self {
            address,
            certificate: None,
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("address", &self.address)
            .field("certificate", &self.certificate.is_some())
            .finish()
    }
}
