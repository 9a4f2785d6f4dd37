//! What the tests of this crate share.

#![forbid(unsafe_code)]

pub mod decide;
pub mod world;
