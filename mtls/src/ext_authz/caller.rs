//! Who may ask.

use cellway_core::Reason;
use cellway_core::cert::PeerCertificate;

use crate::connection::Connection;
use crate::env::Env;
use crate::event::Sink;
use crate::judge::Refused;
use crate::settings::{Callers, Serves};

/// Whoever asks says which certificate a client has shown. So only those are answered whom the
/// settings name, by the settings as they are now.
pub(super) fn check<E: Env, S: Sink>(connection: &Connection<E, S>) -> Result<(), Refused> {
    let live = connection.worker.common.live.load();
    let sans = match live.serves(connection.listener) {
        Some(Serves::ExtAuthz(Callers::Loopback)) => return Ok(()),
        Some(Serves::ExtAuthz(Callers::Sans(sans))) => sans,
        Some(Serves::Proxy) | None => {
            return Err(stranger("this listener answers no such questions any more"));
        }
    };
    let Some(client) = &connection.client else {
        return Err(Refused::new(
            Reason::MissingCertificate,
            "whoever asks must show a client certificate",
        ));
    };
    if !names_any(&client.certificate, sans) {
        return Err(stranger("the certificate names nobody who may ask"));
    }
    // The certificate is in force: its connection ends with it.
    let verify = |chain: &[_]| live.judge_peer(connection.listener, chain);
    let now = connection.worker.common.clock.now().unix;
    client.judge(&live, now, verify).map_err(Refused::caller)
}

fn stranger(detail: &'static str) -> Refused {
    Refused::new(Reason::SanNotAccepted, detail)
}

fn names_any(certificate: &PeerCertificate, sans: &[Box<str>]) -> bool {
    let names = || certificate.uris().iter().chain(certificate.dns_names());
    !certificate.is_authority() && names().any(|name| sans.contains(name))
}
