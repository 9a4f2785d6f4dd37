//! Closes a connection whose client may still be sending.
//!
//! If a socket is closed with unread bytes in it, the system resets the connection, and the reset
//! can destroy the answer before the client has read it. So the router closes its sending side,
//! then reads and discards until the client closes its side (RFC 9112, section 9.6), within bounds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest time to linger, and how long the client may be silent.
const LASTS_MAX: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The most bytes that are discarded. A client that hasn't read its answer by then never will.
const BYTES_MAX: usize = 64 << 20;

/// Bytes per read.
const CHUNK: usize = 8 << 10;

/// Reads and discards.
pub(super) struct Linger {
    until: Instant,
    discarded: usize,
    timer: Pin<Box<Sleep>>,
}

impl Linger {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            until: now + LASTS_MAX,
            discarded: 0,
            timer: Box::pin(sleep_until(now + SILENCE_MAX)),
        }
    }

    /// Ready when the client has closed its side or a limit is reached.
    pub(super) fn poll<R: AsyncRead + Unpin>(
        &mut self,
        wire: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut chunk = [0; CHUNK];
        loop {
            let mut buffer = ReadBuf::new(&mut chunk);
            match Pin::new(&mut *wire).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.discarded += buffer.filled().len();
                    if self.discarded >= BYTES_MAX {
                        return Poll::Ready(());
                    }
                    let silent = Instant::now() + SILENCE_MAX;
                    self.timer.as_mut().reset(silent.min(self.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.timer.as_mut().poll(cx),
            }
            // Checked first, so that a client that never stops sending can't go past the time
            // limit.
            if self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
