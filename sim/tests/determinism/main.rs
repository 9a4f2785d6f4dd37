//! One seed gives one run. Everything else about the simulator relies on this.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

mod libraries;
mod scenarios;
mod seam;
