//! Requests that switch the protocol: `Upgrade` over HTTP/1.1 (RFC 9110, section 7.8) and extended
//! CONNECT over HTTP/2 (RFC 8441), on either side.
//!
//! A request that asks to switch is decided like any other. An extended CONNECT is decided as `GET`,
//! which it stands for. The router asks the cell in the form of the cell's version of HTTP, and
//! answers the client in the form of the client's. After that, a [`Tunnel`] passes the bytes on.
//!
//! A request over HTTP/1.1 whose protocol is not allowed, or that has a body, is forwarded without
//! its `Upgrade` field.

mod end;
mod flow;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use cellway_core::headers::HeaderRules;
use cellway_core::upgrade::{self, Upgrades, WEBSOCKET};
use cellway_core::{Reason, TokenProof, Unix, headers, websocket};
use cellway_env::Env;
use h2::RecvStream;
use h2::ext::Protocol;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;

use self::end::End;
use self::tunnel::{Ends, Tunnel};
use super::report::Report;
use crate::data_plane::body::RequestBody;
use crate::data_plane::http2::StreamBytes;
use crate::data_plane::incoming::{Incoming, SwitchedBytes};
use crate::data_plane::pool::{Lease, RequestPermit};
use crate::data_plane::switch::{StreamSwitch, Switch};
use crate::observe::event::Sink;

/// A request to switch the protocol.
pub(in crate::data_plane::proxy) struct Upgrade {
    /// The `Upgrade` field, or `:protocol`.
    asked: HeaderValue,
    /// The one protocol that the cell is asked for.
    protocol: HeaderValue,
    /// The method of the request over HTTP/1.1.
    method: Method,
    client: Client,
    /// When the tunnel ends, if it ends with the caller's token.
    token: Option<Unix>,
    /// The `Sec-WebSocket-Key` that an HTTP/1.1 cell gets: the client's, or the router's own if the
    /// client uses HTTP/2, which has none.
    key: Option<HeaderValue>,
}

/// The client's side of a switch.
enum Client {
    /// Its connection.
    Http1(Arc<Switch>),
    /// Its stream, and what comes on it.
    Http2(Arc<StreamSwitch>, RecvStream),
}

/// The cell's side of a switch.
pub(in crate::data_plane::proxy) enum CellEnd {
    Http1(Box<SwitchedBytes>),
    Http2(Box<StreamBytes>),
}

impl CellEnd {
    /// The cell's bytes.
    fn switched(self) -> End {
        match self {
            Self::Http1(connection) => End::Cell(*connection),
            Self::Http2(stream) => End::Http2(*stream),
        }
    }
}

/// A cell's agreement to switch.
pub(in crate::data_plane::proxy) struct Switched {
    pub(super) upgrade: Box<Upgrade>,
    pub(super) cell: CellEnd,
    /// Whether the cell uses HTTP/2.
    http2: bool,
}

