//! Searches for failures that nobody wrote a scenario for: draws scenarios from seeds, and makes those that
//! fail smaller.

mod draw;
mod shrink;
mod write;

pub use self::draw::{draw, vary, with_faults};
pub use self::shrink::{Symptom, shrink};
pub use self::write::text;

use toml::Table;

use crate::Scenario;

/// Whether the simulator can run it.
fn is_scenario(scenario: &Table) -> bool {
    Scenario::parse("drawn.toml", &text(scenario)).is_ok()
}
