//! The sans-IO core of Cellway. It makes decisions and performs no IO.
//!
//! It uses no clock, entropy, socket, file, thread or log, and nothing is async. Callers pass the
//! time in. So the production listener and the simulator run the same logic, a decision can be
//! replayed, and no test has to wait.
//!
//! There are two halves:
//!
//! - **decide**: [`decide()`] is a function of a [`Snapshot`], the [`Evidence`] of one request and
//!   the time, to an [`Outcome`]. It is cheap, takes no lock, and may run on any number of threads
//!   at once. The same arguments give the same decision, byte for byte.
//! - **control**: [`Control`](control::Control) holds the state machines that make snapshots: key
//!   sets, the registry, endpoint health. Methods that begin with `handle_` take something in,
//!   `poll_` methods give something out.
//!
//! # The drive loop
//!
//! A driver owns one `Control` and repeats three steps:
//!
//! 1. Drain [`poll_output`](control::Control::poll_output): do each thing, or start it.
//! 2. Ask [`poll_timeout`](control::Control::poll_timeout) when to come back, and sleep until then
//!    or until something arrives.
//! 3. Feed in the *one* thing that happened with its `handle_` method, or call
//!    [`handle_timeout`](control::Control::handle_timeout).
//!
//! The one rule: after every `handle_` call, drain before the next. Waking too early is harmless.
//!
//! ```
//! use std::time::Duration;
//!
//! use cellway_core::control::{Control, ControlSettings, Output};
//! use cellway_core::policy::{Policy, PolicySpecs};
//! use cellway_core::registry::{Registry, RegistryFetched, RegistryFormat, RegistryLimits};
//! use cellway_core::{Mono, Now, Unix};
//!
//! // What a registry's source would answer. There is no source here: the driver is this example.
//! let body = br#"{
//!     "version": 1,
//!     "cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
//!                "endpoints": [{"url": "https://a.internal:443"}]}],
//!     "tenants": [{"id": "acme", "cell": "a"}]
//! }"#;
//!
//! let specs: PolicySpecs = serde_json::from_str(r#"{"policy": [{
//!     "name": "default", "mode": "disabled", "allow_insecure": true,
//!     "insecure_identity": {"tenant": "acme"}
//! }]}"#)?;
//! let policy = Policy::build(&specs).expect("a policy without mistakes");
//! let at = |secs| Now {
//!     mono: Mono::from_origin(Duration::from_secs(secs)),
//!     unix: Unix::from_secs(1_800_000_000 + secs),
//! };
//! let mut control = Control::new(policy.into(), ControlSettings::default(), at(0), 7);
//! let mut version = None;
//!
//! for second in 0..3 {
//!     let mut answer = None;
//!     // 1. Do what it asks for, until it asks for nothing more.
//!     while let Some(output) = control.poll_output() {
//!         match output {
//!             Output::FetchRegistry { .. } => {
//!                 let parsed = Registry::parse(
//!                     body,
//!                     RegistryFormat::Json,
//!                     control.registry().map(|current| &**current),
//!                     &RegistryLimits::default(),
//!                 );
//!                 answer = Some(RegistryFetched::Document {
//!                     parsed,
//!                     body: body.as_slice().into(),
//!                     validator: None,
//!                 });
//!             }
//!             Output::Publish(snapshot) => {
//!                 version = snapshot.registry.as_ref().map(|registry| registry.version());
//!             }
//!             _ => {}
//!         }
//!     }
//!     // 2. Sleep until it wants to be woken, or something arrives.
//!     if let Some((when, _why)) = control.poll_timeout() {
//!         assert!(when >= at(second).mono, "what was due is done");
//!     }
//!     // 3. Feed in what happened: an answer arrived, or it is time.
//!     match answer {
//!         Some(fetched) => control.handle_registry(at(second), Ok(fetched)),
//!         None => control.handle_timeout(at(second + 1)),
//!     }
//! }
//! assert_eq!(version, Some(1));
//! # Ok::<(), serde_json::Error>(())
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::expect_used)]
#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        reason = "a test that meets something else has found a bug"
    )
)]

pub mod adaptive_limit;
mod authorize;
mod base64url;
pub mod cba;
mod cell;
pub mod cert;
pub mod control;
pub mod cors;
mod decide;
mod decision;
pub mod envelope;
mod evidence;
mod explain;
mod failover;
pub mod headers;
pub mod health;
pub mod http1;
pub mod http2;
pub mod identify;
mod identity;
mod ids;
mod json;
mod jws;
pub mod keys;
mod kid;
mod mismatch;
mod mix;
pub mod path;
pub mod placement;
pub mod policy;
pub mod proxy_protocol;
mod ranked;
pub mod rate_limit;
mod reason;
mod recheck;
mod refused;
pub mod registry;
mod rendezvous;
mod revoked;
mod roles;
pub mod routing_key;
mod snapshot;
mod stamps;
mod tenant;
#[cfg(test)]
mod testing;
mod text;
mod time;
pub mod trace;
pub mod upgrade;
pub mod websocket;
pub mod words;

pub use decide::decide;
pub use decision::{Allow, Challenge, Decision, Deny, FailedOver, Outcome, Rates, RequestsMax};
pub use evidence::{Credentials, Evidence};
pub use explain::{Recorder, Step, Steps};
pub use failover::{CellFailure, FAILOVER_REASONS, FailoverQuery, fail_over};
pub use identity::{CertificateProof, Identity, LeftOut, Proof, TokenProof};
pub use mismatch::{Mismatch, mismatches};
pub use mix::mix;
pub use ranked::Ranked;
pub use reason::{Class, RETRY_AFTER_DEFAULT, Reason};
pub use recheck::recheck;
pub use refused::{KeyWait, Refused};
pub use snapshot::Snapshot;
pub use stamps::Stamps;
pub use text::{Text, TextError};
pub use time::{Mono, Now, Unix};
