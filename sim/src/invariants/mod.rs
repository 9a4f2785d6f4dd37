//! What must hold in every scenario, at every event.
//!
//! Each invariant is a small state machine. It gets the [`Fact`]s of a run and says when one of them
//! breaks it. `docs/invariants.md` lists the invariants in words. Each has tests that forge facts
//! which break it, because an invariant that never speaks looks the same as one that always holds.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each invariant looks at the few kinds of facts that concern it"
)]

mod anonymous;
mod answers;
mod body_limit;
mod body_waits;
mod breaker;
mod cause;
mod cell_bound;
mod cell_certificates;
mod certificates;
mod checks;
mod claims;
mod client_trust;
mod drained;
mod ejected;
mod endpoints;
mod envelope;
mod envoy;
mod errors;
mod exchange;
mod failover;
mod fair_breaker;
mod free_places;
mod fresh;
mod grpc_status;
mod headers;
mod holders;
mod in_a_row;
mod in_force;
mod issuers;
mod journal;
mod key_age;
mod keys;
mod keys_taken;
mod limits;
mod listed;
mod noticed;
mod on_the_way;
mod open;
mod opening;
mod panic;
mod placement;
mod queue;
mod quiet;
mod rates;
mod recovery;
mod registry;
mod reported;
mod retries;
mod revoked;
mod routing_keys;
pub(crate) mod rules;
mod serving;
pub mod settings;
mod slow_start;
mod stalled;
mod stamps;
mod steady;
mod streams;
mod suspended;
mod true_client;
mod tunnels;
mod verified;
mod waits;
mod websockets;
mod withdrawn;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellway_core::rate_limit::RateLimit;

pub use anonymous::AnonymousApart;
pub use answers::OneAnswer;
pub use body_limit::BodyLimit;
pub use body_waits::BodyWaits;
pub use breaker::OneProbe;
pub use cause::EjectedForCause;
pub use cell_bound::{CELL_BOUND, CellBoundCalls};
pub use cell_certificates::CellCertificates;
pub use certificates::CertificateLife;
pub use checks::{CheckTrouble, ChecksTrue};
pub use claims::{TenantChoice, TierKept, TokenAudience};
pub use client_trust::ClientTrust;
pub use drained::Drained;
pub use ejected::EjectedRest;
pub use endpoints::{EndpointTrouble, Endpoints, EveryEndpoint, Harm};
pub use envelope::EnvelopeHolds;
pub use envoy::EnvoyObeys;
pub use errors::NoUnexpectedErrors;
pub(crate) use exchange::TRAILER;
pub use exchange::TrueExchange;
pub use failover::FailoverAllowed;
pub use fair_breaker::FairBreaker;
pub use free_places::FreePlaces;
pub use fresh::FreshConnections;
pub use grpc_status::GrpcStatus;
pub use headers::{CredentialsStay, FORGED, FORGED_BY_CELL, NoForgedHeaders};
pub use in_a_row::InARow;
pub use issuers::IssuerSpeaks;
pub(crate) use journal::Journal;
pub use journal::Passed;
pub use key_age::{KeyAge, KeyOutage};
pub use keys::BoundedKeyFetches;
pub use keys_taken::{KeysTaken, KnownKey};
pub use limits::LimitsKept;
pub use noticed::FailuresNoticed;
pub use opening::ClosedWithoutRegistry;
pub use panic::AllInPanic;
pub use placement::AssignedCell;
pub use queue::FairQueue;
pub use quiet::QuietServed;
pub use rates::RatesKept;
pub use recovery::Recovery;
pub use registry::{MonotonicRegistry, RegistryFollowed};
pub use reported::ReportedTruly;
pub use retries::{Retried, RetriesBounded};
pub use revoked::Revoked;
pub use routing_keys::RoutingKeys;
pub use rules::RulesKept;
pub(crate) use rules::{Asked, Caller};
pub use serving::ServingCertificate;
pub use settings::{Period, RouterSettings, SettingsInForce};
pub use slow_start::SlowStart;
pub use stalled::StalledCut;
pub use stamps::StampsTrue;
pub use steady::SteadyPlacement;
pub use streams::StreamsKept;
pub use suspended::Suspended;
pub use true_client::TrueClient;
pub use tunnels::Tunnels;
pub use verified::OnlyVerified;
pub use waits::CellWaits;
pub use withdrawn::WithdrawnKeys;

use crate::fact::Fact;

