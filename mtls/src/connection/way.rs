//! Who a connection's client is, and by which way it came: what cells are told of that.

use std::net::SocketAddr;
use std::sync::Mutex;

use cellway_core::headers::{Forwarded, Hop, Told, forward};
use cellway_core::proxy_protocol::{HEADER_MAX, Step, read};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::event::Closed;
use crate::live::private;
use crate::settings::ListenerSettings;

/// The client of a connection from `peer`: what a PROXY header names, where the listener takes such
/// headers from that peer, and else the peer. From a peer that isn't listed nothing is read: anybody
/// could write a header. One that is listed must send one: without, nobody knows who the client is.
pub(super) async fn client_of(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    settings: &ListenerSettings,
) -> Result<SocketAddr, Closed> {
    let listed = settings.proxy_protocol.iter();
    if !listed.clone().any(|network| network.contains(peer.ip())) {
        return Ok(peer);
    }
    // Boxed: few connections need the room.
    let reading = Box::pin(read_header(stream));
    let client = match timeout(settings.timeouts.first_byte, reading).await {
        Err(_) => return Err(Closed::FirstByteTimeout),
        Ok(client) => client?,
    };
    Ok(client.unwrap_or(peer))
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Closed> {
    let mut bytes = Vec::with_capacity(128);
    loop {
        let more = match read(&bytes).map_err(|_| Closed::ProxyHeader)? {
            Step::Done { client } => return Ok(client),
            Step::More(more) => more,
        };
        let had = bytes.len();
        // `read` keeps below it; this is what the memory is bounded by.
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

/// What the cells are told of the way of a connection's requests.
#[derive(Debug)]
pub(crate) struct Way {
    hop: Hop,
    /// Of the last request's authority. The lock is private to the worker.
    told: Mutex<Option<Told>>,
}

impl Way {
    pub(super) fn new(client: SocketAddr, secure: bool) -> Self {
        Self {
            hop: Hop::new(client.ip(), secure),
            told: Mutex::new(None),
        }
    }

    /// Writes it into a request's header.
    pub(crate) fn tell(&self, mode: Forwarded, authority: &str, headers: &mut HeaderMap) {
        let mut last = private(&self.told);
        let told = match &*last {
            Some(told) if told.is_of(authority) => told,
            _ => last.insert(self.hop.told(authority)),
        };
        forward(mode, &self.hop, told, headers);
    }
}
