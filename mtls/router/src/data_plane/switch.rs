//! Where a client's connection or stream and the request that switches its protocol meet.
//!
//! A tunnel over HTTP/1.1 takes the place of its connection: the connection's task runs it, so that
//! the connection still counts in its listener's limits, and its watch still cuts it. A tunnel over
//! HTTP/2 has a task of its own, which gets the bytes of its stream when the answer was sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use h2::SendStream;
use tokio::sync::oneshot;

use crate::lock::lock_uncontended;

/// What runs in place of HTTP after a switch.
pub(crate) type Tunnel = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The state of one HTTP/1.1 connection. Only its task and its requests use it.
#[derive(Default)]
pub(crate) struct Switch {
    asked: AtomicBool,
    switched: AtomicBool,
    tunnel: Mutex<Option<Tunnel>>,
}

impl Switch {
    /// Notes that a request asked to switch. hyper doesn't close such a connection in order.
    pub(crate) fn asks(&self) {
        self.asked.store(true, Relaxed);
    }

    /// Whether any request asked to switch.
    pub(crate) fn was_asked(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// Notes that the answer switches, and what runs afterwards.
    pub(crate) fn switches(&self, tunnel: Tunnel) {
        self.switched.store(true, Relaxed);
        *lock_uncontended(&self.tunnel) = Some(tunnel);
    }

    /// Whether the answer to the last request switches.
    pub(crate) fn has_switched(&self) -> bool {
        self.switched.load(Relaxed)
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
