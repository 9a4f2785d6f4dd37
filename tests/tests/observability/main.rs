//! What the router says of itself while strangers say things to it: nothing of theirs, in no log
//! line, metric, page, error or header; and never more series than before.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

mod admin_tls;
mod canary;
mod counted;
mod endpoints;
mod explained;
mod labels;
mod pages;
mod refused;
mod spans;
mod status_page;
