//! A connection to a cell.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, Notify};

use super::blocks::{Blocks, HEADER_LIST_MAX};
use super::exchange::Exchange;
use super::keep_alive::KeepAlive;
use super::link::Link;
use super::listening::Listening;
use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::data_plane::body::RequestBody;

/// How long a cell may take to answer a ping, if pings are sent.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends requests on a connection. The connection closes when this is dropped and its streams have
/// ended.
#[derive(Debug)]
pub(crate) struct Http2Sender {
    /// Locked while a request waits for the cell to allow another stream. The next requests wait
    /// for the lock, in order, so that they aren't sent yet and can go elsewhere if the connection
    /// ends.
    requests: Mutex<SendRequest<Bytes>>,
    /// The same, for its getters alone.
    settings: SendRequest<Bytes>,
    link: Arc<Link>,
}

impl Http2Sender {
    /// Begins HTTP/2 on new bytes. The second value runs the connection. `streams_at_first` are opened before
    /// the cell says how many it allows. `room` is notified when the cell may take more requests, and when
    /// the connection has ended.
    ///
    /// # Errors
    /// The bytes broke.
    pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        stream: S,
        keepalive: Option<Duration>,
        (streams_at_first, room): (u32, Arc<Notify>),
    ) -> Result<(Self, Running<S>), h2::Error> {
        let link = Arc::new(Link::new(streams_at_first, room));
        let stream = Listening::new(stream, Blocks::of_answers(link.clone()));
        let (requests, mut connection) = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(streams_at_first as usize)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST_MAX)
            .handshake(stream)
            .await?;
        let keep_alive = keepalive.and_then(|interval| {
            let pings = connection.ping_pong()?;
            Some(KeepAlive::new(pings, [interval, PING_TIMEOUT]))
        });
        let running = Running {
            connection,
            keep_alive,
            link: link.clone(),
        };
        let this = Self {
            settings: requests.clone(),
            requests: Mutex::new(requests),
            link,
        };
        Ok((this, running))
    }

    /// Sends a request's header, as soon as the cell allows another stream. The request is taken from
    /// `slot` only then: if it is still there after an error, the cell has got nothing of it.
    ///
    /// # Errors
    /// The connection has ended or takes no more requests.
    pub(crate) async fn send(
        &self,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Result<Exchange, h2::Error> {
        let mut sender = match self.requests.try_lock() {
            Ok(sender) => sender,
            // Boxed, because few requests wait here.
            Err(_) => Box::pin(self.requests.lock()).await,
        };
        poll_fn(|cx| sender.poll_ready(cx)).await?;
        let exchange = Exchange::begin(&mut sender, slot)?;
        // Ready once the stream is open. Before that, no part of the connection's window may go to
        // its body.
        poll_fn(|cx| sender.poll_ready(cx)).await?;
        Ok(exchange)
    }

    /// Whether the cell takes an extended CONNECT (RFC 8441). Waits for the cell's SETTINGS.
    pub(crate) async fn takes_connect(&self) -> bool {
        self.link.greeted().await;
        self.settings.is_extended_connect_protocol_enabled()
    }

    /// How many streams the cell allows at a time.
    pub(crate) fn streams_max(&self) -> usize {
        self.link.streams_max()
    }

    /// Whether the cell's SETTINGS have come.
    pub(crate) fn is_greeted(&self) -> bool {
        self.link.is_greeted()
    }

    /// Waits until the cell's SETTINGS have come.
    pub(crate) async fn greeted(&self) {
        self.link.greeted().await;
    }

    /// How large a header the cell takes, as HTTP/2 counts it.
    pub(crate) fn header_list_max(&self) -> usize {
        self.link.header_list_max()
    }

    /// Whether the connection has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.link.has_ended()
    }

    /// Counts a request that holds the connection. Returns how many there were before.
    pub(crate) fn begins(&self) -> usize {
        self.link.begins()
    }

    /// Counts a request no more. Returns how many there were before.
    pub(crate) fn ends(&self) -> usize {
        self.link.ends()
    }

    /// How many requests hold the connection.
    pub(crate) fn requests(&self) -> usize {
        self.link.requests()
    }
}

/// Runs a connection to its end. The requests get its errors themselves.
pub(crate) struct Running<S> {
    connection: Connection<Listening<S, Blocks>, Bytes>,
    keep_alive: Option<KeepAlive>,
    link: Arc<Link>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Running<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if Pin::new(&mut this.connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let heard = this.link.has_read();
        let Some(keep_alive) = &mut this.keep_alive else {
            return Poll::Pending;
        };
        if heard {
            keep_alive.heard();
        }
        // An idle connection isn't pinged: gRPC servers allow few pings there.
        match this.link.requests() {
            0 => Poll::Pending,
            _ => keep_alive.poll(cx),
        }
    }
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        self.link.closes();
    }
}

#[cfg(test)]
mod tests;
