//! Ed25519 points that must not be accepted as keys (RFC 8032).
//!
//! The group of Ed25519 has eight points of small order. Under one of them as public key,
//! signatures over anything can be made without any private key. Libraries accept them, because no
//! honest key is one of them, but an issuer's document may be malicious.

/// Bytes of a public key.
pub(super) const KEY_LEN: usize = 32;

/// The y coordinates of the eight points, little-endian: 0, 1, -1, and the two of order eight. A
/// point and its negative share theirs.
const SMALL_ORDER: [[u8; KEY_LEN]; 5] = [
    [0; KEY_LEN],
    number(1, 0),
    number(0xec, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// The bit of the sign of x, in the last byte.
const SIGN: u8 = 0x80;

/// Whether this is the canonical spelling of a point that isn't of small order. The library checks
/// that it is a point at all.
pub(super) fn is_sound(key: &[u8; KEY_LEN]) -> bool {
    let mut y = *key;
    y[KEY_LEN - 1] &= !SIGN;
    is_reduced(&y) && !SMALL_ORDER.contains(&y)
}

/// Whether `y` is below 2^255 - 19 (RFC 8032, section 5.1.3).
fn is_reduced(y: &[u8; KEY_LEN]) -> bool {
    const PRIME: [u8; KEY_LEN] = number(0xed, 0x7f);
    y.iter().rev().lt(PRIME.iter().rev())
}

/// `last` and `first` byte, with ones between where `last` isn't zero.
const fn number(first: u8, last: u8) -> [u8; KEY_LEN] {
    let between = if last == 0 { 0 } else { 0xff };
    let mut bytes = [between; KEY_LEN];
    bytes[0] = first;
    bytes[KEY_LEN - 1] = last;
    bytes
}

#[cfg(test)]
mod tests;
