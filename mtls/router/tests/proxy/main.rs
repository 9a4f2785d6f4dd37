//! A whole router over real sockets, between a real client and real cells.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets something else has found a bug"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what plays the other sides"
)]

mod age;
mod ageing;
mod answers;
mod cells;
mod clock;
mod cors;
mod cut_requests;
mod drain;
mod early;
mod endpoints;
mod envelope;
mod forward;
mod frames;
mod identity;
mod late;
mod listener_changed;
mod malformed;
mod memory;
mod quiet;
mod replay;
mod retry;
mod revocation;
mod shares;
mod stepped;
mod suspension;
mod timeouts;
mod tokens;
mod trailers;
mod way;
mod wire;
mod world;