/// Something that must hold.
pub trait Invariant: Send {
    /// Its name in reports and in `docs/invariants.md`.
    fn name(&self) -> &'static str;

    /// Takes the next fact, at this time since the start.
    ///
    /// # Errors
    /// What is wrong: what was found, where, and what was expected.
    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        let _ = (at, fact);
        Ok(())
    }

    /// A request that a router forwarded arrives at a cell. Called after [`Self::observe`] with the fact
    /// [`Arrived`](Fact::Arrived), unless that has failed. Not called for a request that no client sent or
    /// no router decided.
    ///
    /// # Errors
    /// As for [`Self::observe`].
    fn arrived(&mut self, at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let _ = (at, passed);
        Ok(())
    }

    /// The run is over.
    ///
    /// # Errors
    /// What should have happened by now but hasn't.
    fn finish(&mut self, at: Duration) -> Result<(), String> {
        let _ = at;
        Ok(())
    }
}

/// What the invariants know about a scenario before it runs.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Bounds {
    /// The settings that routers run with, `configure` included.
    pub settings: SettingsInForce,
    /// What the router's headers begin with.
    pub header_prefix: String,
    /// When the last fault is over.
    pub calm_from: Duration,
    /// How long after that everything routable must succeed again.
    pub recovery: Duration,
    /// How long a request may be open when the run ends. An older one was forgotten.
    pub answer_within: Duration,
    /// Clients that must be served once all is well.
    pub routable: Vec<String>,
    /// ERROR-level events that the scenario provokes.
    pub errors: Vec<String>,
    /// Keys that issuers withdraw.
    pub withdrawn: Vec<Withdrawn>,
    /// How long a router may leave streams of a tenant open that it no longer serves.
    pub streams_within: Duration,
    /// Whether all routers end WebSockets with the tokens that opened them.
    pub websockets_end_with_token: bool,
    /// How long messages from routers to clients may take, faults included.
    pub delivery_max: Duration,
    /// How long a request may be on its way from its router to its cell, with a new connection.
    pub transit_max: Duration,
    /// Issuers, and the tenants that they may speak for.
    pub issuer_tenants: BTreeSet<(String, String)>,
    /// The periods in which routers' keys must have expired.
    pub key_outages: Vec<KeyOutage>,
    /// The routers' audience, which tokens must name.
    pub audience: String,
    /// Whether the routers' bulkheads keep places free even if all tenants but one flood them.
    pub room_for_quiet: bool,
    /// The rate limits that the registry sets for tenants.
    pub tenant_rates: BTreeMap<String, RateLimit>,
    /// The rate limits that the registry sets for placements.
    pub placement_rates: BTreeMap<String, RateLimit>,
    /// How many requests in flight the registry allows to tenants.
    pub tenant_requests: BTreeMap<String, u32>,
    /// How many requests in flight the registry allows to all tenants of a placement.
    pub placement_requests: BTreeMap<String, u32>,
    /// All endpoints of cells, and when each may fail.
    pub endpoints: Endpoints,
    /// When checks of endpoints must fail.
    pub check_troubles: Vec<CheckTrouble>,
    /// When a fault may keep one router, or all of them, from the control plane.
    pub registry_troubles: Vec<(Option<String>, Duration, Duration)>,
    /// Envelope keys that must not seal between these times, because another key has replaced them.
    pub replaced_envelope_keys: Vec<(String, Duration, Option<Duration>)>,
    /// Envelope keys that every router must publish between these times.
    pub published_envelope_keys: Vec<(String, Duration, Duration)>,
    /// Keys that routers must know.
    pub known_keys: Vec<KnownKey>,
    /// When faults may keep routers from the keys of an issuer.
    pub key_troubles: Vec<(String, Duration, Duration)>,
    /// Routers that can't follow their files between these times since the start.
    pub reloads_stuck: Vec<(String, Duration, Duration)>,
    /// Clients that ask for no streams and send their requests whole.
    pub short_requests: BTreeSet<String>,
    /// Whether routers seal envelopes.
    pub envelopes: bool,
    /// Cells that allow few streams on a connection at times.
    pub few_streams: BTreeSet<String>,
    /// When a fault may keep clients from their routers.
    pub cut_off: Vec<(Duration, Duration)>,
    /// When faults other than drains may make a request fail.
    pub troubles: Vec<(Duration, Duration)>,
    /// When endpoints answer that their clients should come back later, and nothing else.
    pub asks_to_wait: Vec<(String, Duration, Duration)>,
    /// Clients that don't finish their requests.
    pub unfinished: BTreeSet<String>,
    /// Those of them whose bodies stop.
    pub stopping: BTreeSet<String>,
}

