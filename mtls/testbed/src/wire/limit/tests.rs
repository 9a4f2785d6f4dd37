use super::*;

fn frame(kind: u8, flags: u8, stream: u32) -> FrameHeader {
    let mut bytes = vec![0, 0, 0, kind, flags];
    bytes.extend(stream.to_be_bytes());
    let (mut frames, mut header) = (cellway_core::http2::Frames::after(0), None);
    let taken: Result<(), ()> = frames.take(&bytes, |it| {
        header = Some(it);
        Ok(())
    });
    taken.unwrap();
    header.unwrap()
}

fn acknowledgment() -> FrameHeader {
    frame(SETTINGS, ACK, 0)
}

/// Catches: an acknowledgment that hyper gets for settings that it hasn't sent. It closes the connection.
#[test]
fn hyper_gets_the_acknowledgments_of_its_own_settings() {
    let (mut limit, first) = StreamLimit::new(Some(2));
    assert_eq!(first, [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2]);
    limit.changes(None);
    let for_hyper = [(); 3].map(|()| limit.came(acknowledgment()));
    assert_eq!(for_hyper, [false, true, false]);
    assert_eq!(limit.known(), Some(STREAMS));
    let (mut limit, first) = StreamLimit::new(None);
    assert!(first.is_empty());
    assert!(limit.came(acknowledgment()));
    assert_eq!(limit.known(), None);
}

/// Catches: a client that is blamed for streams that it had opened before it knew the limit.
#[test]
fn a_limit_is_known_once_it_is_acknowledged() {
    let (mut limit, _) = StreamLimit::new(Some(1));
    let excess = |known| Some(Excess { allowed: 1, known });
    assert_eq!(limit.opens(1), None);
    assert_eq!(limit.opens(3), excess(false));
    limit.went(frame(RST_STREAM, 0, 3));
    limit.came(acknowledgment());
    assert_eq!(limit.opens(5), excess(true));
}

/// Catches: a stream that is counted after its end, or not until then.
#[test]
fn a_stream_ends_when_both_sides_have_ended_or_one_resets_it() {
    let (mut limit, _) = StreamLimit::new(Some(1));
    limit.came(acknowledgment());
    assert_eq!(limit.opens(1), None);
    limit.came(frame(HEADERS, END_STREAM, 1));
    limit.went(frame(HEADERS, 0, 1));
    // The flag of a padded frame.
    limit.went(frame(DATA, 8, 1));
    assert!(limit.opens(3).is_some());
    limit.came(frame(RST_STREAM, 0, 3));
    limit.went(frame(DATA, END_STREAM, 1));
    assert_eq!(limit.opens(5), None);
    limit.went(frame(RST_STREAM, 0, 5));
    assert_eq!(limit.opens(7), None);
}
