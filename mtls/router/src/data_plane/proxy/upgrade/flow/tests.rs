use std::future::poll_fn;

use cellway_core::websocket::{CloseCode, close_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// A flow between two pipes with room for this many bytes, and their far ends.
struct Pipe {
    flow: Flow,
    from: DuplexStream,
    to: DuplexStream,
    sender: DuplexStream,
    reader: DuplexStream,
}

impl Pipe {
    fn new(websocket: bool, room: usize) -> Self {
        let (sender, from) = duplex(1 << 20);
        let (to, reader) = duplex(room);
        Self {
            flow: Flow::new(websocket),
            from,
            to,
            sender,
            reader,
        }
    }

    async fn run(&mut self) -> Poll<Result<(), Broken>> {
        let Self { flow, from, to, .. } = self;
        // As often as it asks to be polled again.
        for _ in 0..100 {
            let polled = once(|cx| flow.poll(cx, Pin::new(from), Pin::new(to))).await;
            if polled.is_ready() {
                return polled;
            }
        }
        Poll::Pending
    }

    /// Everything that the reader has.
    async fn read(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        loop {
            assert!(!matches!(self.run().await, Poll::Ready(Err(_))));
            let mut some = [0; 1000];
            let mut buffer = ReadBuf::new(&mut some);
            let polled = once(|cx| Pin::new(&mut self.reader).poll_read(cx, &mut buffer)).await;
            if polled.is_pending() || buffer.filled().is_empty() {
                return read;
            }
            read.extend_from_slice(buffer.filled());
        }
    }
}

/// Polls once, without tokio's cooperative budget.
async fn once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    tokio::task::unconstrained(poll_fn(|cx| Poll::Ready(poll(cx)))).await
}

/// An unmasked frame with a payload of this many bytes.
fn frame(payload: u8) -> Vec<u8> {
    let mut frame = vec![0x82, payload];
    frame.resize(2 + usize::from(payload), 0x88);
    frame
}

fn goodbye() -> Vec<u8> {
    close_frame(CloseCode::GoingAway, None)
}

#[tokio::test(start_paused = true)]
async fn all_bytes_pass_and_then_the_end() {
    let sent: Vec<u8> = (0..40_000_u32).map(|i| i as u8).collect();
    for room in [7, 4096] {
        let mut pipe = Pipe::new(false, room);
        pipe.sender.write_all(&sent).await.unwrap();
        assert!(pipe.read().await == sent, "room for {room}");
        assert_eq!(pipe.flow.bytes(), sent.len() as u64);
        pipe.sender.shutdown().await.unwrap();
        assert!(matches!(pipe.run().await, Poll::Ready(Ok(()))));
        assert_eq!(pipe.reader.read(&mut [0]).await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_stops_the_sender() {
    let mut pipe = Pipe::new(false, 10);
    pipe.sender.write_all(&[1; 1 << 20]).await.unwrap();
    assert!(pipe.run().await.is_pending());
    assert!(pipe.flow.is_blocked());
    assert_eq!(pipe.flow.bytes(), 10);
    // It has read one chunk, and leaves the rest to the sender.
    let mut rest = vec![0; 1 << 20];
    let left = pipe.from.read(&mut rest).await.unwrap();
    assert_eq!(left, (1 << 20) - CHUNK);
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_falls_between_two_frames_wherever_it_is_asked_for() {
    let first = frame(100);
    for cut in 0..=first.len() {
        let mut pipe = Pipe::new(true, 4096);
        pipe.sender.write_all(&first[..cut]).await.unwrap();
        let mut read = pipe.read().await;
        assert!(pipe.flow.close(goodbye()));
        let rest = [&first[cut..], &frame(7)].concat();
        pipe.sender.write_all(&rest).await.unwrap();
        read.extend(pipe.read().await);
        let whole = match cut {
            0 => goodbye(),
            _ => [&first[..], &goodbye()].concat(),
        };
        assert_eq!(read, whole, "asked for after {cut} bytes");
        // It isn't over before the sender has closed too.
        assert!(pipe.run().await.is_pending());
        pipe.sender.write_all(&goodbye()).await.unwrap();
        assert!(matches!(pipe.run().await, Poll::Ready(Ok(()))));
        assert_eq!(pipe.read().await, b"");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_has_closed_keeps_its_own_close_frame() {
    let own = close_frame(CloseCode::PolicyViolation, None);
    for cut in 1..=own.len() {
        let mut pipe = Pipe::new(true, 4096);
        pipe.sender.write_all(&own[..cut]).await.unwrap();
        let mut read = pipe.read().await;
        assert!(pipe.flow.close(goodbye()));
        pipe.sender.write_all(&own[cut..]).await.unwrap();
        read.extend(pipe.read().await);
        assert_eq!(read, own, "after {cut} bytes");
        pipe.sender.shutdown().await.unwrap();
        assert!(matches!(pipe.run().await, Poll::Ready(Ok(()))));
    }
}

#[tokio::test(start_paused = true)]
async fn only_websocket_can_be_closed_in_order() {
    let mut pipe = Pipe::new(false, 100);
    assert!(!pipe.flow.close(goodbye()));
    pipe.sender.write_all(b"x").await.unwrap();
    assert_eq!(pipe.read().await, b"x");
}

#[tokio::test(start_paused = true)]
async fn the_broken_end_is_named() {
    let mut pipe = Pipe::new(true, 100);
    let (gone, _) = duplex(1);
    drop(std::mem::replace(&mut pipe.reader, gone));
    pipe.sender.write_all(b"x").await.unwrap();
    assert!(matches!(pipe.run().await, Poll::Ready(Err(Broken::To(_)))));
}
