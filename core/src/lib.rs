//! The sans-IO core of Cellway: it decides, and it never does.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cert;
pub mod control;
mod decision;
mod evidence;
mod explain;
pub mod headers;
pub mod health;
mod identity;
pub mod keys;
pub mod placement;
pub mod policy;
mod reason;
pub mod registry;
mod snapshot;
mod text;
mod time;
pub mod token;

pub use decision::{Allow, Challenge, Decision, Deny, KeyWait, Outcome, Ranked};
pub use evidence::{Credentials, Evidence};
pub use explain::{Recorder, Step, Steps};
pub use identity::{Identity, Proof};
pub use reason::{Class, Reason};
pub use snapshot::Snapshot;
pub use text::{NotText, Text};
pub use time::{Mono, Now, Unix};
