//! What is told of the router: events, and the log, metrics, readiness and admin pages made of them.

pub mod admin;
pub mod event;
pub mod log;
pub mod metrics;
pub mod ready;
