use super::*;

/// Accepts `room` bytes and then blocks. Records the writes.
struct Wire {
    room: usize,
    writes: Vec<usize>,
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.push(buf.len());
        let taken = buf.len().min(self.room);
        self.room -= taken;
        match taken {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn write(corked: &mut Corked<Wire>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    Pin::new(corked).poll_write(&mut cx, bytes)
}

fn write_out(corked: &Corked<Wire>) -> Poll<io::Result<()>> {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    lock_uncontended(&corked.0).write_out(&mut cx)
}

fn corked(room: usize) -> Corked<Wire> {
    let writes = Vec::new();
    Corked(Arc::new(Mutex::new(Cork::new(Wire { room, writes }))))
}

#[test]
fn what_is_held_goes_out_in_one_write() {
    let mut corked = corked(usize::MAX);
    for _ in 0..3 {
        assert!(write(&mut corked, &[7; 300]).is_ready());
    }
    assert!(lock_uncontended(&corked.0).wire.writes.is_empty());
    assert!(write_out(&corked).is_ready());
    assert!(write_out(&corked).is_ready());
    assert_eq!(lock_uncontended(&corked.0).wire.writes, [900]);
}

#[test]
fn a_wire_that_blocks_bounds_what_is_held_and_loses_nothing() {
    let mut corked = corked(100);
    let mut taken = 0;
    while write(&mut corked, &[7; 1000]).is_ready() {
        taken += 1000;
    }
    assert!((HELD_MAX - 1000..=HELD_MAX).contains(&taken), "{taken}");
    assert!(write_out(&corked).is_pending());
    lock_uncontended(&corked.0).wire.room = usize::MAX;
    assert!(write_out(&corked).is_ready());
    let Cork { wire, held, .. } = &*lock_uncontended(&corked.0);
    assert_eq!(wire.writes.last(), Some(&(taken - 100)));
    assert!(held.is_empty());
}

#[test]
fn more_than_is_ever_held_goes_out_at_once_and_in_order() {
    let mut corked = corked(usize::MAX);
    assert!(write(&mut corked, &[7; 9]).is_ready());
    assert!(write(&mut corked, &[7; HELD_MAX + 1]).is_ready());
    assert_eq!(lock_uncontended(&corked.0).wire.writes, [9, HELD_MAX + 1]);
}
