//! The reasons for which requests are allowed or denied, as one closed enum.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// The default for `Retry-After`. It is about the time until a source's next refresh or an
/// endpoint's return.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(5);

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident => $wire:literal, $class:ident;)+) => {
        /// Why a request was allowed or refused.
        ///
        /// The set is closed: it appears in metrics, logs, response bodies and snapshots under
        /// [`Reason::as_str`], and each value has one meaning.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason there is, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire, in snake case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire,)+ }
            }

            /// What kind of answer the reason leads to.
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)+ }
            }

            /// What the reason means, for `--help` and documentation.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

/// The kinds of answer that reasons lead to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// The request goes to a cell.
    Allow,
    /// 401 with `WWW-Authenticate`: a credential is missing or bad.
    Unauthenticated,
    /// 403: the credential is good, what it asks for isn't allowed.
    Forbidden,
    /// 503 with `Retry-After`: the router or the cell can't serve this now.
    Unavailable,
    /// 400: the request is not HTTP that a proxy may pass on.
    BadRequest,
    /// 431: the request's header is longer, or has more fields, than the router takes.
    HeadersTooLarge,
    /// 408: the client was too slow.
    RequestTimeout,
    /// 413: the request's body is longer than its route allows.
    BodyTooLarge,
    /// 429 with `Retry-After`: the caller has sent too many requests.
    TooManyRequests,
    /// 502: the cell's fault.
    BadGateway,
    /// 504: the cell was too slow.
    GatewayTimeout,
    /// 501: the router doesn't do this for any path.
    NotImplemented,
}

