//! The messages of Envoy's external authorization (`ext_authz`), and their gRPC framing.
//!
//! The router answers them, and the testbed's Envoy asks with them. There is no IO and no decision here.
#![forbid(unsafe_code)]

pub mod grpc;
mod message;

pub use self::message::*;