impl Bounds {
    /// Whether the registry limits requests in flight. They may wait for that and not for a cell.
    fn limits_in_flight(&self) -> bool {
        !self.tenant_requests.is_empty() || !self.placement_requests.is_empty()
    }
}

/// A key that its issuer has withdrawn.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Withdrawn {
    /// The issuer's name.
    pub issuer: String,
    /// The key's name.
    pub key: String,
    /// When every router must know, since the start.
    pub from: Duration,
    /// When the issuer publishes it again.
    pub until: Option<Duration>,
}

/// An optional value in a message for people.
fn shown(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// All invariants.
pub fn all(bounds: &Bounds) -> Vec<Box<dyn Invariant>> {
    let prefix = bounds.header_prefix.as_str();
    vec![
        Box::new(AssignedCell::new(prefix)),
        Box::new(NoForgedHeaders::new(prefix)),
        Box::new(CredentialsStay),
        Box::new(StampsTrue::new(prefix)),
        Box::new(OnlyVerified::new(bounds)),
        Box::new(TokenAudience::new(&bounds.audience)),
        Box::new(TenantChoice::new(prefix)),
        Box::new(TierKept::default()),
        Box::new(SteadyPlacement::default()),
        Box::new(FailoverAllowed::new(bounds)),
        Box::new(RulesKept::new(bounds)),
        Box::new(AnonymousApart::new(bounds)),
        Box::new(RoutingKeys::new(bounds)),
        Box::new(IssuerSpeaks::new(&bounds.issuer_tenants)),
        Box::new(WithdrawnKeys::new(&bounds.withdrawn)),
        Box::new(KeysTaken::new(bounds)),
        Box::new(KeyAge::new(&bounds.key_outages)),
        Box::new(Drained::new(bounds)),
        Box::new(Suspended::new(bounds)),
        Box::new(Tunnels::new(bounds)),
        Box::new(Revoked::new(bounds)),
        Box::new(CellBoundCalls::new(bounds)),
        Box::new(EnvoyObeys::new(prefix)),
        Box::new(CertificateLife),
        Box::new(CellCertificates::default()),
        Box::new(ServingCertificate::new(bounds)),
        Box::new(FreshConnections::new(bounds)),
        Box::new(ClientTrust::new(bounds)),
        Box::new(EnvelopeHolds::new(bounds)),
        Box::new(MonotonicRegistry::default()),
        Box::new(RegistryFollowed::new(bounds)),
        Box::new(BoundedKeyFetches::new(bounds)),
        Box::new(ClosedWithoutRegistry::new(bounds)),
        Box::new(OneAnswer::new(bounds.answer_within)),
        Box::new(ReportedTruly::default()),
        Box::new(TrueExchange::default()),
        Box::new(GrpcStatus::new(bounds)),
        Box::new(QuietServed::new(bounds.room_for_quiet)),
        Box::new(FairQueue::new(bounds)),
        Box::new(FreePlaces::new(bounds)),
        Box::new(RatesKept::new(bounds)),
        Box::new(LimitsKept::new(bounds)),
        Box::new(StreamsKept::new(bounds)),
        Box::new(TrueClient::default()),
        Box::new(EveryEndpoint::new(bounds)),
        Box::new(ChecksTrue::new(bounds)),
        Box::new(EjectedRest::new(bounds)),
        Box::new(AllInPanic::new(bounds)),
        Box::new(EjectedForCause::new(bounds)),
        Box::new(SlowStart::new(bounds)),
        Box::new(FailuresNoticed::new(bounds)),
        Box::new(InARow::new(bounds)),
        Box::new(FairBreaker::new(bounds)),
        Box::new(OneProbe::new(bounds)),
        Box::new(CellWaits::new(bounds)),
        Box::new(StalledCut::new(bounds)),
        Box::new(BodyWaits::new(bounds)),
        Box::new(BodyLimit::new(bounds)),
        Box::new(Retried::new(bounds)),
        Box::new(RetriesBounded::new(bounds)),
        Box::new(NoUnexpectedErrors::new(&bounds.errors)),
        Box::new(Recovery::new(bounds)),
    ]
}
