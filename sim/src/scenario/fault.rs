//! Faults: what a scenario does to its world, and when.

use std::fmt;
use std::time::Duration;

use super::file::CellState;

/// One entry of the timeline.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// When it ends; the same for those that are over at once.
    pub until: Duration,
    /// What happens.
    pub kind: FaultKind,
    /// The line of the scenario on which it begins.
    pub line: usize,
}

/// What can go wrong, and what operators do.
#[derive(Clone, PartialEq, Debug)]
pub enum FaultKind {
    /// A host stops at once and starts again at the end.
    Crash(String),
    /// A router drains as on SIGTERM, and starts again at the end.
    Drain(String),
    /// Nothing passes between two hosts until the end; then what was held is delivered.
    Partition(String, String),
    /// Messages between two hosts take exactly this long.
    Latency(String, String, Duration),
    /// A cell, identity provider or the control plane answers this much later.
    Slow(String, Duration),
    /// It answers with this status.
    Status(String, u16),
    /// A cell takes requests and never answers.
    HalfOpen(String),
    /// A cell breaks its answers off in the middle.
    Reset(String),
    /// A cell takes requests and breaks off before it answers.
    BreakOff(String),
    /// A cell takes no new connections: they are refused.
    RefuseConnections(String),
    /// A cell refuses all HTTP/2 streams.
    RefuseStreams(String),
    /// A cell's HTTP/2 connections go away after some requests each, and leave others behind.
    GoAway(String),
    /// An identity provider answers with no keys.
    EmptyKeys(String),
    /// An identity provider's key set is longer than any reader should take.
    HugeKeys(String),
    /// An identity provider's discovery document names another issuer.
    WrongIssuer(String),
    /// An identity provider serves the keys of another, whose host comes second.
    WrongKeys(String, String),
    /// An identity provider or the control plane answers with nonsense.
    Garbage(String),
    /// An identity provider publishes a key.
    PublishKey(String, String),
    /// It signs with a published key from now on.
    SignWith(String, String),
    /// It takes a key out of its set.
    WithdrawKey(String, String),
    /// It throws all keys away and has one new one.
    ReplaceKeys(String, String),
    /// The control plane publishes a document.
    Publish(Change),
    /// A router or a cell gets a new serving certificate.
    RotateCertificate(String),
    /// A router or a cell gets a serving certificate that ends after this long.
    ExpiringCertificate(String, Duration),
    /// A cell serves with the certificate of another, which comes second.
    WrongCertificate(String, String),
    /// A router's serving certificate is overwritten with nonsense, then mended at the end.
    BreakCertificate(String),
    /// A router's configuration file gets these settings over those it has.
    Configure(String, toml::Table),
    /// A router's configuration file is overwritten with nonsense, then mended at the end.
    BreakConfiguration(String),
    /// Everybody who trusts the authority trusts its successor too.
    TrustNext(Authority),
    /// All certificates of the authority are issued again by its successor.
    IssueFromNext(Authority),
    /// Nobody trusts the old authority any more.
    DropOld(Authority),
    /// The folder of keys for envelopes, which all routers share, gets a new one, which signs after
    /// this long.
    AddEnvelopeKey(String, Duration),
    /// A key is taken out of that folder.
    RemoveEnvelopeKey(String),
    /// A host's wall clock is wrong by so many milliseconds.
    ClockSkew(String, i64),
    /// A host's disk is full.
    DiskFull(String),
    /// The next write to a host's disk keeps half of it.
    TornWrite(String),
}

/// A change to the registry that the control plane publishes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The next version, otherwise the same.
    Same,
    /// The next version, in which a tenant has another cell.
    Move(String, String),
    /// The next version, in which a tenant is suspended.
    Suspend(String),
    /// The next version, in which a tenant is active again.
    Resume(String),
    /// The next version, in which what a subject of a tenant shows is revoked.
    Revoke(String, String),
    /// The next version, in which it no longer is.
    Restore(String, String),
    /// The next version, in which a cell has another state.
    CellState(String, CellState),
    /// The next version, in which a cell's key for calls to other cells is there.
    CellKey(String),
    /// A version that was published before, with every tenant elsewhere. Must be refused.
    Older,
    /// The present version with other content. Must be refused.
    SameVersion,
    /// A document that contradicts itself. Must be refused.
    Invalid,
    /// A document without cells. Must be refused.
    Empty,
    /// A document that has lost half its tenants. Must be refused.
    Shrunken,
}

