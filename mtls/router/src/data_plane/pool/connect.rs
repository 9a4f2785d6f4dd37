//! Opens one connection to an endpoint.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::Reason;
use cellway_core::registry::Endpoint;
use cellway_env::Env;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::bulkhead::ConnectionPermit;
use crate::data_plane::http1::Http1Connection;
use crate::data_plane::http2::Http2Sender;
use crate::data_plane::incoming::HttpError;
use crate::settings::UpstreamSettings;
use crate::shares::{LimitRefused, Resource, Unadmitted};
use crate::tls::CellTls;
pub(super) use crate::to_cell::Versions;
use crate::to_cell::{NotReached, reach, speaks_http2};
use crate::wire::Wire;

/// How many streams an HTTP/2 connection may have before the cell says how many it allows, and what to
/// notify when the connection may take more requests.
pub(super) type Room = (u32, Arc<Notify>);

/// A new connection, by its HTTP version.
pub(super) enum Opened {
    H1(Box<Http1Connection>),
    H2(Http2Sender),
}

/// Why a connection could not be made. Nothing of a request was sent.
#[derive(Clone, Debug)]
pub(crate) struct ConnectError {
    pub(crate) reason: Reason,
    pub(crate) error: Arc<str>,
    /// Which limit on the cell's connections or streams is reached, if that is the reason.
    pub(crate) full: Option<Unadmitted>,
    /// Whether earlier endpoints used up the time. Then this one had less time than a connection
    /// may take, so the failure doesn't count against it.
    pub(crate) cut_short: bool,
    /// Whether another request has made this attempt, and its report is enough.
    pub(crate) is_known: bool,
}

impl ConnectError {
    pub(crate) fn new(reason: Reason, error: impl ToString) -> Self {
        Self {
            reason,
            error: error.to_string().into(),
            full: None,
            cut_short: false,
            is_known: false,
        }
    }

    /// The same for a request that has waited for this attempt of another one. An attempt that is
    /// refused fails once, however many wait for it: the next one may succeed. If the endpoint stays
    /// silent until the time is over, each request has waited in vain, as over HTTP/1.1, where each
    /// connects for itself. Counted once, attempt after attempt would have to time out before the
    /// breaker opens.
    pub(super) fn of_another(self) -> Self {
        let silent = matches!(
            self.reason,
            Reason::CellTimeoutConnect | Reason::CellTimeoutTls
        );
        Self {
            is_known: !silent,
            ..self
        }
    }

    /// The time limit for trying several endpoints is over.
    pub(crate) fn cut_short() -> Self {
        let reason = Reason::CellTimeoutConnect;
        Self {
            cut_short: true,
            ..Self::new(reason, reason.describe())
        }
    }

    /// The endpoint speaks only HTTP/2 and doesn't take an extended CONNECT.
    pub(super) fn no_upgrade() -> Self {
        Self::new(
            Reason::CellNoUpgrade,
            "the endpoint speaks HTTP/2 without SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441)",
        )
    }

    /// The cell, or one of this request's holders, has as many connections as it may.
    pub(super) fn full(full: LimitRefused) -> Self {
        Self {
            full: Some(Unadmitted {
                full,
                resource: Resource::CellConnections,
            }),
            ..Self::new(
                Reason::Overloaded,
                "the cell has as many connections as connections_max allows",
            )
        }
    }

    /// The cell allows no more streams on its connections, or not for one of this request's holders.
    pub(super) fn no_stream(full: Unadmitted) -> Self {
        Self {
            full: Some(full),
            ..Self::new(
                Reason::Overloaded,
                "the cell allows no more streams on its connections",
            )
        }
    }
}

impl From<NotReached> for ConnectError {
    fn from(NotReached { reason, error }: NotReached) -> Self {
        Self::new(reason, error)
    }
}

/// Connects and does the handshakes. The connection holds the permit. One over HTTP/2 runs in its own task.
/// The connection should be replaced from `until` on.
pub(super) async fn connect<E: Env>(
    env: &E,
    endpoint: &Endpoint,
    tls: Option<&CellTls>,
    upstream: &UpstreamSettings,
    (until, versions): (Instant, Versions),
    (permit, room): (ConnectionPermit, Room),
) -> Result<Opened, ConnectError> {
    let wire = reach(env, endpoint, tls, &upstream.timeouts, versions).await?;
    let http2 = speaks_http2(endpoint, &wire);
    if http2 && versions == Versions::Http1 {
        return Err(ConnectError::no_upgrade());
    }
    if !http2 {
        let http1 = Http1Connection::new(wire, upstream.answers, until, permit);
        return Ok(Opened::H1(Box::new(http1)));
    }
    let opened = speak_http2(env, wire, upstream.keepalive, (permit, room)).await;
    opened.map_err(|error| ConnectError::new(Reason::CellUnreachable, error))
}

/// Unless `keepalive` is set, a quiet connection is not pinged: gRPC servers close connections that
/// are pinged more often than they permit. TCP notices a dead cell (see [`Env::connect`]), and so
/// does the first request that times out ([`Lease::unanswered`](super::Lease::unanswered)).
async fn speak_http2<E: Env>(
    env: &E,
    wire: Wire<E::Stream>,
    keepalive: Option<Duration>,
    (permit, room): (ConnectionPermit, Room),
) -> Result<Opened, HttpError> {
    let (sender, running) = Http2Sender::connect(wire, keepalive, room).await?;
    env.spawn(async move {
        running.await;
        drop(permit);
    });
    Ok(Opened::H2(sender))
}