/// Why a cell's answer to a request to switch isn't forwarded.
pub(super) type NotSwitched = (Reason, &'static str);

impl Upgrade {
    /// Takes the request to switch out of a request. Returns the request's body if it has one.
    pub(super) fn take(
        env: &impl Env,
        parts: &mut Parts,
        incoming: Incoming,
    ) -> (Option<Box<Self>>, Option<Incoming>) {
        match incoming {
            Incoming::Request(_) | Incoming::Answer(_) | Incoming::Empty => {
                let has_body = !incoming.is_end_stream();
                (Self::take_http1(parts, has_body), Some(incoming))
            }
            Incoming::Http2(body) => match parts.extensions.remove::<Arc<StreamSwitch>>() {
                Some(switch) => {
                    let client = Client::Http2(switch, body.into_stream());
                    (Self::take_http2(env, parts, client), None)
                }
                None => (None, Some(Incoming::Http2(body))),
            },
        }
    }

    /// `None` if the request doesn't ask to switch.
    fn take_http1(parts: &mut Parts, has_body: bool) -> Option<Box<Self>> {
        let switch = parts.extensions.remove::<Arc<Switch>>()?;
        if has_body || matches!(parts.method, Method::CONNECT | Method::HEAD) {
            return None;
        }
        let asked = upgrade::field(&parts.headers)?;
        let key = headers::only(&parts.headers, &SEC_WEBSOCKET_KEY).cloned();
        let client = Client::Http1(switch);
        Some(Self::new(parts, client, asked, key))
    }

    /// `None` if the request stays a CONNECT.
    fn take_http2(env: &impl Env, parts: &mut Parts, client: Client) -> Option<Box<Self>> {
        let asked = take_connect(parts)?;
        let mut random = [0; 16];
        env.fill(&mut random);
        let key = HeaderValue::try_from(websocket::key(random)).ok();
        Some(Self::new(parts, client, asked, key))
    }

    fn new(
        parts: &Parts,
        client: Client,
        asked: HeaderValue,
        key: Option<HeaderValue>,
    ) -> Box<Self> {
        Box::new(Self {
            protocol: asked.clone(),
            asked,
            method: parts.method.clone(),
            client,
            token: None,
            key,
        })
    }

    /// Whether the client uses HTTP/2.
    pub(super) fn is_from_http2(&self) -> bool {
        matches!(self.client, Client::Http2(..))
    }

    /// The method of the request over HTTP/1.1.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Chooses the protocol: the first one that the client names and the list has. `false` if there
    /// is none.
    pub(super) fn choose(&mut self, upgrades: &Upgrades) -> bool {
        let chosen = match self.is_from_http2() {
            true => (upgrades.allows(self.asked.as_bytes())).then(|| self.asked.clone()),
            false => upgrades.first_of(&self.asked),
        };
        let Some(chosen) = chosen else {
            return false;
        };
        self.protocol = chosen;
        // Without these it is no handshake (RFC 6455, section 4.1), and one over HTTP/2 could not be
        // made from it.
        !self.is_websocket() || self.method == Method::GET && self.key.is_some()
    }

    /// Sets that the tunnel ends with the caller's token.
    pub(super) fn ends_with(&mut self, token: &TokenProof) {
        self.token = token.expires.map(Unix::from_secs);
    }

    fn is_websocket(&self) -> bool {
        (self.protocol.as_bytes()).eq_ignore_ascii_case(WEBSOCKET.as_bytes())
    }

    /// Asks an HTTP/1.1 cell.
    pub(super) fn ask_http1(&self, request: &mut Request<RequestBody>) {
        *request.method_mut() = self.method.clone();
        request.extensions_mut().remove::<Protocol>();
        let headers = request.headers_mut();
        // It would have to be listed in `Connection`, and a switch has no trailers.
        headers.remove(TE);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
        if let Some(key) = self.key.as_ref().filter(|_| self.is_websocket()) {
            headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        }
    }

    /// Asks an HTTP/2 cell.
    pub(super) fn ask_http2(&self, request: &mut Request<RequestBody>) {
        *request.method_mut() = Method::CONNECT;
        let headers = request.headers_mut();
        for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_KEY, CONTENT_LENGTH] {
            headers.remove(name);
        }
        // A `:protocol` that isn't text can't be sent.
        if let Ok(protocol) = self.protocol.to_str() {
            let protocol = Protocol::from(protocol);
            request.extensions_mut().insert(protocol);
        }
    }

    /// Whether an HTTP/1.1 cell agrees to switch.
    ///
    /// # Errors
    /// Its answer can't be forwarded.
    pub(super) fn agreed_by_http1(
        &self,
        response: &mut Response<Incoming>,
    ) -> Result<Option<CellEnd>, NotSwitched> {
        let broken = |why| Err((Reason::CellProtocolError, why));
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return not_agreed(response, self.is_from_http2());
        }
        let field = upgrade::field(response.headers());
        let same = |it: HeaderValue| {
            let protocol = self.protocol.as_bytes();
            it.as_bytes().eq_ignore_ascii_case(protocol)
        };
        if !field.is_some_and(same) {
            return broken("101 to another protocol than the router asked for");
        }
        if self.is_websocket() && self.is_from_http2() && !self.is_accepted(response.headers()) {
            return broken("101 without the Sec-WebSocket-Accept for the router's key");
        }
        match std::mem::replace(response.body_mut(), Incoming::Empty) {
            Incoming::Answer(body) => Ok(Some(CellEnd::Http1(Box::new(body.into())))),
            Incoming::Request(_) | Incoming::Http2(_) | Incoming::Empty => {
                broken("101 without a connection")
            }
        }
    }

    /// The same for an HTTP/2 cell. `tunnel` is its stream if the status agrees.
    pub(super) fn agreed_by_http2(
        &self,
        response: &Response<Incoming>,
        tunnel: Option<Box<StreamBytes>>,
    ) -> Result<Option<CellEnd>, NotSwitched> {
        match tunnel {
            Some(stream) => Ok(Some(CellEnd::Http2(stream))),
            None => not_agreed(response, true),
        }
    }

    /// Whether the cell has accepted the router's own key.
    fn is_accepted(&self, headers: &HeaderMap) -> bool {
        let accept = headers::only(headers, &SEC_WEBSOCKET_ACCEPT);
        self.accept().is_some_and(|own| accept == Some(&own))
    }

    fn accept(&self) -> Option<HeaderValue> {
        let key = self.key.as_ref()?;
        HeaderValue::try_from(websocket::accept(key.as_bytes())).ok()
    }
}

