//! A client's HTTP/1.1 connection: takes its requests one after the other, and writes their answers.
//!
//! While the cell works on a request, the connection reads ahead. A client may close its sending side and
//! continue to read (RFC 9112, section 9.6), so an orderly close is kept for later. A reset shows that
//! the client is gone. It ends the request, so that the request doesn't keep its place at the cell.
//! Interim answers (RFC 9110, section 15.2) are written meanwhile.
//!
//! If a request switches the connection to another protocol, its tunnel runs here after that.
//!
//! A connection that has been idle for some time frees its buffers and the room for an exchange. So it
//! takes little more memory than its TLS session.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::io::AsyncWrite;

use super::watch::{Broken, Serving};
use crate::data_plane::activity::Activity;
use crate::data_plane::drain::Drain;
use crate::data_plane::http1::{self, Asking, Outgoing};
use crate::data_plane::incoming::{Asked, ClientBytes, ClientStream, Incoming};
use crate::data_plane::switch::{Switch, Tunnel};

/// The interim answer that lets a client send its body (RFC 9110, section 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Runs a connection.
pub(super) struct Http1<M, F, B> {
    bytes: ClientBytes,
    activity: Arc<Activity>,
    drain: Arc<Drain>,
    /// Answers a request.
    serve: M,
    phase: Phase,
    /// The present exchange. `None` if there was none yet, or none for some time.
    exchange: Option<Pin<Box<Exchange<F, B>>>>,
    /// Memory for the head of the next answer.
    memory: BytesMut,
    /// Whether it has had a request.
    served: bool,
    /// Whether it was told to close.
    finishes: bool,
    /// Whether it has freed its memory.
    rests: bool,
}

/// What runs on the connection.
enum Phase {
    Serves,
    Tunnel(Tunnel),
    Closes,
}

pin_project! {
    /// One request and its answer.
    #[project = Exchanging]
    #[project_replace = Ended]
    enum Exchange<F, B> {
        Idle,
        Answers { #[pin] answer: F, asking: Asking, also: Also },
        Sends { answer: Outgoing<B>, keeps: bool, also: Also },
    }
}

/// What a request brings besides its header.
#[derive(Default)]
struct Also {
    has_body: bool,
    /// Set if it asks to switch protocols.
    switch: Option<Arc<Switch>>,
}

impl<M, F, B> Http1<M, F, B> {
    pub(super) fn new(
        io: impl ClientStream + 'static,
        activity: Arc<Activity>,
        drain: Arc<Drain>,
        serve: M,
    ) -> Self {
        Self {
            bytes: ClientBytes::new(io),
            activity,
            drain,
            serve,
            phase: Phase::Serves,
            exchange: None,
            memory: BytesMut::new(),
            served: false,
            finishes: false,
            rests: false,
        }
    }

    /// Whether it rests, and goes on to do so.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rests && !self.finishes {
            match self.bytes.poll_ahead(cx) {
                Ok(false) => return Poll::Pending,
                Ok(true) => {}
                // The caller drops this connection.
                Err(_) => {
                    self.activity.resets();
                    return Poll::Pending;
                }
            }
        }
        self.rests = false;
        Poll::Ready(())
    }

    /// The next request. `None` if there will be none.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Asked>, Broken>> {
        ready!(self.poll_rest(cx));
        match self.bytes.poll_request(cx) {
            // One that has come already is still served.
            Poll::Pending if self.finishes && self.served && self.bytes.is_quiet() => {
                Poll::Ready(Ok(None))
            }
            polled @ (Poll::Ready(_) | Poll::Pending) => polled.map_err(|_| Broken),
        }
    }

    /// What happens while the answer can't go on.
    fn attends(&self, has_body: bool, cx: &mut Context<'_>) {
        let interims = self.activity.interims();
        if has_body && self.bytes.awaits_body(cx) {
            interims.add(CONTINUE);
        }
        if interims.any() {
            self.bytes.send_interims(cx);
        }
        if self.activity.only_awaits_answer() && self.bytes.poll_ahead(cx).is_err() {
            // The caller drops this connection.
            self.activity.resets();
        }
    }
}

