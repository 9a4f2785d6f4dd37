//! Whether a request was meant for this machine.
//!
//! A web page can point its own name at a loopback address (DNS rebinding). A browser then lets the
//! page read what a listener on loopback answers. The `Host` field still has the page's name.

use std::net::IpAddr;

use http::Request;
use http::header::HOST;
use http::uri::Authority;

/// Whether the request names no other host than this machine. Programs other than browsers may name
/// none.
pub(super) fn is_for_this_machine<B>(request: &Request<B>) -> bool {
    let target = request.uri().authority();
    let mut fields = request.headers().get_all(HOST).iter();
    let named = |field: &http::HeaderValue| {
        let authority = Authority::try_from(field.as_bytes());
        authority.is_ok_and(|authority| is_this_machine(&authority))
    };
    target.is_none_or(is_this_machine) && fields.all(named)
}

fn is_this_machine(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(is_loopback)
}
