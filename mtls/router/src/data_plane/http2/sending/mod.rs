//! Sends a body over an HTTP/2 stream.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;
use pin_project_lite::pin_project;

pin_project! {
    /// Sends a body. Ready when all of it is on its way, or nothing more can be sent.
    ///
    /// h2 gets no more than there is a window for. What it had to keep would hold the stream open, even if
    /// nobody is interested in it any more: h2 doesn't reset a stream before everything that it keeps is
    /// sent.
    ///
    /// A frame is asked for before there is a window for it: a window that is reserved for a body that
    /// has nothing to send would be missing to the connection's other streams.
    pub(crate) struct Sending<B> {
        to: SendStream<Bytes>,
        // A frame that waits for a window, and whether it is the last.
        held: Option<(Bytes, bool)>,
        #[pin]
        body: B,
    }
}

impl<B> Sending<B> {
    pub(crate) fn new(body: B, to: SendStream<Bytes>) -> Self {
        Self {
            to,
            held: None,
            body,
        }
    }

    /// Tells the other end that nothing more comes, because it isn't needed.
    pub(crate) fn cancel(&mut self) {
        self.to.send_reset(Reason::CANCEL);
    }
}

impl<B> Future for Sending<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            if this.held.is_some() {
                let sent = ready!(poll_send(this.to, this.held, cx));
                match sent {
                    Sent::More => continue,
                    Sent::All | Sent::Over => return Poll::Ready(()),
                }
            }
            let frame = match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    this.to.send_reset(code(&*error.into()));
                    return Poll::Ready(());
                }
                Poll::Ready(None) => {
                    let _ = this.to.send_data(Bytes::new(), true);
                    return Poll::Ready(());
                }
                // Wakes this task when the other end resets the stream.
                Poll::Pending => return this.to.poll_reset(cx).map(drop),
            };
            match frame.into_data() {
                Ok(data) => {
                    let last = this.body.is_end_stream();
                    if !data.is_empty() {
                        this.to.reserve_capacity(data.len());
                    }
                    *this.held = Some((data, last));
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        let _ = this.to.send_trailers(trailers);
                        return Poll::Ready(());
                    }
                }
            }
        }
    }
}

/// What comes after a frame.
enum Sent {
    More,
    All,
    /// The stream is closed.
    Over,
}

/// Gives the held frame to h2 as soon as there is a window for it, or for a part of it.
fn poll_send(
    to: &mut SendStream<Bytes>,
    held: &mut Option<(Bytes, bool)>,
    cx: &mut Context<'_>,
) -> Poll<Sent> {
    let is_empty = held.as_ref().is_none_or(|(data, _)| data.is_empty());
    while !is_empty && to.capacity() == 0 {
        match ready!(to.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(Sent::Over),
        }
    }
    let Some((mut data, last)) = held.take() else {
        return Poll::Ready(Sent::More);
    };
    let room = to.capacity();
    if data.len() > room {
        if to.send_data(data.split_to(room), false).is_err() {
            return Poll::Ready(Sent::Over);
        }
        to.reserve_capacity(data.len());
        *held = Some((data, last));
        return Poll::Ready(Sent::More);
    }
    Poll::Ready(match to.send_data(data, last) {
        Ok(()) if last => Sent::All,
        Ok(()) => Sent::More,
        Err(_) => Sent::Over,
    })
}

/// The code that resets a stream whose body has failed: the first one among the error's sources.
fn code(error: &(dyn Error + 'static)) -> Reason {
    let mut next = Some(error);
    while let Some(error) = next {
        let reason = error
            .downcast_ref::<h2::Error>()
            .and_then(h2::Error::reason);
        if let Some(reason) = reason {
            return reason;
        }
        next = error.source();
    }
    Reason::INTERNAL_ERROR
}

#[cfg(test)]
mod tests;
