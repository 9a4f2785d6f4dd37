//! One seed gives one run. Everything else about the simulator relies on this.

mod libraries;
mod scenarios;
mod seam;
