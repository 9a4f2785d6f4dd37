use super::*;
use crate::data_plane::interims::{ANSWERS_MAX, BYTES_MAX};

const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\n\r\n";

#[test]
fn the_limits_are_for_the_whole_request() {
    let heads = Heads::default();
    for _ in 0..=ANSWERS_MAX {
        heads.add(HINTS);
    }
    assert_eq!(heads.take().len(), ANSWERS_MAX);
    heads.add(HINTS);
    assert!(heads.take().is_empty());
    heads.forget();
    let large = vec![b'x'; BYTES_MAX / 2 + 1];
    heads.add(&large);
    heads.add(&large);
    assert_eq!(heads.take().len(), 1);
}
