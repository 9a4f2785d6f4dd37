use std::convert::Infallible;

use cellway_core::http2::{DATA, Frames};

use super::*;

fn frame(kind: u8, settings: &[(u16, u32)]) -> Vec<u8> {
    let payload = settings
        .iter()
        .flat_map(|(number, value)| [&number.to_be_bytes()[..], &value.to_be_bytes()].concat());
    let payload: Vec<u8> = payload.collect();
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

/// What the side that sends these bytes takes, if they come in pieces of this size.
fn limits(bytes: &[u8], piece: usize) -> Option<(u32, u32)> {
    let (mut frames, mut peer, mut last) = (Frames::after(0), Peer::default(), None);
    for bytes in bytes.chunks(piece) {
        let taken = frames.take_parts(bytes, |part| {
            last = peer.takes(part).or(last);
            Ok::<_, Infallible>(())
        });
        taken.unwrap();
    }
    last.map(
        |Limits {
             streams,
             header_list,
         }| (streams, header_list),
    )
}

#[test]
fn the_last_value_of_each_setting_holds_however_it_comes() {
    let first = frame(
        SETTINGS,
        &[
            (1, 77),
            (MAX_CONCURRENT_STREAMS, 10),
            (4, 7),
            (MAX_HEADER_LIST_SIZE, 9),
        ],
    );
    let second = frame(SETTINGS, &[(MAX_CONCURRENT_STREAMS, 0)]);
    for piece in [1, 5, 6, 7, 10, usize::MAX] {
        assert_eq!(limits(&first, piece), Some((10, 9)));
        let both = [&*first, &frame(DATA, &[]), &second].concat();
        assert_eq!(limits(&both, piece), Some((0, 9)));
    }
}

#[test]
fn what_looks_like_a_setting_in_another_frame_is_none() {
    let data = frame(DATA, &[(MAX_CONCURRENT_STREAMS, 1)]);
    assert_eq!(limits(&data, usize::MAX), None);
    let empty = frame(SETTINGS, &[]);
    assert_eq!(
        limits(&[empty, data].concat(), 3),
        Some((u32::MAX, u32::MAX))
    );
}
