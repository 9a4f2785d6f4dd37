//! Where a connection comes from, and the forwarding fields that cells get for it.

use std::net::SocketAddr;
use std::sync::Mutex;

use cellway_core::headers::{Forwarded, ForwardedValues, Hop, forward};
use cellway_core::proxy_protocol::{HEADER_MAX, Step, read};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::lock::lock_uncontended;
use crate::observe::event::Closed;
use crate::settings::ListenerSettings;
use crate::shares::{Holder, Holders, Share};

/// Where a connection or a request comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    /// The client's address, or its proxy's if the client is unknown.
    pub(crate) address: SocketAddr,
    /// Whether the address belongs to one client. Many clients share the address of a proxy that
    /// names none.
    is_client: bool,
}

impl Origin {
    /// A client that connects from this address.
    pub(crate) fn client(address: SocketAddr) -> Self {
        Self {
            address,
            is_client: true,
        }
    }

    /// A proxy that names no client.
    fn proxy(address: SocketAddr) -> Self {
        Self {
            address,
            is_client: false,
        }
    }

    /// The holder that it counts for. Connections from a proxy that names no client count for no
    /// holder, because a load balancer is not one client.
    pub(crate) fn holder(&self, holders: &Holders, share: Share) -> Holder {
        match self.is_client {
            true => holders.address(share, self.address.ip()),
            false => Holder::NOBODY,
        }
    }
}

/// Finds where a connection from `peer` comes from: from the client that a PROXY header names, if
/// the listener reads these headers from that peer, otherwise from the peer. No header is read from
/// a peer that isn't listed, because any client could send one. A listed peer must send a header,
/// because otherwise the client is unknown.
pub(crate) async fn origin_of(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    settings: &ListenerSettings,
) -> Result<Origin, Closed> {
    if !settings.is_proxy(peer.ip()) {
        return Ok(Origin::client(peer));
    }
    // Boxed, because few connections need it.
    let reading = Box::pin(read_header(stream));
    let client = match timeout(settings.timeouts.first_byte, reading).await {
        Err(_) => return Err(Closed::FirstByteTimeout),
        Ok(client) => client?,
    };
    Ok(client.map_or(Origin::proxy(peer), Origin::client))
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Closed> {
    let mut bytes = Vec::with_capacity(128);
    loop {
        let more = match read(&bytes).map_err(|_| Closed::ProxyHeader)? {
            Step::Done { client } => return Ok(client),
            Step::More(more) => more,
        };
        let had = bytes.len();
        // `read` never exceeds this. The check bounds the memory in any case.
        if had + more > HEADER_MAX {
            return Err(Closed::ProxyHeader);
        }
        bytes.resize(had + more, 0);
        match stream.read_exact(&mut bytes[had..]).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Closed::Client);
            }
            Err(_) => return Err(Closed::Error),
        }
    }
}

/// The forwarding fields of a connection's requests.
#[derive(Debug)]
pub(crate) struct ForwardingFields {
    hop: Hop,
    /// The authority of the last request that was allowed. Only this worker uses the lock.
    last: Mutex<Option<LastAuthority>>,
}

/// An authority, and what is made of it. Nearly all requests of a connection have the same.
#[derive(Debug)]
struct LastAuthority {
    /// `None` if the request had no authority.
    parsed: Option<Authority>,
    values: ForwardedValues,
}

impl ForwardingFields {
    pub(crate) fn new(client: SocketAddr, secure: bool) -> Self {
        Self {
            hop: Hop::new(client.ip(), secure),
            last: Mutex::new(None),
        }
    }

    /// Sets the forwarding fields in a request's header.
    pub(crate) fn set(&self, mode: Forwarded, authority: &str, headers: &mut HeaderMap) {
        let mut last = lock_uncontended(&self.last);
        let last = match &*last {
            Some(last) if last.values.is_of(authority) => last,
            _ => last.insert(LastAuthority {
                parsed: authority.try_into().ok(),
                values: self.hop.values_for(authority),
            }),
        };
        forward(mode, &self.hop, &last.values, headers);
    }

    /// Whether the last request that was allowed had the same `Host`. Then it was checked.
    pub(crate) fn knows(&self, host: &HeaderValue) -> bool {
        let last = lock_uncontended(&self.last);
        (last.as_ref()).is_some_and(|last| last.parsed_from(host).is_some())
    }

    /// The authority in a `Host` field, if the last request that was allowed had the same.
    pub(crate) fn known_authority(&self, host: &HeaderValue) -> Option<Authority> {
        lock_uncontended(&self.last)
            .as_ref()?
            .parsed_from(host)
            .cloned()
    }
}

impl LastAuthority {
    fn parsed_from(&self, host: &HeaderValue) -> Option<&Authority> {
        let parsed = self.parsed.as_ref()?;
        (parsed.as_str().as_bytes() == host.as_bytes()).then_some(parsed)
    }
}
