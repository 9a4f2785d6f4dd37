//! The sample requests, with their credentials and expected results.

use std::time::Duration;

use cellway_core::{Reason, Unix};
use cellway_testbed::{Algorithm, Claims, Protocol, Request, Signer, unsigned};
use http::{HeaderName, HeaderValue, Method};

use super::DemoError;
use super::world::{AUDIENCE, FORGED, World};

/// How long the sample tokens are valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Header names that a client could use to impersonate somebody: the exact ones, and similar ones
/// that some servers read as the same.
const FORGED_NAMES: [&str; 6] = [
    "x-cellway-tenant",
    "x-cellway-cell",
    "x-cellway-roles",
    "x_cellway_tenant",
    "x-cellway.tenant",
    "x-cellway-anything",
];

/// One sample request.
pub(super) struct Caller {
    pub(super) name: &'static str,
    pub(super) request: Request,
    /// Whether it presents the client certificate of globex.
    pub(super) certificate: bool,
    pub(super) protocol: Protocol,
    pub(super) expected: Expected,
}

/// The expected result of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expected {
    pub(super) reason: Reason,
    /// The tenant in the cell's headers. `None` if the request is denied.
    pub(super) tenant: Option<&'static str>,
    /// The cells that may serve it. Empty if the request is denied.
    pub(super) cells: &'static [&'static str],
}

/// The tokens of the demo.
pub(super) struct Tokens<'a> {
    world: &'a World,
    now: Unix,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(world: &'a World, now: Unix) -> Self {
        Self { world, now }
    }

    /// A good token of this tenant, signed by the provider's key of this name.
    pub(super) fn good(&self, tenant: &str, kid: &str) -> Result<String, DemoError> {
        self.sign(&self.claims(tenant), kid)
    }

    fn claims(&self, tenant: &str) -> Claims {
        let issuer = self.world.idp.issuer();
        Claims::new(issuer, AUDIENCE, self.now, TOKEN_LIFETIME)
            .tenant(tenant)
            .subject("ada")
            .with("roles", vec!["editor"])
    }

    fn expired(&self, tenant: &str) -> Result<String, DemoError> {
        let then = Unix::from_secs(self.now.as_secs().saturating_sub(3600));
        let issuer = self.world.idp.issuer();
        let claims = Claims::new(issuer, AUDIENCE, then, Duration::from_secs(60)).tenant(tenant);
        self.sign(&claims, "rsa-1")
    }

    fn wrong_audience(&self, tenant: &str) -> Result<String, DemoError> {
        self.sign(&self.claims(tenant).with("aud", "another-service"), "rsa-1")
    }

    /// A token that the caller signed with its own key, but with the name of the provider's key.
    fn wrong_key(&self, tenant: &str) -> Result<String, DemoError> {
        let signer = Signer::generate("ec-1", Algorithm::Es256)?;
        Ok(self.claims(tenant).sign(&signer)?)
    }

    fn sign(&self, claims: &Claims, kid: &str) -> Result<String, DemoError> {
        Ok(self.world.idp.sign_as(kid, claims)?)
    }
}

/// All sample requests, in the order of the table.
pub(super) fn callers(tokens: &Tokens<'_>) -> Result<Vec<Caller>, DemoError> {
    let mut callers = served(tokens)?;
    callers.extend(refused(tokens)?);
    Ok(callers)
}

