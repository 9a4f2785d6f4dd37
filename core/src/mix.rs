//! Numbers that look random and aren't.

/// What splitmix64 adds to its state at each step.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output of splitmix64 in this state: every bit of the input turns half of the output's. Nobody
/// can follow a pattern in the input, but who knows the input knows the output.
pub const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(STEP);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
