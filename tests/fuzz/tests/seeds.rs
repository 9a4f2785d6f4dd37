//! The targets hold for their seeds, for what lies near them, and for inputs that once broke them.

use cellway_fuzz::{Mutations, TARGETS};

/// Inputs tried for each target: a second or two.
const TRIED: usize = 3_000;

#[test]
fn targets_hold_near_their_seeds() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        for seed in &seeds {
            (target.run)(seed);
        }
        for input in Mutations::of(seeds).take(TRIED) {
            (target.run)(&input);
        }
    }
}

#[test]
fn targets_hold_for_next_to_nothing() {
    for target in TARGETS {
        for input in [
            &b""[..],
            b"\n",
            b"{}",
            b"[]",
            b"\0",
            b".",
            b"..",
            b"\xff\xff",
        ] {
            (target.run)(input);
        }
    }
}
