//! Renders an event as a log line.

mod access;
mod connections;
mod requests;
mod router;
mod sources;

use std::time::Duration;

use cellway_core::Unix;

pub use self::access::access;
use super::line::Line;
use super::{Level, Subjects, heading};
use crate::observe::event::Event;

/// The line for an event; `None` if it is less severe than `least`.
pub fn render(at: Unix, event: &Event<'_>, least: Level, subjects: &Subjects) -> Option<String> {
    let (level, _) = heading(event);
    (level <= least).then(|| line(at, event, subjects, 0))
}

/// The line of an event. `repeated` is how many similar lines were left out before it.
pub(super) fn line(at: Unix, event: &Event<'_>, subjects: &Subjects, repeated: u64) -> String {
    let (level, name) = heading(event);
    let line = body(Line::new(at, level, name), event, subjects);
    let repeated = (repeated > 0).then_some(repeated);
    line.opt("repeated", repeated, Line::num).end()
}

/// Adds the event's own fields. Each function that it calls handles the events listed in its arm.
fn body(line: Line, event: &Event<'_>, subjects: &Subjects) -> Line {
    match event {
        Event::Listening { .. }
        | Event::OpenedEmpty { .. }
        | Event::AcceptFailed { .. }
        | Event::ConnectionAccepted { .. }
        | Event::ConnectionRefused { .. }
        | Event::ConnectionClosed { .. }
        | Event::TlsRefused { .. }
        | Event::AdminDenied { .. }
        | Event::ShareRefused { .. }
        | Event::RateLimited { .. }
        | Event::TunnelOpened { .. }
        | Event::TunnelEnded { .. } => connections::body(line, event),
        Event::Decided { .. }
        | Event::CellBound { .. }
        | Event::Envelope { .. }
        | Event::Responded(_)
        | Event::StreamClosed { .. }
        | Event::ExplainAsked { .. }
        | Event::Waited { .. }
        | Event::Preflight { .. } => requests::body(line, event, subjects),
        Event::CellConnected { .. }
        | Event::CellFailed { .. }
        | Event::CircuitChanged { .. }
        | Event::EndpointChecked { .. }
        | Event::CellRetry { .. }
        | Event::CellHedge { .. }
        | Event::FailedOver { .. }
        | Event::KeysRequested { .. }
        | Event::SourceFailed { .. }
        | Event::KeptRefused { .. }
        | Event::KeepFailed { .. }
        | Event::Spans { .. }
        | Event::Published { .. }
        | Event::Notice { .. } => sources::body(line, event),
        Event::Insecure { .. }
        | Event::ConfigWarning { .. }
        | Event::CertificateEnding { .. }
        | Event::CertificateExpired { .. }
        | Event::Starting(_)
        | Event::Reloaded { .. }
        | Event::LogMoved { .. }
        | Event::ReloadRefused { .. }
        | Event::Draining { .. }
        | Event::ListenersClosed
        | Event::UpgradeStarted { .. }
        | Event::HandedOver { .. }
        | Event::UpgradeFailed { .. }
        | Event::Drained { .. } => router::body(line, event),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