/// One of the authorities that issue a world's certificates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Authority {
    /// Issues clients' certificates; routers trust it.
    Clients,
    /// Issues cells' and the routers' client certificates; routers and cells trust it.
    Cells,
    /// Issues the certificates of routers, identity providers and the control plane.
    Servers,
}

impl Authority {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Clients, Self::Cells, Self::Servers];

    /// Its name in scenarios.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Cells => "cells",
            Self::Servers => "servers",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(host) => write!(f, "crash {host}"),
            Self::Drain(host) => write!(f, "drain {host}"),
            Self::Partition(a, b) => write!(f, "partition {a} | {b}"),
            Self::Latency(a, b, delay) => write!(f, "latency {a} - {b} {delay:?}"),
            Self::Slow(host, delay) => write!(f, "slow {host} by {delay:?}"),
            Self::Status(host, status) => write!(f, "{host} answers {status}"),
            Self::HalfOpen(host) => write!(f, "half-open {host}"),
            Self::Reset(host) => write!(f, "{host} breaks answers off"),
            Self::BreakOff(host) => write!(f, "{host} breaks off before it answers"),
            Self::RefuseConnections(host) => write!(f, "{host} refuses connections"),
            Self::RefuseStreams(host) => write!(f, "{host} refuses streams"),
            Self::GoAway(host) => write!(f, "connections of {host} go away"),
            Self::EmptyKeys(host) => write!(f, "{host} has no keys"),
            Self::HugeKeys(host) => write!(f, "{host} has a huge key set"),
            Self::WrongIssuer(host) => write!(f, "{host} calls itself another issuer"),
            Self::WrongKeys(host, other) => write!(f, "{host} serves the keys of {other}"),
            Self::Garbage(host) => write!(f, "{host} answers garbage"),
            Self::PublishKey(host, key) => write!(f, "{host} publishes key {key}"),
            Self::SignWith(host, key) => write!(f, "{host} signs with key {key}"),
            Self::WithdrawKey(host, key) => write!(f, "{host} withdraws key {key}"),
            Self::ReplaceKeys(host, key) => write!(f, "{host} replaces all keys by {key}"),
            Self::Publish(change) => write!(f, "publish {change}"),
            Self::RotateCertificate(host) => write!(f, "new certificate for {host}"),
            Self::ExpiringCertificate(host, lifetime) => {
                write!(f, "certificate for {host} that ends in {lifetime:?}")
            }
            Self::WrongCertificate(cell, other) => {
                write!(f, "{cell} serves with the certificate of {other}")
            }
            Self::BreakCertificate(host) => write!(f, "broken certificate for {host}"),
            Self::Configure(host, settings) => {
                let settings = toml::Value::Table(settings.clone());
                write!(f, "configure {host}: {settings}")
            }
            Self::BreakConfiguration(host) => write!(f, "broken configuration for {host}"),
            Self::TrustNext(ca) => write!(f, "trust the next {} authority too", ca.as_str()),
            Self::IssueFromNext(ca) => write!(f, "issue from the next {} authority", ca.as_str()),
            Self::DropOld(ca) => write!(f, "distrust the old {} authority", ca.as_str()),
            Self::AddEnvelopeKey(kid, after) => {
                write!(f, "new key {kid} for envelopes, signs after {after:?}")
            }
            Self::RemoveEnvelopeKey(kid) => write!(f, "key {kid} for envelopes is removed"),
            Self::ClockSkew(host, millis) => write!(f, "clock of {host} off by {millis}ms"),
            Self::DiskFull(host) => write!(f, "disk of {host} full"),
            Self::TornWrite(host) => write!(f, "torn write on {host}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("the same again"),
            Self::Move(tenant, cell) => write!(f, "{tenant} moved to {cell}"),
            Self::Suspend(tenant) => write!(f, "{tenant} suspended"),
            Self::Resume(tenant) => write!(f, "{tenant} active again"),
            Self::Revoke(tenant, subject) => write!(f, "{subject} of {tenant} revoked"),
            Self::Restore(tenant, subject) => write!(f, "{subject} of {tenant} not revoked"),
            Self::CellState(cell, state) => write!(f, "{cell} {}", state.as_str()),
            Self::CellKey(cell) => write!(f, "the key of {cell}"),
            Self::Older => f.write_str("an older version"),
            Self::SameVersion => f.write_str("other content under the same version"),
            Self::Invalid => f.write_str("an invalid document"),
            Self::Empty => f.write_str("an empty document"),
            Self::Shrunken => f.write_str("a shrunken document"),
        }
    }
}
