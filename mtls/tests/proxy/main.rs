//! A whole router over real sockets, between a real client and real cells.

mod drain;
mod forward;
mod identity;
mod malformed;
mod timeouts;
mod world;
