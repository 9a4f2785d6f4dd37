use super::*;

/// A frame with this first byte and payload length.
fn frame(first: u8, payload: usize, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload {
        0..126 => frame.push(bit | u8::try_from(payload).unwrap()),
        126..0x1_0000 => {
            frame.push(bit | 126);
            frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
        }
        _ => {
            frame.push(bit | 127);
            frame.extend((payload as u64).to_be_bytes());
        }
    }
    if masked {
        frame.extend([1, 2, 3, 4]);
    }
    // Payload that looks like Close frames.
    frame.resize(frame.len() + payload, 0x88);
    frame
}

#[test]
fn frames_end_where_their_length_says_in_pieces_of_any_size() {
    let sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
    let all = sizes.map(|size| [frame(0x82, size, false), frame(1, size, true)]);
    let all: Vec<Vec<u8>> = all.into_iter().flatten().collect();
    let bytes = all.concat();
    for piece in [1, 2, 3, 7, 1000, bytes.len()] {
        let (mut frames, mut ends) = (Frames::default(), Vec::new());
        for (at, piece) in bytes
            .chunks(piece)
            .enumerate()
            .map(|(i, it)| (i * piece, it))
        {
            let mut taken = 0;
            while taken < piece.len() {
                taken += frames.take_frame(&piece[taken..]);
                if frames.is_between() {
                    ends.push(at + taken);
                }
            }
        }
        let mut end = 0;
        let wanted: Vec<usize> = all
            .iter()
            .map(|frame| {
                end += frame.len();
                end
            })
            .collect();
        assert_eq!(ends, wanted, "in pieces of {piece}");
        assert!(!frames.has_closed());
    }
}

#[test]
fn a_close_frame_is_seen_only_where_a_frame_starts() {
    let mut frames = Frames::default();
    assert!(frames.is_between());
    frames.take(&frame(0x82, 300, true));
    assert!(!frames.has_closed() && frames.is_between());
    frames.take(&frame(0x88, 2, true)[..1]);
    assert!(frames.has_closed() && !frames.is_between());
}

#[test]
fn the_longest_frame_does_not_overflow() {
    let mut frames = Frames::default();
    frames.take(&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    frames.take(&[0; 1000]);
    assert!(!frames.is_between());
}

#[test]
fn close_frames_carry_their_code() {
    let plain = close_frame(CloseCode::GoingAway, None);
    assert_eq!(plain, [0x88, 2, 0x03, 0xe9]);
    let masked = close_frame(CloseCode::PolicyViolation, Some([0xff, 0x0f, 1, 2]));
    assert_eq!(masked, [0x88, 0x82, 0xff, 0x0f, 1, 2, 0xfc, 0xff]);
    for frame in [plain, masked] {
        let mut frames = Frames::default();
        frames.take(&frame);
        assert!(frames.has_closed() && frames.is_between());
    }
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    // RFC 6455, section 1.3.
    let accept = accept(b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
}
