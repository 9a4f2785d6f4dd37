//! One seed is one run: checked before anything else is believed of the simulator.

mod libraries;
mod scenarios;
mod seam;
