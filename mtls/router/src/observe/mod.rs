//! Everything an operator can see of the router: events, and the log, metrics, readiness and admin
//! pages made from them.

pub mod admin;
mod asked;
pub(crate) mod debug;
pub mod event;
pub mod log;
pub mod metrics;
pub mod ready;
mod refusals;
mod reporter;
pub(crate) mod spans;

pub(crate) use self::refusals::{Refusals, Refused};
pub(crate) use self::reporter::Reporter;
