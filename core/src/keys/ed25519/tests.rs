use aws_lc_rs::signature::{ED25519, ParsedPublicKey};

use super::*;

/// Under the point of order one, every S = 0 with R = the point itself is a signature.
#[test]
fn the_library_accepts_forgeries_under_small_order_keys() {
    let identity = number(1, 0);
    let forged = [&identity[..], &[0; 32]].concat();
    let key = ParsedPublicKey::new(&ED25519, identity).unwrap();
    assert!(key.verify_sig(b"anything", &forged).is_ok());
    assert!(!is_sound(&identity));
}

#[test]
fn refuses_points_of_small_order_and_second_spellings() {
    for y in SMALL_ORDER {
        let mut negative = y;
        negative[KEY_LEN - 1] |= SIGN;
        assert!(!is_sound(&y) && !is_sound(&negative), "{y:02x?}");
    }
    for first in 0xed..=0xff {
        assert!(
            !is_sound(&number(first, 0x7f)),
            "2^255 - {}",
            256 - u16::from(first)
        );
        assert!(!is_sound(&number(first, 0xff)));
    }
    assert!(is_sound(&number(0xeb, 0x7f)));
    assert!(is_sound(&number(2, 0)));
}