/// Turns an extended CONNECT into the `GET` that it stands for. Returns its protocol. What follows the header
/// are bytes of that protocol, so a length says nothing (RFC 9110, section 9.3.6).
///
/// If that is no field value, the request stays a CONNECT, which the router refuses. As a GET it would
/// get an answer that says that the router has switched.
fn take_connect(parts: &mut Parts) -> Option<HeaderValue> {
    let protocol = parts.extensions.get::<Protocol>()?;
    let asked = HeaderValue::from_bytes(protocol.as_ref()).ok()?;
    parts.extensions.remove::<Protocol>();
    parts.headers.remove(CONTENT_LENGTH);
    parts.method = Method::GET;
    Some(asked)
}

impl Switched {
    pub(super) fn new(upgrade: Box<Upgrade>, cell: CellEnd, http2: bool) -> Self {
        Self {
            upgrade,
            cell,
            http2,
        }
    }

    /// Removes from the cell's agreement what must not be passed on.
    pub(super) fn sanitize(
        rules: &HeaderRules,
        headers: &mut HeaderMap,
    ) -> Result<(), &'static str> {
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        headers::sanitize_response(rules, headers).map_err(|refused| refused.detail())
    }

    /// Puts the agreement into the form of the client's version of HTTP.
    pub(super) fn write(&self, status: &mut StatusCode, headers: &mut HeaderMap) {
        let upgrade = &self.upgrade;
        if upgrade.is_from_http2() {
            *status = StatusCode::OK;
            headers.remove(SEC_WEBSOCKET_ACCEPT);
            return;
        }
        *status = StatusCode::SWITCHING_PROTOCOLS;
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade.protocol.clone());
        if let Some(accept) = upgrade
            .accept()
            .filter(|_| self.http2 && upgrade.is_websocket())
        {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
    }

    /// Starts the tunnel: in the place of the client's HTTP/1.1 connection, or in a task of its own.
    pub(super) fn start<E: Env, S: Sink>(
        self,
        report: Report<E, S>,
        held: (Lease, RequestPermit),
        [idle, stall]: [Duration; 2],
    ) {
        let env = report.connection.worker.env.clone();
        let upgrade = self.upgrade;
        let token = upgrade.token;
        let ends = Ends { idle, stall, token };
        let tunnel = Tunnel::new(report, held, ends, upgrade.is_websocket());
        match upgrade.client {
            Client::Http1(switch) => {
                let bytes = switch.bytes();
                let client = async { Some(End::Client(bytes)) };
                switch.switches(Box::pin(tunnel.run(client, self.cell)));
            }
            Client::Http2(switch, from) => {
                let to = switch.switches();
                let client = async { Some(End::Http2(StreamBytes::new(from, to.await.ok()?))) };
                env.spawn(tunnel.run(client, self.cell));
            }
        }
    }
}

/// What an answer means that doesn't switch. With `must_switch`, a success would be taken for an
/// agreement.
fn not_agreed(
    response: &Response<Incoming>,
    must_switch: bool,
) -> Result<Option<CellEnd>, NotSwitched> {
    match response.status().is_success() && must_switch {
        true => Err((
            Reason::CellNoUpgrade,
            "the cell answered the request to switch protocols with another success",
        )),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests;
