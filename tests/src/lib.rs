//! What the tests of this crate share.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

pub mod decide;
pub mod world;
