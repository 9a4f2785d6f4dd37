//! Where a client's connection or stream and the request that switches its protocol meet.
//!
//! A tunnel over HTTP/1.1 takes the place of its connection: the connection's task runs it, so that
//! the connection still counts in its listener's limits, and its watch still cuts it. A tunnel over
//! HTTP/2 has a task of its own, which gets the bytes of its stream when the answer was sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use bytes::Bytes;
use h2::SendStream;
use tokio::sync::oneshot;

use crate::data_plane::incoming::ClientBytes;
use crate::lock::lock_uncontended;

/// What runs in place of HTTP after a switch.
pub(crate) type Tunnel = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The switch that a request over HTTP/1.1 asks for. Only its connection and the request use it.
pub(crate) struct Switch {
    bytes: ClientBytes,
    tunnel: Mutex<Option<Tunnel>>,
}

impl Switch {
    /// For a connection with these bytes.
    pub(crate) fn new(bytes: ClientBytes) -> Self {
        Self {
            bytes,
            tunnel: Mutex::default(),
        }
    }

    /// The connection's bytes. Only the tunnel may use them.
    pub(crate) fn bytes(&self) -> ClientBytes {
        self.bytes.clone()
    }

    /// Notes that the answer switches, and what runs afterwards.
    pub(crate) fn switches(&self, tunnel: Tunnel) {
        *lock_uncontended(&self.tunnel) = Some(tunnel);
    }

    /// What runs now, if the connection has switched.
    pub(crate) fn take(&self) -> Option<Tunnel> {
        lock_uncontended(&self.tunnel).take()
    }
}

/// The state of an extended CONNECT over HTTP/2. Only the task of its stream uses it.
#[derive(Default)]
pub(crate) struct StreamSwitch(Mutex<Option<oneshot::Sender<SendStream<Bytes>>>>);

impl StreamSwitch {
    /// Notes that the answer switches. The tunnel gets the stream to write to when the answer was sent.
    pub(crate) fn switches(&self) -> oneshot::Receiver<SendStream<Bytes>> {
        let (sender, receiver) = oneshot::channel();
        *lock_uncontended(&self.0) = Some(sender);
        receiver
    }

    /// Who gets the stream, if the answer switches.
    pub(crate) fn take(&self) -> Option<oneshot::Sender<SendStream<Bytes>>> {
        lock_uncontended(&self.0).take()
    }
}