reasons! {
    /// A credential proved who is calling.
    Verified => "verified", Allow;
    /// No credential came, and the policy lets such requests go to the anonymous placement.
    Anonymous => "anonymous", Allow;
    /// Authentication is disabled; the identity is the policy's `insecure_identity`.
    Insecure => "insecure", Allow;

    /// The request has no bearer token, and the policy requires one; or the policy accepts several kinds of
    /// credentials, a bearer token among them, and the request has none.
    MissingToken => "missing_token", Unauthenticated;
    /// The token isn't a well-formed signed JWT in an `Authorization: Bearer` field, or a claim in it
    /// has the wrong form.
    MalformedToken => "malformed_token", Unauthenticated;
    /// The token's signature is not valid under the key that the token names.
    BadSignature => "bad_signature", Unauthenticated;
    /// The token's `exp` has passed.
    ExpiredToken => "expired_token", Unauthenticated;
    /// `nbf` or `iat` is in the future by more than the leeway.
    NotYetValid => "not_yet_valid", Unauthenticated;
    /// `iss` is not an issuer that this policy accepts.
    WrongIssuer => "wrong_issuer", Unauthenticated;
    /// `aud` doesn't contain a configured audience, or `client_id` or `azp` isn't on the issuer's list.
    WrongAudience => "wrong_audience", Unauthenticated;
    /// The issuer's current key set has no key for this token.
    NoMatchingKey => "no_matching_key", Unauthenticated;
    /// The token's algorithm isn't on the issuer's list, or isn't the key's own.
    ForbiddenAlgorithm => "forbidden_algorithm", Unauthenticated;
    /// A required claim is missing, `null` or empty: the tenant, the subject, `exp` and the like.
    MissingClaim => "missing_claim", Unauthenticated;
    /// The token is bound to a client certificate, and this connection has another one or none.
    WrongBinding => "wrong_binding", Unauthenticated;
    /// The registry revokes the token or certificate: by itself, or by its subject, tenant, issuer or
    /// time of issue.
    Revoked => "revoked", Unauthenticated;
    /// The request has more than one bearer token.
    DuplicateCredentials => "duplicate_credentials", Unauthenticated;
    /// The policy requires a client certificate, and the client has shown none.
    MissingCertificate => "missing_certificate", Unauthenticated;
    /// The client certificate's names match no configured template, or none that names a tenant.
    SanNotAccepted => "san_not_accepted", Unauthenticated;
    /// The client certificate has expired or is not valid yet.
    CertificateExpired => "certificate_expired", Unauthenticated;
    /// The client certificate is a CA certificate, which can't identify a client.
    CertificateAuthority => "certificate_authority", Unauthenticated;
    /// The client certificate's extended key usage lacks clientAuth, or its key usage lacks
    /// digitalSignature (an SVID must have it).
    CertificateUsage => "certificate_usage", Unauthenticated;
    /// A revocation list names the client certificate, or a CA certificate in its chain.
    CertificateRevoked => "certificate_revoked", Unauthenticated;
    /// No CA of the current trust bundle signed the client certificate.
    CertificateUntrusted => "certificate_untrusted", Unauthenticated;

    /// The policy requires a routing key, and the request has none.
    MissingRoutingKey => "missing_routing_key", Unauthenticated;
    /// The request has more than one routing key, or more than one signature of it.
    DuplicateRoutingKey => "duplicate_routing_key", Unauthenticated;
    /// The routing key can't be a tenant's name, or its signature has the wrong form, or there is a
    /// signature without a routing key.
    MalformedRoutingKey => "malformed_routing_key", Unauthenticated;
    /// The routing key isn't signed, and its sender is not a listed gateway.
    UntrustedRoutingKey => "untrusted_routing_key", Unauthenticated;
    /// The routing key's signature names a kid that no configured signer has.
    RoutingKeyUnknownSigner => "routing_key_unknown_signer", Unauthenticated;
    /// The routing key's signature is not valid for this request's method, authority, path and routing key.
    RoutingKeyBadSignature => "routing_key_bad_signature", Unauthenticated;
    /// The routing key's signature is older than `max_age_secs`.
    RoutingKeyExpired => "routing_key_expired", Unauthenticated;
    /// The time of the routing key's signature is in the future by more than `skew_secs`.
    RoutingKeyNotYetValid => "routing_key_not_yet_valid", Unauthenticated;

    /// Two credentials, or a credential and the registry, disagree about the tenant or its tier.
    IdentityConflict => "identity_conflict", Forbidden;
    /// The token names several tenants and the request picks none of them.
    AmbiguousTenant => "ambiguous_tenant", Forbidden;
    /// The tenant is suspended.
    TenantSuspended => "tenant_suspended", Forbidden;
    /// The registry doesn't list the tenant, and unknown tenants are denied.
    TenantUnknown => "tenant_unknown", Forbidden;
    /// No rule of the policy matches the request, or the caller lacks the roles or scopes of the rule
    /// that does.
    RoleForbidden => "role_forbidden", Forbidden;
    /// The issuer, trust domain, gateway or signer behind the credential may not speak for this tenant.
    IssuerNotAllowed => "issuer_not_allowed", Forbidden;

    /// The caller's certificate names a cell, and the policy requires a cell-bound authorization from
    /// cells, and the request has none.
    CbaMissing => "cba_missing", Forbidden;
    /// The request has more than one cell-bound authorization.
    CbaDuplicate => "cba_duplicate", Forbidden;
    /// The cell-bound authorization isn't a well-formed JWS of type `cba+jwt`, or lacks a claim, or a
    /// claim has the wrong form.
    CbaMalformed => "cba_malformed", Forbidden;
    /// The cell-bound authorization's algorithm isn't on the list, or isn't the key's own.
    CbaForbiddenAlgorithm => "cba_forbidden_algorithm", Forbidden;
    /// The registry has no cell with the name in `iss` of the cell-bound authorization.
    CbaUnknownCell => "cba_unknown_cell", Forbidden;
    /// The source cell is neither active nor draining.
    CbaCellNotAllowed => "cba_cell_not_allowed", Forbidden;
    /// The source cell's annotation has no usable key set.
    CbaNoKeys => "cba_no_keys", Forbidden;
    /// The source cell's key set has no key for this cell-bound authorization.
    CbaNoMatchingKey => "cba_no_matching_key", Forbidden;
    /// The cell-bound authorization's signature is not valid under the source cell's key.
    CbaBadSignature => "cba_bad_signature", Forbidden;
    /// The cell-bound authorization's `exp` has passed.
    CbaExpired => "cba_expired", Forbidden;
    /// The cell-bound authorization's `nbf` or `iat` is in the future by more than the leeway.
    CbaNotYetValid => "cba_not_yet_valid", Forbidden;
    /// The cell-bound authorization is valid for more than 60 seconds, or expires before it is issued.
    CbaLifetime => "cba_lifetime", Forbidden;
    /// The cell-bound authorization is for another cell than the router chose, or than `cba.destination`.
    CbaWrongDestination => "cba_wrong_destination", Forbidden;
    /// The cell-bound authorization is for another tenant than the caller's.
    CbaWrongTenant => "cba_wrong_tenant", Forbidden;
    /// The cell-bound authorization is for another subject than the caller's.
    CbaWrongSubject => "cba_wrong_subject", Forbidden;
    /// The client certificate names another cell than `iss` of the cell-bound authorization, or none.
    CbaCertificateMismatch => "cba_certificate_mismatch", Forbidden;
    /// The cell-bound authorization was used before, at this router.
    CbaReplayed => "cba_replayed", Forbidden;

    /// The issuer's keys were never fetched, have expired, or couldn't be refreshed.
    JwksUnreachable => "jwks_unreachable", Unavailable;
    /// No registry has been loaded since the router started.
    RegistryNeverLoaded => "registry_never_loaded", Unavailable;
    /// No cell that could serve this request takes traffic.
    NoCellAvailable => "no_cell_available", Unavailable;
    /// All endpoints of the cell are ejected, and `upstream.when_all_ejected` is `fail`.
    NoEndpointHealthy => "no_endpoint_healthy", Unavailable;
    /// The circuit breaker of each endpoint that could serve the request is open, because requests to
    /// it failed in a row.
    CircuitOpen => "circuit_open", Unavailable;
    /// The tenant's cell is quarantined.
    CellQuarantined => "cell_quarantined", Unavailable;
    /// The registry's source has given no good answer for the configured age (24 hours by default), so
    /// the router can't know who is suspended.
    TenantStatusExpired => "tenant_status_expired", Unavailable;
    /// No fresh revocation list says whether the client certificate is revoked.
    RevocationUnknown => "revocation_unknown", Unavailable;
    /// The request needs an identity envelope, and the router can't seal one for the cell.
    EnvelopeUnavailable => "envelope_unavailable", Unavailable;
    /// A limit of the router, the cell, the tenant or its placement is reached, or a connection,
    /// caller or tenant has used up its share of one.
    Overloaded => "overloaded", Unavailable;
    /// The cell said that it did not process the request, and the router couldn't send it again.
    CellRefused => "cell_refused", Unavailable;

    /// The request breaks HTTP in a way that a proxy must not pass on.
    BadRequest => "bad_request", BadRequest;
    /// A policy's rules or a listener's routes depend on the path, and it can be read in two ways, or a
    /// header names another method, path or content type.
    AmbiguousRequest => "ambiguous_request", BadRequest;
    /// The method is CONNECT, which asks for a tunnel to another host. The router only serves cells.
    ConnectRefused => "connect_refused", NotImplemented;
    /// An extended CONNECT (RFC 8441) asks for a protocol that `upgrades` doesn't list for this path.
    UpgradeNotAllowed => "upgrade_not_allowed", NotImplemented;
    /// The request's header or trailers are over 64 KiB, or have more than 100 fields, or the header is
    /// larger than its HTTP/2 cell takes (`SETTINGS_MAX_HEADER_LIST_SIZE`).
    HeadersTooLarge => "headers_too_large", HeadersTooLarge;
    /// The tenant, the placement or the route has used up a rate limit; `Retry-After` says when to try again.
    RateLimited => "rate_limited", TooManyRequests;
    /// The request's body is longer than `body_bytes_max` of its route.
    BodyTooLarge => "body_too_large", BodyTooLarge;
    /// The client stopped sending the request's body, or sent it more slowly than `body_rate_min`.
    ClientTimeout => "client_timeout", RequestTimeout;
    /// The client stopped reading the answer's body, or read it more slowly than `read_rate_min`; the
    /// answer was cut.
    ClientStalled => "client_stalled", RequestTimeout;

    /// No connection to any endpoint of the cell could be made.
    CellUnreachable => "cell_unreachable", BadGateway;
    /// The cell closed the connection before its answer was complete.
    CellReset => "cell_reset", BadGateway;
    /// The cell answered with one of the `retry_statuses`, and no endpoint took the request again.
    CellDeclined => "cell_declined", BadGateway;
    /// The cell's answer isn't valid HTTP, or its header or trailers are over the limits.
    CellProtocolError => "cell_protocol_error", BadGateway;
    /// The cell can't be asked to switch protocols, or answered a client over HTTP/2 with a success
    /// that is not a switch.
    CellNoUpgrade => "cell_no_upgrade", BadGateway;
    /// The cell's certificate isn't trusted, or doesn't carry the endpoint's SAN.
    CellUntrusted => "cell_untrusted", BadGateway;

    /// The TCP connection to the cell took longer than `connect_timeout_ms`.
    CellTimeoutConnect => "cell_timeout_connect", GatewayTimeout;
    /// The TLS handshake with the cell took longer than `tls_timeout_ms`.
    CellTimeoutTls => "cell_timeout_tls", GatewayTimeout;
    /// The cell's response header took longer than `header_timeout_ms`.
    CellTimeoutHeader => "cell_timeout_header", GatewayTimeout;
    /// Nothing moved between router and cell for `idle_timeout_ms`.
    CellTimeoutIdle => "cell_timeout_idle", GatewayTimeout;
    /// The whole exchange took longer than `total_timeout_ms`, or than the deadline in `grpc-timeout`.
    CellTimeoutTotal => "cell_timeout_total", GatewayTimeout;
}

