//! Checks that the caller may send authorization checks.

use cellway_core::Reason;
use cellway_core::cert::PeerCertificate;
use cellway_env::Env;

use crate::active_config::ActiveConfig;
use crate::data_plane::authz::Refused;
use crate::data_plane::connection::Connection;
use crate::observe::event::Sink;
use crate::settings::{Callers, Serves};

/// The caller says which certificate a client has shown, so the router answers only callers that
/// the current settings name.
pub(super) fn check<E: Env, S: Sink>(
    connection: &Connection<E, S>,
    config: &ActiveConfig,
) -> Result<(), Refused> {
    let sans = match &config.listener(connection.listener).serves {
        Serves::ExtAuthz(Callers::Loopback) => return Ok(()),
        Serves::ExtAuthz(Callers::Sans(sans)) => sans,
        Serves::Proxy => {
            return Err(stranger(
                "this listener no longer answers authorization requests",
            ));
        }
    };
    let Some(client) = &connection.client else {
        return Err(Refused::new(
            Reason::MissingCertificate,
            "an authorization request needs a client certificate",
        ));
    };
    let by_domain = !config.settings.domain_bundles.is_empty();
    if !names_any(&client.certificate, sans, by_domain) {
        return Err(stranger(
            "the client certificate is not one of the listener's callers",
        ));
    }
    // The certificate hasn't expired, because its connection is closed when it does.
    let verify = |chain: &[_]| config.verify_peer_chain(connection.listener, chain);
    let now = connection.worker.reporter.now().unix;
    client
        .reverify(config, now, verify)
        .map_err(Refused::caller)
}

fn stranger(detail: &'static str) -> Refused {
    Refused::new(Reason::SanNotAccepted, detail)
}

/// Whether the certificate has one of these names. If trust domains have their own CAs
/// (`by_domain`), only the URI name of a certificate that has one counts, because its CA is trusted
/// for nothing else.
fn names_any(certificate: &PeerCertificate, sans: &[Box<str>], by_domain: bool) -> bool {
    let (uris, dns_names) = (certificate.uris(), certificate.dns_names());
    let names: &[&[Box<str>]] = match uris {
        [_, _, ..] if by_domain => &[],
        [_] if by_domain => &[uris],
        _ => &[uris, dns_names],
    };
    let mut names = names.iter().copied().flatten();
    !certificate.is_authority() && names.any(|name| sans.contains(name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cellway_core::Unix;
    use cellway_testbed::{Ca, CertificateSpec, Key, San, Usage, Validity};

    use super::*;

    fn named(names: &[&str]) -> PeerCertificate {
        let name = |name: &&str| match name.contains("://") {
            true => San::Uri((*name).to_owned()),
            false => San::Dns((*name).to_owned()),
        };
        let validity = Validity::around(Unix::from_secs(1_800_000_000), Duration::from_secs(60));
        let spec = CertificateSpec {
            common_name: "envoy".to_owned(),
            sans: names.iter().map(name).collect(),
            usage: Usage::Client,
            validity,
            serial: 1,
        };
        let ca = Ca::new("root", &Key::from_seed([1; 32]), validity, 1).unwrap();
        let issued = ca.issue(&spec, &Key::from_seed([2; 32])).unwrap();
        PeerCertificate::from_der(&issued.chain[0]).unwrap()
    }

    #[test]
    fn an_id_is_the_only_name_where_domains_have_their_own_authorities() {
        let (id, other, dns) = ("spiffe://a/envoy", "spiffe://b/envoy", "envoy.example");
        let sans = [id, dns].map(Box::from);
        for (names, free, by_domain) in [
            (&[id][..], true, true),
            (&[dns], true, true),
            (&[other], false, false),
            (&[other, dns], true, false),
            (&[id, dns], true, true),
            (&[other, id], true, false),
        ] {
            let certificate = named(names);
            assert_eq!(names_any(&certificate, &sans, false), free, "{names:?}");
            assert_eq!(names_any(&certificate, &sans, true), by_domain, "{names:?}");
        }
    }
}
