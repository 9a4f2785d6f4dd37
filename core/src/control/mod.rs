//! The state machines that make snapshots. (interface first)

use std::sync::Arc;

use bytes::Bytes;

use crate::policy::IssuerId;
use crate::snapshot::Snapshot;
use crate::time::{Mono, Unix};

/// What the driver has to do for control.
#[derive(Debug)]
pub enum Output {
    /// Make this the snapshot that requests are decided on, and wake those that wait for keys.
    Publish(Arc<Snapshot>),
    /// Fetch this issuer's keys, then call `handle_keys`.
    FetchKeys(IssuerId),
    /// Ask the registry's source for a document, then call `handle_registry`.
    FetchRegistry,
    /// Keep this last-known-good key set.
    SaveKeys {
        issuer: IssuerId,
        body: Bytes,
        fetched_at: Unix,
    },
    /// Keep this last-known-good registry document.
    SaveRegistry { body: Bytes, fetched_at: Unix },
    /// Drop this where it disturbs nobody: freeing a million tenants takes milliseconds.
    Free(Retired),
    /// Something happened that logs, metrics and invariants want to know.
    Notice(Notice),
}
/// A part of old snapshots that no request holds any more.
#[derive(Debug)]
pub struct Retired(#[allow(dead_code)] Box<dyn std::any::Any + Send>);
/// placeholder
#[derive(Debug)]
pub enum Notice {}
/// Why control wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {}
/// placeholder
pub type Timeout = (Mono, Wake);
