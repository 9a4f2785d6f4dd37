//! What the tests of this crate share.

#![forbid(unsafe_code)]

pub mod decide;
pub mod pki;
pub mod python;
pub mod wire;
pub mod world;
