//! The messages of Envoy's external authorization (`ext_authz`) and of gRPC's health service, and their
//! gRPC framing.
//!
//! The router answers them, and asks cells for their health with them; the testbed's Envoy asks with
//! them. There is no IO and no decision here.
#![forbid(unsafe_code)]

pub mod grpc;
pub mod health;
mod message;

pub use self::message::*;
