//! Logs that a certificate expires soon, for operators who don't watch the metric.

use std::time::Duration;

use cellway_core::Unix;
use cellway_env::Env;
use tokio::time::sleep;

use crate::data_plane::drain::Drain;
use crate::observe::Reporter;
use crate::observe::event::{Event, Sink};
use crate::tls::CertificateDates;
use crate::view::ViewCell;

/// The longest time between two checks. The wall clock may be changed while a timer runs.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);

/// What was logged about a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Said {
    Nothing,
    Ending,
    Expired,
}

impl Said {
    /// What should have been logged at `now`.
    fn due(certificate: &CertificateDates, now: Unix) -> Self {
        if certificate.not_after <= now {
            Self::Expired
        } else if certificate.near_from() <= now {
            Self::Ending
        } else {
            Self::Nothing
        }
    }

    /// When the next line is due.
    fn next(self, certificate: &CertificateDates) -> Option<Unix> {
        match self {
            Self::Nothing => Some(certificate.near_from()),
            Self::Ending => Some(certificate.not_after),
            Self::Expired => None,
        }
    }
}

/// Logs each certificate of the settings in force once when it expires soon and once when it has
/// expired. Runs until the router drains.
pub(crate) async fn watch<E: Env, S: Sink>(
    views: &ViewCell,
    drain: &Drain,
    reporter: &Reporter<E, S>,
) {
    let mut said: Vec<(CertificateDates, Said)> = Vec::new();
    loop {
        let config = views.config();
        let (certificates, epoch) = (config.certificates.clone(), config.epoch);
        drop(config);
        let now = reporter.now();
        said = certificates
            .iter()
            .map(|certificate| {
                let due = Said::due(certificate, now.unix);
                // Keep what was logged about a certificate that is still there after a reload.
                let before = said.iter().find(|(other, _)| other == certificate);
                if before.map_or(Said::Nothing, |(_, before)| *before) < due {
                    tell(reporter, now, certificate, due);
                }
                (certificate.clone(), due)
            })
            .collect();
        let next = said.iter().filter_map(|(it, said)| said.next(it)).min();
        let reloaded = views.until(|view| (view.config.epoch != epoch).then_some(()));
        let wait = next.map_or(LOOK_INTERVAL_MAX, |next| next.since(now.unix));
        tokio::select! {
            biased;
            () = drain.begun() => return,
            () = reloaded => {}
            () = sleep(wait.min(LOOK_INTERVAL_MAX)) => {}
        }
    }
}

fn tell<E: Env, S: Sink>(
    reporter: &Reporter<E, S>,
    now: cellway_core::Now,
    certificate: &CertificateDates,
    due: Said,
) {
    let left = certificate.not_after.since(now.unix);
    match due {
        Said::Nothing => {}
        Said::Ending => reporter.emit_at(now, &Event::CertificateEnding { certificate, left }),
        Said::Expired => reporter.emit_at(now, &Event::CertificateExpired { certificate }),
    }
}

#[cfg(test)]
mod tests;