impl<M, F, B> Http1<M, F, B>
where
    M: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    /// Serves requests. Ready with what runs on the connection afterwards.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<Phase, Broken>> {
        loop {
            let exchange = self.exchange.as_mut().map(|it| it.as_mut().project());
            match exchange {
                None | Some(Exchanging::Idle) => match ready!(self.poll_request(cx))? {
                    Some(asked) => self.begins(asked),
                    None => return Poll::Ready(Ok(Phase::Closes)),
                },
                Some(Exchanging::Answers { answer, also, .. }) => match answer.poll(cx) {
                    Poll::Ready(response) => self.answers(response),
                    Poll::Pending => {
                        let has_body = also.has_body;
                        self.attends(has_body, cx);
                        return Poll::Pending;
                    }
                },
                Some(Exchanging::Sends { answer, also, .. }) => {
                    match answer.poll(&mut self.bytes, cx) {
                        Poll::Ready(Ok(())) => {
                            if let Some(next) = self.ends() {
                                return Poll::Ready(Ok(next));
                            }
                        }
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken)),
                        Poll::Pending => {
                            let has_body = also.has_body;
                            self.attends(has_body, cx);
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
    }

    fn set(&mut self, next: Exchange<F, B>) {
        match &mut self.exchange {
            Some(exchange) => exchange.as_mut().set(next),
            None => self.exchange = Some(Box::pin(next)),
        }
    }

    /// Starts to answer a request.
    fn begins(&mut self, asked: Asked) {
        let Asked {
            mut request,
            keeps,
            upgrades,
        } = asked;
        self.served = true;
        let asking = Asking::of(&request, keeps);
        let switch = upgrades.then(|| Arc::new(Switch::new(self.bytes.clone())));
        if let Some(switch) = &switch {
            request.extensions_mut().insert(switch.clone());
        }
        let has_body = !request.body().is_end_stream();
        let also = Also { has_body, switch };
        let answer = (self.serve)(request);
        self.set(Exchange::Answers {
            answer,
            asking,
            also,
        });
    }

    /// Starts to send the answer.
    fn answers(&mut self, response: Response<B>) {
        let Some(exchange) = self.exchange.as_mut() else {
            return;
        };
        let Exchanging::Answers { asking, also, .. } = exchange.as_mut().project() else {
            return;
        };
        let (mut asking, also) = (*asking, std::mem::take(also));
        if also.has_body {
            self.bytes.answers();
        }
        // Tells the client, whose next request goes elsewhere (RFC 9112, section 9.6).
        asking.keeps &= !self.finishes && !self.drain.is_draining();
        let memory = std::mem::take(&mut self.memory);
        let answer = http1::answer(response, &mut asking, memory);
        let keeps = asking.keeps;
        exchange.as_mut().set(Exchange::Sends {
            answer,
            keeps,
            also,
        });
    }

    /// Ends the exchange. Returns what runs on the connection now, if no further request does.
    fn ends(&mut self) -> Option<Phase> {
        let mut exchange = self.exchange.take()?;
        let old = exchange.as_mut().project_replace(Exchange::Idle);
        self.exchange = Some(exchange);
        let Ended::Sends {
            answer,
            keeps,
            also,
        } = old
        else {
            return None;
        };
        self.memory = answer.into_memory().unwrap_or_default();
        if let Some(tunnel) = also.switch.and_then(|switch| switch.take()) {
            return Some(Phase::Tunnel(tunnel));
        }
        if !keeps {
            return Some(Phase::Closes);
        }
        self.bytes.next();
        None
    }
}

impl<M, F, B> Future for Http1<M, F, B>
where
    M: Fn(Request<Incoming>) -> F + Unpin,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    type Output = Result<(), Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let this = &mut *self;
        if let Phase::Serves = this.phase {
            this.phase = ready!(this.poll_serve(cx))?;
            if let Phase::Closes = this.phase {
                this.bytes.stops();
            }
        }
        match &mut this.phase {
            Phase::Tunnel(tunnel) => tunnel.as_mut().poll(cx).map(Ok),
            // A failure means that the client is gone already.
            Phase::Serves | Phase::Closes => {
                Pin::new(&mut this.bytes).poll_shutdown(cx).map(|_| Ok(()))
            }
        }
    }
}

impl<M, F, B> Serving for Http1<M, F, B>
where
    M: Fn(Request<Incoming>) -> F + Unpin,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    fn finish(mut self: Pin<&mut Self>) {
        self.finishes = true;
    }

    fn rest(mut self: Pin<&mut Self>) {
        let idle = match self.exchange.as_mut().map(|it| it.as_mut().project()) {
            None | Some(Exchanging::Idle) => true,
            Some(Exchanging::Answers { .. } | Exchanging::Sends { .. }) => false,
        };
        if idle && self.activity.may_rest() && matches!(self.phase, Phase::Serves) {
            self.exchange = None;
            self.memory = BytesMut::new();
            self.bytes.rest();
            self.rests = true;
        }
    }
}

/// Whoever still has the body of a request sees that it breaks off.
impl<M, F, B> Drop for Http1<M, F, B> {
    fn drop(&mut self) {
        self.bytes.close();
    }
}

#[cfg(test)]
mod tests;
