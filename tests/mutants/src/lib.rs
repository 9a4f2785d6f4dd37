//! Small wrong changes of the router, and which of them the simulator notices (`docs/mutants.md`).
//!
//! A test that passes says little if it can't fail. The catalogue has mistakes that a programmer could make,
//! over all parts of the router. A copy of the workspace gets all of them, each behind a switch, so one build
//! is enough. A test compares the catalogue with the code, so that it stays true.

pub mod catalogue;
pub mod mutated;
pub mod page;
pub mod trial;

#[cfg(test)]
mod tests;
