//! Lines about the router itself.

use super::{Line, millis};
use crate::build;
use crate::observe::event::Event;
use crate::rfc3339::rfc3339;
use crate::tls::CertificateDates;

/// The most names in a list. If there are more, the line says how many.
const NAMED_MAX: usize = 32;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other events are rendered elsewhere; tests render each"
)]
pub(super) fn body(line: Line, event: &Event<'_>) -> Line {
    match event {
        Event::Starting(startup) => line
            .str("version", build::VERSION)
            .str("commit", build::COMMIT)
            .str("config", startup.config)
            .str("digest", &startup.stated.digest())
            .names("overrides", startup.stated.overrides())
            .num("workers", startup.workers as u64),
        Event::Reloaded { changed } => line
            .names("settings", &changed.settings)
            .names("files", &changed.files)
            .opt("digest", changed.digest.as_deref(), Line::str),
        Event::ReloadRefused { error } => line.str("error", error),
        Event::LogMoved { to } => line.str("to", to.as_str()),
        Event::Insecure { policy } => line.show("policy", policy),
        Event::ConfigWarning { finding } => line
            .str("setting", &finding.setting)
            .str("problem", &finding.problem)
            .str("fix", &finding.fix),
        Event::CertificateEnding { certificate, left } => {
            of_certificate(line, certificate).num("left_secs", left.as_secs())
        }
        Event::CertificateExpired { certificate } => of_certificate(line, certificate),
        Event::Draining { delay, deadline } => line
            .num("delay_ms", millis(*delay))
            .num("deadline_ms", millis(*deadline)),
        Event::UpgradeStarted { pid } | Event::HandedOver { pid } => {
            line.num("pid", u64::from(*pid))
        }
        Event::UpgradeFailed { error } => line.str("error", error),
        Event::Drained { abandoned } => line.num("abandoned", *abandoned as u64),
        _ => line,
    }
}

fn of_certificate(line: Line, certificate: &CertificateDates) -> Line {
    line.str("setting", &certificate.setting)
        .num("position", certificate.position as u64)
        .str("not_after", &rfc3339(certificate.not_after))
}

impl Line {
    /// A list of names. The first few are shown.
    fn names(self, key: &str, names: &[String]) -> Self {
        let shown = names.iter().take(NAMED_MAX).map(String::as_str);
        let more = names.len().saturating_sub(NAMED_MAX);
        let more = (more > 0).then(|| format!("and {more} more"));
        self.list(key, shown.chain(more.as_deref()))
    }
}
