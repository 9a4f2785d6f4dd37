//! Everything an operator can see of the router: events, and the log, metrics, readiness and admin
//! pages made from them.

pub mod admin;
pub mod event;
pub mod log;
pub mod metrics;
pub mod ready;
