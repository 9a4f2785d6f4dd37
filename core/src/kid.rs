//! Ids of keys that an operator names: the keys of envelopes and of the signers of routing keys.

/// The most bytes that a `kid` may have. It is also the name of a file: letters, digits, `-`, `_`, `.`.
pub const KID_LEN_MAX: usize = 64;

/// Whether an operator may give a key this id.
pub fn is_kid(kid: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=KID_LEN_MAX).contains(&kid.len()) && kid.bytes().all(fine) && !kid.starts_with('.')
}
