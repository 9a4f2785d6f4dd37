//! libFuzzer's driver. Which target it runs is said by the environment, so that one program is
//! built for all: `CELLWAY_FUZZ=token cellway-fuzz CORPUS -max_total_time=60`.

#![no_main]

use std::sync::LazyLock;

use cellway_fuzz::{TARGETS, Target, target};
use libfuzzer_sys::fuzz_target;

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("CELLWAY_FUZZ").unwrap_or_default();
    let known = TARGETS.map(|target| target.name).join(", ");
    target(&name).unwrap_or_else(|| panic!("CELLWAY_FUZZ={name:?} is none of {known}"))
});

fuzz_target!(|data: &[u8]| (CHOSEN.run)(data));
