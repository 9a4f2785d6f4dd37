use std::sync::Arc;

use super::*;

const DATA: u8 = 0;

fn frame(kind: u8, length: usize) -> Vec<u8> {
    let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, 0, 0, 0, 0, 1]);
    // Bytes in a payload that look like another frame are not one.
    frame.resize(FRAME_HEADER_LEN + length, HEADERS);
    frame
}

fn good(frames: &[(u8, usize)], pieces: usize) -> bool {
    let bytes: Vec<u8> = frames.iter().flat_map(|it| frame(it.0, it.1)).collect();
    let mut blocks = Blocks::of_answers(Arc::new(Link::new(100, Arc::default())));
    bytes.chunks(pieces).all(|piece| blocks.came(piece).is_ok())
}

#[test]
fn a_block_is_counted_over_its_frames_however_they_come() {
    let max = block_bytes_max(HEADER_LIST_MAX) as usize;
    let fits = max - 2 * FRAME_HEADER_LEN - 1_000;
    for pieces in [1, 7, 8, 9, 10, 4_096, usize::MAX] {
        assert!(good(&[(HEADERS, 1_000), (CONTINUATION, fits)], pieces));
        assert!(!good(&[(HEADERS, 1_000), (CONTINUATION, fits + 1)], pieces));
        assert!(!good(
            &[(PUSH_PROMISE, 1_001), (CONTINUATION, fits)],
            pieces
        ));
        let two = [(HEADERS, 1_000), (CONTINUATION, fits), (HEADERS, 1_000)];
        assert!(good(&two, pieces));
        assert!(good(
            &[(DATA, 2 * max), (HEADERS, 1_000), (DATA, 0)],
            pieces
        ));
    }
    let empty = vec![(CONTINUATION, 0); max / FRAME_HEADER_LEN + 1];
    assert!(!good(&[&[(HEADERS, 0)], &*empty].concat(), 4_096));
}
