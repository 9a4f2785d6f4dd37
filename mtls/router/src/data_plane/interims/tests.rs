use super::*;

const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\n\r\n";

/// Writes at most this many bytes in all, one at a time. `Err` when no more can be written.
fn write(interims: &Interims, mut room: usize) -> (Vec<u8>, Result<(), ()>) {
    let mut written = Vec::new();
    let result = interims.write(|bytes| {
        assert!(!bytes.is_empty());
        room = room.checked_sub(1).ok_or(())?;
        written.push(bytes[0]);
        Ok(1)
    });
    (written, result)
}

/// Catches: bytes that are written twice, or not at all, to a client that reads slowly.
#[test]
fn a_client_that_reads_slowly_gets_each_byte_once() {
    let interims = Interims::default();
    interims.add(HINTS);
    let (mut all, result) = write(&interims, 10);
    assert_eq!((result, interims.any()), (Err(()), true));
    // More come meanwhile.
    interims.add(HINTS);
    let (rest, result) = write(&interims, usize::MAX);
    all.extend(rest);
    assert_eq!((result, interims.any()), (Ok(()), false));
    assert_eq!(all, [HINTS, HINTS].concat());
    assert_eq!(write(&interims, 0), (vec![], Ok(())));
}

/// Catches: a head of which the client gets only the beginning.
#[test]
fn one_that_was_begun_is_not_left_out() {
    let interims = Interims::default();
    interims.add(HINTS);
    interims.leave_out();
    assert_eq!(write(&interims, 0), (vec![], Ok(())));
    interims.add(HINTS);
    let (mut all, _) = write(&interims, 1);
    interims.leave_out();
    all.extend(write(&interims, usize::MAX).0);
    assert_eq!(all, HINTS);
}

#[test]
fn what_waits_is_bounded() {
    let interims = Interims::default();
    let large = vec![b'x'; BYTES_MAX / 2 + 1];
    interims.add(&large);
    interims.add(&large);
    assert_eq!(write(&interims, usize::MAX).0.len(), large.len());
}