/// The requests that reach a cell.
fn served(tokens: &Tokens<'_>) -> Result<Vec<Caller>, DemoError> {
    const ACME: Expected = Expected::served("acme", &["premium-eu"]);
    const GLOBEX: Expected = Expected::served("globex", &["standard-us"]);
    const INITECH: Expected = Expected::served("initech", &["standard-eu"]);
    const UMBRELLA: Expected = Expected::served("umbrella", &["standard-eu", "standard-us"]);
    let own_tier = tokens.claims("acme").with("tier", "premium");
    Ok(vec![
        Caller::new("acme, RS256 token", ACME).bearer(tokens.good("acme", "rsa-1")?),
        Caller::new("acme, token that names its tier", ACME)
            .bearer(tokens.sign(&own_tier, "ed-1")?)
            .over_http2(),
        Caller::new("initech, ES256 token", INITECH)
            .bearer(tokens.good("initech", "ec-1")?)
            .over_http2(),
        Caller::new("umbrella, EdDSA token", UMBRELLA).bearer(tokens.good("umbrella", "ed-1")?),
        Caller::new("globex, client certificate", GLOBEX).with_certificate(),
        Caller::new("globex, certificate and token", GLOBEX)
            .bearer(tokens.good("globex", "rsa-1")?)
            .with_certificate()
            .over_http2(),
        Caller::new("initech, forged headers beside token", INITECH)
            .bearer(tokens.good("initech", "rsa-1")?)
            .forging(),
    ])
}

/// The requests that the router answers itself.
fn refused(tokens: &Tokens<'_>) -> Result<Vec<Caller>, DemoError> {
    let refused = |name, reason| Caller::new(name, Expected::refused(reason));
    let higher_tier = tokens.claims("initech").with("tier", "premium");
    let unsigned = unsigned(&tokens.claims("acme"));
    Ok(vec![
        refused("globex certificate, acme token", Reason::IdentityConflict)
            .bearer(tokens.good("acme", "rsa-1")?)
            .with_certificate()
            .over_http2(),
        refused("initech, token claims premium", Reason::IdentityConflict)
            .bearer(tokens.sign(&higher_tier, "rsa-1")?),
        refused("acme, expired token", Reason::ExpiredToken).bearer(tokens.expired("acme")?),
        refused("acme, token for another audience", Reason::WrongAudience)
            .bearer(tokens.wrong_audience("acme")?)
            .over_http2(),
        refused("acme, token signed by a stranger", Reason::BadSignature)
            .bearer(tokens.wrong_key("acme")?),
        refused(
            "acme, unsigned token (alg none)",
            Reason::ForbiddenAlgorithm,
        )
        .bearer(unsigned),
        refused("hooli, a tenant nobody knows", Reason::TenantUnknown)
            .bearer(tokens.good("hooli", "rsa-1")?)
            .over_http2(),
        refused("wayne, a suspended tenant", Reason::TenantSuspended)
            .bearer(tokens.good("wayne", "rsa-1")?),
        refused("forged headers, no credential", Reason::MissingToken)
            .forging()
            .over_http2(),
        refused("no credential", Reason::MissingToken),
    ])
}

impl Expected {
    pub(super) const fn served(tenant: &'static str, cells: &'static [&'static str]) -> Self {
        Self {
            reason: Reason::Verified,
            tenant: Some(tenant),
            cells,
        }
    }

    pub(super) const fn refused(reason: Reason) -> Self {
        Self {
            reason,
            tenant: None,
            cells: &[],
        }
    }
}

impl Caller {
    pub(super) fn new(name: &'static str, expected: Expected) -> Self {
        Self {
            name,
            request: Request::get("/orders"),
            certificate: false,
            protocol: Protocol::Http1,
            expected,
        }
    }

    fn bearer(mut self, token: String) -> Self {
        self.request = self.request.bearer(&token);
        self
    }

    fn with_certificate(mut self) -> Self {
        self.certificate = true;
        self
    }

    fn over_http2(mut self) -> Self {
        self.protocol = Protocol::Http2;
        self
    }

    /// Adds every forged header as a header field, and also as a trailer, because some servers
    /// merge trailers into the header.
    fn forging(mut self) -> Self {
        let value = HeaderValue::from_static(FORGED);
        for name in FORGED_NAMES.map(HeaderName::from_static) {
            self.request.headers.append(name.clone(), value.clone());
            self.request.trailers.append(name, value.clone());
        }
        self.request.method = Method::POST;
        self.request.body = "{}".into();
        self
    }
}
