//! The level and the name of the log line for each event.

use cellway_core::Decision;
use cellway_core::control::Notice;
use cellway_core::health::HealthNotice;
use cellway_core::keys::KeyNotice;
use cellway_core::registry::RegistryNotice;

use super::Level;
use crate::observe::event::{
    CircuitChange, Event, ExplainAnswer, Responded, SealOutcome, SpanOutcome,
};

/// The level and the name of an event.
pub fn heading(event: &Event<'_>) -> (Level, &'static str) {
    use Level::{Debug, Error, Info, Warn};
    match event {
        Event::Listening { .. } => (Info, "listening"),
        Event::OpenedEmpty { .. } => (Warn, "opened_without_registry"),
        Event::AcceptFailed { .. } => (Error, "accept_failed"),
        Event::ConnectionAccepted { .. } => (Debug, "connection_accepted"),
        Event::ConnectionRefused { .. } => (Warn, "connection_refused"),
        Event::ConnectionClosed { .. } => (Debug, "connection_closed"),
        Event::TlsRefused { .. } => (Info, "tls_refused"),
        Event::AdminDenied { .. } => (Warn, "admin_denied"),
        Event::Decided { decision, .. } => match decision {
            Decision::Allow(_) => (Debug, "authz_allow"),
            Decision::Deny(_) => (Info, "authz_deny"),
        },
        Event::CellBound { bound, .. } => match (&bound.refused, bound.denies()) {
            (None, _) => (Debug, "cba_allow"),
            (Some(_), Some(_)) => (Info, "cba_deny"),
            (Some(_), None) => (Info, "cba_would_deny"),
        },
        Event::Envelope { outcome, .. } => match outcome {
            SealOutcome::Sealed => (Debug, "envelope_sealed"),
            SealOutcome::NoKey | SealOutcome::TooLarge => (Warn, "envelope_failed"),
        },
        // Answers that the router made itself or cut short. A denial already has its own line.
        Event::Responded(Responded {
            reason: Some(_),
            told: false,
            ..
        }) => (Info, "responded"),
        Event::Responded(_) => (Debug, "responded"),
        Event::StreamClosed { .. } => (Info, "stream_closed"),
        Event::ExplainAsked { answer, .. } => match answer {
            ExplainAnswer::Given => (Info, "explained"),
            ExplainAnswer::WrongToken | ExplainAnswer::OverRate => (Warn, "explain_refused"),
        },
        Event::Preflight { .. } => (Debug, "cors_preflight"),
        Event::ShareRefused { news, .. } => match news {
            true => (Warn, "share_refused"),
            false => (Debug, "share_refused"),
        },
        Event::RateLimited { news, .. } => match news {
            true => (Warn, "rate_limited"),
            false => (Debug, "rate_limited"),
        },
        Event::TunnelOpened { .. } => (Debug, "tunnel_opened"),
        Event::TunnelEnded { .. } => (Debug, "tunnel_ended"),
        Event::Waited { .. } => (Debug, "waited"),
        Event::CellConnected { .. } => (Debug, "cell_connected"),
        Event::CellFailed { .. } => (Warn, "cell_failed"),
        Event::CircuitChanged { change, .. } => match change {
            CircuitChange::Opened => (Warn, "circuit_opened"),
            CircuitChange::Probing => (Debug, "circuit_probing"),
            CircuitChange::Closed => (Info, "circuit_closed"),
            CircuitChange::Freed => (Debug, "circuit_freed"),
        },
        Event::EndpointChecked { .. } => (Debug, "endpoint_checked"),
        Event::CellRetry { granted: true, .. } => (Debug, "cell_retry"),
        Event::CellRetry { granted: false, .. } => (Warn, "cell_retry_refused"),
        Event::CellHedge { .. } => (Debug, "cell_hedge"),
        Event::FailedOver { .. } => (Warn, "failed_over"),
        Event::Spans { outcome, .. } => match outcome {
            SpanOutcome::Sent => (Debug, "spans_sent"),
            SpanOutcome::QueueFull | SpanOutcome::NotSent => (Warn, "spans_lost"),
        },
        Event::Published { .. } => (Debug, "published"),
        Event::Notice { notice, .. } => match notice {
            Notice::Keys { notice, .. } => keys_heading(notice),
            Notice::Registry(notice) => registry_heading(notice),
            Notice::CellKeysRefused { .. } => (Warn, "cell_keys_refused"),
            Notice::Health(HealthNotice::Ejected { .. }) => (Warn, "endpoint_ejected"),
            Notice::Health(HealthNotice::Returned { .. }) => (Info, "endpoint_returned"),
            Notice::Health(HealthNotice::Unhealthy { .. }) => (Warn, "endpoint_unhealthy"),
            Notice::Health(HealthNotice::Healthy { .. }) => (Info, "endpoint_healthy"),
        },
        Event::KeysRequested { .. } => (Debug, "keys_requested"),
        Event::SourceFailed { .. } => (Warn, "source_failed"),
        Event::KeptRefused { .. } => (Warn, "kept_refused"),
        Event::KeepFailed { .. } => (Error, "keep_failed"),
        Event::Insecure { .. } => (Warn, "insecure_policy"),
        Event::ConfigWarning { .. } => (Warn, "config_warning"),
        Event::CertificateEnding { .. } => (Warn, "certificate_ending"),
        Event::CertificateExpired { .. } => (Warn, "certificate_expired"),
        Event::Starting(_) => (Info, "starting"),
        Event::Reloaded { .. } => (Info, "reloaded"),
        Event::LogMoved { .. } => (Info, "log_moved"),
        Event::ReloadRefused { .. } => (Error, "reload_refused"),
        Event::Draining { .. } => (Info, "draining"),
        Event::ListenersClosed => (Info, "listeners_closed"),
        Event::UpgradeStarted { .. } => (Info, "upgrade_started"),
        Event::HandedOver { .. } => (Info, "handed_over"),
        Event::UpgradeFailed { .. } => (Error, "upgrade_failed"),
        Event::Drained { .. } => (Info, "drained"),
    }
}

fn keys_heading(notice: &KeyNotice) -> (Level, &'static str) {
    match notice {
        KeyNotice::Fetched { changed: true, .. } => (Level::Info, "keys_changed"),
        KeyNotice::Fetched { changed: false, .. } => (Level::Debug, "keys_confirmed"),
        KeyNotice::Restored { .. } => (Level::Info, "keys_restored"),
        KeyNotice::Refused(_) => (Level::Error, "keys_refused"),
        KeyNotice::Failed(_) => (Level::Warn, "keys_fetch_failed"),
    }
}

fn registry_heading(notice: &RegistryNotice) -> (Level, &'static str) {
    match notice {
        RegistryNotice::Applied { .. } => (Level::Info, "registry_applied"),
        RegistryNotice::Refused(_) => (Level::Error, "registry_refused"),
        RegistryNotice::FetchFailed { .. } => (Level::Warn, "registry_fetch_failed"),
        RegistryNotice::Stale => (Level::Warn, "registry_stale"),
        RegistryNotice::Fresh => (Level::Info, "registry_fresh"),
        RegistryNotice::StatusAging { .. } => (Level::Warn, "tenant_status_aging"),
        RegistryNotice::StatusExpired => (Level::Error, "tenant_status_expired"),
        RegistryNotice::StatusCurrent => (Level::Info, "tenant_status_current"),
    }
}
