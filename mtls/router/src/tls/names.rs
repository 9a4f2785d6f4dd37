//! Whether a certificate has one of some names.

use cellway_core::cert::PeerCertificate;

/// Whether the certificate has one of these names. If trust domains have their own CAs
/// (`by_domain`), only the URI name of a certificate that has one counts, because its CA is trusted
/// for nothing else.
pub(crate) fn names_any(certificate: &PeerCertificate, sans: &[Box<str>], by_domain: bool) -> bool {
    let (uris, dns_names) = (certificate.uris(), certificate.dns_names());
    let names: &[&[Box<str>]] = match uris {
        [_, _, ..] if by_domain => &[],
        [_] if by_domain => &[uris],
        _ => &[uris, dns_names],
    };
    let mut names = names.iter().copied().flatten();
    !certificate.is_authority() && names.any(|name| sans.contains(name))
}
