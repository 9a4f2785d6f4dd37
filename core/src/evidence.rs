//! The parts of a request that a decision needs.

use http::{HeaderValue, Method};

use crate::cert::PeerCertificate;
use crate::ids::PolicyId;

/// Everything about one request that [`decide`](crate::decide()) may look at.
///
/// The driver fills it after [`sanitize`](crate::headers::sanitize) has taken the credentials out
/// of the headers; nothing else of the client's headers reaches a decision.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The policy of the listener that the request came in by.
    pub policy: PolicyId,
    /// The request's method.
    pub method: &'a Method,
    /// Host and port as the request names them, in `:authority` or `Host`. Empty if it names none.
    pub authority: &'a str,
    /// The path and query as received.
    pub path: &'a str,
    /// The credentials that were taken out of the request's headers, and what was seen there.
    pub credentials: &'a Credentials,
    /// The leaf of the client's certificate chain, present only once rustls has verified it.
    pub peer: Option<&'a PeerCertificate>,
    /// A number that spreads requests over a cell's equal endpoints. Any distribution will do;
    /// the same number gives the same ranking.
    pub spread: u64,
    /// The driver has already waited for keys once, so the answer must be final.
    pub waited: bool,
}

/// The credentials that [`sanitize`](crate::headers::sanitize) took out of a request's headers, and
/// the properties of the headers that a policy's rules depend on.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The first `Authorization` field, whatever its scheme.
    pub authorization: Option<HeaderValue>,
    /// There was a second one.
    pub several: bool,
    /// The header by which a client with several tenants picks one.
    pub tenant_choice: Option<HeaderValue>,
    /// The `Cell-Bound-Authorization` fields. Usually there is none, and more than one is refused.
    pub cell_bound: Vec<HeaderValue>,
    /// The routing key's fields. Usually there is none, and more than one is refused.
    pub routing_key: Vec<HeaderValue>,
    /// The fields with its signature.
    pub routing_key_signature: Vec<HeaderValue>,
    /// The fields with the token of an operator who asks for an explanation. They say nothing about
    /// the caller, and no decision depends on them. More than one count as a wrong token. Boxed,
    /// because hardly any request has one.
    pub explain: Option<Box<[HeaderValue]>>,
    /// The content type is gRPC's.
    pub grpc: bool,
    /// A header names another method, path or content type, which frameworks behind the router may
    /// use, or it isn't clear whether the content type is gRPC.
    pub overrides_request: bool,
}
