//! The bytes of one end of a tunnel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::data_plane::http2::StreamBytes;
use crate::data_plane::incoming::{ClientBytes, SwitchedBytes};

/// The bytes of one end.
pub(super) enum End {
    /// All bytes of a client's connection.
    Client(ClientBytes),
    /// All bytes of a cell's connection.
    Cell(SwitchedBytes),
    /// Those of a stream.
    Http2(StreamBytes),
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Client(end) => Pin::new(end).poll_read(cx, buf),
            Self::Cell(end) => Pin::new(end).poll_read(cx, buf),
            Self::Http2(end) => Pin::new(end).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Client(end) => Pin::new(end).poll_write(cx, buf),
            Self::Cell(end) => Pin::new(end).poll_write(cx, buf),
            Self::Http2(end) => Pin::new(end).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Client(end) => Pin::new(end).poll_flush(cx),
            Self::Cell(end) => Pin::new(end).poll_flush(cx),
            Self::Http2(end) => Pin::new(end).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Client(end) => Pin::new(end).poll_shutdown(cx),
            Self::Cell(end) => Pin::new(end).poll_shutdown(cx),
            Self::Http2(end) => Pin::new(end).poll_shutdown(cx),
        }
    }
}