impl Class {
    /// The value of `Retry-After` in such an answer. `None` if trying again would not help.
    pub(crate) fn retry_after(self) -> Option<Duration> {
        matches!(self, Self::Unavailable | Self::TooManyRequests).then_some(RETRY_AFTER_DEFAULT)
    }

    /// The HTTP status of such an answer, `None` for a request that may pass.
    pub const fn status(self) -> Option<http::StatusCode> {
        use http::StatusCode as S;
        Some(match self {
            Self::Allow => return None,
            Self::Unauthenticated => S::UNAUTHORIZED,
            Self::Forbidden => S::FORBIDDEN,
            Self::Unavailable => S::SERVICE_UNAVAILABLE,
            Self::BadRequest => S::BAD_REQUEST,
            Self::HeadersTooLarge => S::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RequestTimeout => S::REQUEST_TIMEOUT,
            Self::BodyTooLarge => S::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests => S::TOO_MANY_REQUESTS,
            Self::BadGateway => S::BAD_GATEWAY,
            Self::GatewayTimeout => S::GATEWAY_TIMEOUT,
            Self::NotImplemented => S::NOT_IMPLEMENTED,
        })
    }

    /// The `grpc-status` of such an answer, `None` for a request that may pass.
    pub const fn grpc_status(self) -> Option<u8> {
        Some(match self {
            Self::Allow => return None,
            Self::Unauthenticated => 16,
            Self::Forbidden => 7,
            Self::BadRequest | Self::HeadersTooLarge => 13,
            Self::RequestTimeout => 1,
            Self::BodyTooLarge | Self::TooManyRequests => 8,
            Self::Unavailable | Self::BadGateway => 14,
            Self::GatewayTimeout => 4,
            Self::NotImplemented => 12,
        })
    }
}

impl Reason {
    /// The HTTP status of a denial, `None` for the reasons that allow. A policy may give
    /// `jwks_unreachable` another class; what holds for one request is in
    /// [`Deny::class`](crate::Deny::class).
    pub const fn status(self) -> Option<http::StatusCode> {
        self.class().status()
    }

    /// The `grpc-status` of a denial, `None` for the reasons that allow
    /// (the codes of grpc/grpc `doc/statuscodes.md`).
    pub const fn grpc_status(self) -> Option<u8> {
        self.class().grpc_status()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
