//! The task of one HTTP/2 stream: waits for the answer to its request, sends it, and cuts a stream whose
//! client has stopped reading.
//!
//! A body is polled only when the client has a window for more. If the client grants no window, the
//! body is never polled and keeps its place at the cell, while other streams of the connection may be
//! fine. So the body notes whose [turn](Turns) it is, and if the client's turn lasts too long, the
//! stream is reset. HTTP/1.1 doesn't need this: there a stalled client blocks the connection's writes,
//! and [`Activity`](crate::data_plane::activity::Activity) sees that.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::Response;
use http::header::CONTENT_LENGTH;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::data_plane::http2::Sending;
use crate::data_plane::switch::StreamSwitch;
use crate::data_plane::turns::Turns;

/// What a request asks for besides its answer.
#[derive(Default)]
pub(super) struct Asks {
    /// Set for an extended CONNECT.
    pub(super) switch: Option<Arc<StreamSwitch>>,
    /// Whether the client waits for `100 Continue`.
    pub(super) expects: bool,
}

pin_project! {
    /// Answers a request. This is not an `async` block, because the future of an `async` block that
    /// waits for a captured future holds it twice. If it is dropped early, the stream is reset.
    pub(super) struct Answering<F, B> {
        #[pin]
        state: State<F, B>,
        respond: SendResponse<Bytes>,
        asks: Asks,
        patience: Patience,
    }
}

/// Waits for a client to read its answer.
struct Patience {
    turns: Turns,
    stall: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// The number of the client's turn that the timer was set for.
    turn: u64,
}

pin_project! {
    #[project = StateProjected]
    enum State<F, B> {
        Awaits { #[pin] answer: F },
        Sends { #[pin] body: Sending<B> },
        Over,
    }
}

impl<F, B> Answering<F, B> {
    pub(super) fn new(
        answer: F,
        respond: SendResponse<Bytes>,
        asks: Asks,
        turns: Turns,
        stall: Duration,
    ) -> Self {
        Self {
            state: State::Awaits { answer },
            respond,
            asks,
            patience: Patience::new(turns, stall),
        }
    }
}

impl<F, B> Future for Answering<F, B>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.as_mut().poll_answer(cx));
        self.project().state.set(State::Over);
        Poll::Ready(())
    }
}

impl<F, B> Answering<F, B>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    /// Ready when nothing is left to send, the client has reset the stream, or the answer is cut.
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjected::Awaits { answer } => {
                    let answer = answer.poll(cx);
                    let turns = &this.patience.turns;
                    send_interims(turns, this.respond);
                    let Poll::Ready(answer) = answer else {
                        if this.asks.expects
                            && let Some(interims) = turns.interims()
                        {
                            interims.listen(cx);
                        }
                        // Ready also if the connection has ended.
                        return this.respond.poll_reset(cx).map(drop);
                    };
                    match begin(answer, this.respond, this.asks.switch.as_deref()) {
                        Some(body) => this.state.set(State::Sends { body }),
                        None => return Poll::Ready(()),
                    }
                }
                StateProjected::Sends { body } => {
                    let sent = body.poll(cx);
                    return match sent.is_ready() {
                        true => sent,
                        false => this.patience.poll_over(cx),
                    };
                }
                StateProjected::Over => return Poll::Ready(()),
            }
        }
    }
}

impl Patience {
    fn new(turns: Turns, stall: Duration) -> Self {
        Self {
            turns,
            stall,
            timer: None,
            turn: 0,
        }
    }

    /// Ready when the request's stream is closed, or its client took too long to read the answer.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turns.poll_closed(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(turn) = self.turns.clients(self.stall) else {
            return Poll::Pending;
        };
        let limit = Instant::now() + turn.allowed;
        let timer = (self.timer).get_or_insert_with(|| Box::pin(sleep_until(limit)));
        if self.turn != turn.number {
            self.turn = turn.number;
            timer.as_mut().reset(limit);
        }
        ready!(timer.as_mut().poll(cx));
        self.turns.cut();
        Poll::Ready(())
    }
}

/// Sends the interim answers that came before the final one.
fn send_interims(turns: &Turns, respond: &mut SendResponse<Bytes>) {
    let Some(interims) = turns.interims() else {
        return;
    };
    for interim in interims.take() {
        // It fails if the client is gone. The final answer will too.
        let _ = respond.send_informational(interim);
    }
}

/// Sends the answer's header. Returns its body, if it has one and the client can be answered.
fn begin<B: Body>(
    answer: Response<B>,
    respond: &mut SendResponse<Bytes>,
    switch: Option<&StreamSwitch>,
) -> Option<Sending<B>> {
    let (head, body) = answer.into_parts();
    let mut head = Response::from_parts(head, ());
    let tunnel = switch.and_then(StreamSwitch::take);
    let ends = tunnel.is_none() && body.is_end_stream();
    let length = body.size_hint().exact();
    if let (None, false, Some(length)) = (&tunnel, ends, length) {
        let headers = head.headers_mut();
        headers
            .entry(CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
    let Ok(to) = respond.send_response(head, ends) else {
        // The client has reset the stream, or the header can't be sent over HTTP/2.
        respond.send_reset(Reason::INTERNAL_ERROR);
        return None;
    };
    match tunnel {
        Some(tunnel) => {
            // If the tunnel has ended meanwhile, the stream is dropped here, which resets it.
            let _ = tunnel.send(to);
            None
        }
        None => (!ends).then(|| Sending::new(body, to)),
    }
}
