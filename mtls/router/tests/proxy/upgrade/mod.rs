//! Requests that switch the protocol, over both versions of HTTP on both sides.

mod asked;
mod ends;
mod opened;
mod revoked;
