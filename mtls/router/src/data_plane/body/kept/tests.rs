use super::*;
use crate::shares::{Holder, Holders, Share, Stake};

fn places(bound: &Arc<Bound>, caller: &str) -> Places {
    let nobody = Stake::new(Share::Tenant, Holder::NOBODY, 100);
    let caller = Holders::default().named(Share::Caller, caller);
    Places {
        bound: bound.clone(),
        stakes: [nobody, Stake::new(Share::Caller, caller, 50), nobody],
    }
}

fn keeping(places: Places) -> Kept {
    let kept = Kept::default();
    kept.start(places);
    kept
}

fn read(kept: &Kept, bytes: usize) -> bool {
    let frame = Frame::data(vec![7; bytes].into());
    kept.reader(0).unwrap().keep(&frame, false);
    kept.is_complete()
}

fn data(next: Poll<Next>) -> Option<Bytes> {
    match next {
        Poll::Ready(Next::Frame(frame)) => frame.into_data().ok(),
        Poll::Ready(_) | Poll::Pending => None,
    }
}

#[test]
fn the_next_body_gives_what_was_kept_and_nothing_twice() {
    let kept = keeping(places(&Arc::default(), "a"));
    let large = Bytes::from(vec![7; SHARED_BYTES_MIN]);
    let few = Bytes::from_static;
    let frames = [few(b"o"), few(b"ne"), large.clone(), few(b"three")];
    for frame in frames {
        let frame = Frame::data(frame);
        kept.reader(0).unwrap().keep(&frame, false);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("5"));
    let last = Frame::trailers(trailers.clone());
    kept.reader(0).unwrap().keep(&last, true);
    let cx = Context::from_waker(Waker::noop());
    for number in [1, 2] {
        assert_eq!(kept.again(), Some(number));
        assert!(kept.reader(number - 1).is_none(), "it may not read on");
        let mut state = kept.reader(number).unwrap();
        let pieces = [few(b"o"), few(b"ne"), large.clone(), few(b"three")];
        for (at, piece) in (0..).zip(pieces) {
            assert_eq!(data(state.next(at, &cx)), Some(piece));
            assert!(!state.ends_at(at + 1));
        }
        match state.next(4, &cx) {
            Poll::Ready(Next::Frame(frame)) => {
                assert_eq!(frame.into_trailers().unwrap(), trailers);
            }
            other @ (Poll::Ready(_) | Poll::Pending) => panic!("{other:?}"),
        }
        assert!(state.ends_at(5));
        assert!(matches!(state.next(5, &cx), Poll::Ready(Next::End)));
    }
}

/// Everything that is kept, as the next body replays it, and the number of pieces.
fn replayed(kept: &Kept, number: u8) -> (Vec<u8>, u8) {
    assert_eq!(kept.again(), Some(number));
    let mut state = kept.reader(number).unwrap();
    let cx = Context::from_waker(Waker::noop());
    let (mut all, mut at) = (Vec::new(), 0);
    while let Some(piece) = data(state.next(at, &cx)) {
        all.extend(piece);
        at += 1;
    }
    (all, at)
}

/// Catches: a body that isn't kept because its frames are small, one that is replayed in part or
/// out of order, and more pieces than can be counted.
#[test]
fn frames_of_any_size_are_kept_up_to_the_bound_and_replayed_in_order() {
    let large = SHARED_BYTES_MIN;
    let body: Bytes = (0..KEPT_BYTES_MAX)
        .map(|at| (at + at / 256) as u8)
        .collect();
    for sizes in [
        &[1][..],
        &[10],
        &[1000],
        &[large - 1],
        &[1, large],
        &[BLOCK_BYTES + 2, 1, large],
        &[KEPT_BYTES_MAX],
    ] {
        let kept = keeping(places(&Arc::default(), "a"));
        let mut rest = body.clone();
        let mut number = 0;
        for size in sizes.iter().cycle() {
            let frame = rest.split_to(rest.len().min(*size));
            let mut state = kept.reader(number).unwrap();
            state.keep(&Frame::data(frame), rest.is_empty());
            drop(state);
            let read = body.len() - rest.len();
            // Also send it again in the middle.
            if rest.is_empty() || (number == 0 && read > body.len() / 2) {
                number += 1;
                let (all, pieces) = replayed(&kept, number);
                assert!(all == body[..read], "{sizes:?}: {read}");
                assert!(pieces < 100, "{sizes:?}: {pieces}");
            }
            if rest.is_empty() {
                break;
            }
        }
    }
}

/// Catches: a small frame that keeps a large buffer in memory.
#[test]
fn a_small_frame_does_not_keep_the_buffer_that_it_was_read_into() {
    for (length, shared) in [
        (1, false),
        (SHARED_BYTES_MIN - 1, false),
        (SHARED_BYTES_MIN, true),
    ] {
        let kept = keeping(places(&Arc::default(), "a"));
        let buffer = Bytes::from(vec![7; 16 * 1024]);
        let frame = Frame::data(buffer.slice(..length));
        kept.reader(0).unwrap().keep(&frame, false);
        drop(frame);
        assert_eq!(buffer.is_unique(), !shared, "{length}");
    }
    // A block of small frames doesn't take much more memory than it counts either.
    let kept = keeping(places(&Arc::default(), "a"));
    for _ in 0..KEPT_BYTES_FREE {
        assert!(read(&kept, 1));
    }
    let state = lock_uncontended(&kept.0);
    let blocks = state.frames.first.iter().chain(&state.frames.more);
    let held = blocks.map(Bytes::len).sum::<usize>() + state.frames.block.capacity();
    assert!(held < KEPT_BYTES_FREE + BLOCK_BYTES, "{held}");
}

#[test]
fn a_request_that_was_answered_gives_the_rest_and_is_not_sent_again() {
    let kept = keeping(places(&Arc::default(), "a"));
    assert!(read(&kept, 5));
    assert_eq!(kept.again(), Some(1));
    // The answer comes before the body is complete.
    kept.stop();
    let cx = Context::from_waker(Waker::noop());
    let mut state = kept.reader(1).unwrap();
    assert_eq!(data(state.next(0, &cx)).unwrap().len(), 5);
    assert!(state.next(1, &cx).is_pending(), "the first body has it");
    drop(state);
    assert_eq!(kept.again(), None);
}

#[test]
fn a_body_over_the_bound_is_not_kept_at_all() {
    let bound = Arc::default();
    let kept = keeping(places(&bound, "a"));
    assert!(read(&kept, KEPT_BYTES_MAX - 1));
    assert_eq!(bound.taken(), 1);
    assert!(read(&kept, 1));
    assert!(read(&kept, 0), "an empty frame takes nothing");
    assert!(!read(&kept, 1), "a small frame counts too");
    assert_eq!((bound.taken(), kept.again()), (0, None));
    let state = lock_uncontended(&kept.0);
    assert_eq!(state.frames.len(), 0);
}

#[test]
fn large_bodies_share_places_and_small_ones_need_none() {
    let bound = Arc::default();
    let keep = |caller: &str| {
        let kept = keeping(places(&bound, caller));
        read(&kept, KEPT_BYTES_FREE + 1).then_some(kept)
    };
    let flood: Vec<Kept> = std::iter::from_fn(|| keep("flood")).collect();
    assert_eq!(flood.len(), KEPT_BODIES_MAX / 2);
    assert!(keep("another").is_some(), "places are left for others");
    let small = keeping(places(&bound, "flood"));
    assert!(read(&small, KEPT_BYTES_FREE));
    drop(flood);
    assert_eq!(bound.taken(), 0);
}
