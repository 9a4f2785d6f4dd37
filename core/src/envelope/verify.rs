//! The verifier: checks whether an envelope is valid for its request.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::base64url;
use crate::headers::{HeaderRules, HeaderSpec};
use crate::json;
use crate::jws::{Jws, JwsError};
use crate::keys::{Algorithm, Found, KeySet};
use crate::text::Text;
use crate::time::Unix;

use super::claims::Reader;
use super::{
    COMPATIBLE_ALG, EnvelopeRefused, HmacKey, LEN_MAX, LIFETIME_MAX, TYPE, TrustMode, Verdict,
    Verified, canonical, canonical_compatible,
};

/// The largest leeway, in seconds.
const LEEWAY_SECS_MAX: u64 = 60;
/// The most digits of a date in the HMAC form.
const DATE_LEN_MAX: usize = 12;

/// The settings of a [`Verifier`].
#[derive(Debug)]
pub struct VerifierSpec {
    /// The router's `envelope.issuer`.
    pub issuer: String,
    /// Which cells this service is part of; in most cases one.
    pub cells: Vec<String>,
    /// How much the service relies on the router.
    pub trust: TrustMode,
    /// How far the clocks of router and service may differ, at most 60 s.
    pub leeway: Duration,
    /// Accepts envelopes under the router's published keys.
    pub jws: bool,
    /// Accepts envelopes under these shared keys, in the forms `hmac` and `compatible`. Give
    /// several during a rotation.
    pub hmac: Vec<HmacKey>,
    /// The router's `[headers]`.
    pub headers: HeaderSpec,
}

impl VerifierSpec {
    /// Settings for a service of this cell that requires envelopes under the published keys of the
    /// router `cellway`.
    pub fn new(cell: &str) -> Self {
        Self {
            issuer: "cellway".to_owned(),
            cells: vec![cell.to_owned()],
            trust: TrustMode::GatewayEnforced,
            leeway: Duration::from_secs(5),
            jws: true,
            hmac: Vec::new(),
            headers: HeaderSpec::default(),
        }
    }
}

/// Why a [`Verifier`] can't be made.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct VerifierSpecError {
    /// The member of [`VerifierSpec`].
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for VerifierSpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

impl std::error::Error for VerifierSpecError {}

/// Verifies the envelopes of requests to one service.
#[derive(Debug)]
pub struct Verifier {
    issuer: Box<str>,
    cells: Vec<Text>,
    trust: TrustMode,
    leeway_secs: u64,
    jws: bool,
    hmac: Vec<HmacKey>,
    rules: HeaderRules,
}

impl Verifier {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first mistake.
    pub fn new(spec: VerifierSpec) -> Result<Self, VerifierSpecError> {
        let refuse = |setting: &str, problem: &str| VerifierSpecError {
            setting: setting.to_owned(),
            problem: problem.to_owned(),
        };
        if spec.issuer.is_empty() {
            return Err(refuse("issuer", "is empty"));
        }
        if spec.cells.is_empty() {
            return Err(refuse(
                "cells",
                "names no cell; set it to the name of this cell",
            ));
        }
        if spec.leeway.as_secs() > LEEWAY_SECS_MAX {
            return Err(refuse("leeway", "is more than 60 s; set the clock instead"));
        }
        if !spec.jws && spec.hmac.is_empty() {
            let problem = "is empty and jws is off, so no envelope could be valid";
            return Err(refuse("hmac", problem));
        }
        let cells: Result<Vec<Text>, _> = spec.cells.iter().map(|cell| Text::new(cell)).collect();
        let cells = cells.map_err(|error| refuse("cells", &format!("one {error}")))?;
        for (i, key) in spec.hmac.iter().enumerate() {
            if !cells.contains(key.cell()) {
                return Err(refuse("hmac", "has a key of another cell"));
            }
            if spec.hmac[..i].iter().any(|other| other.kid() == key.kid()) {
                return Err(refuse("hmac", "has two keys of one kid"));
            }
        }
        let rules = HeaderRules::new(&spec.headers).map_err(|errors| match errors.first() {
            Some(error) => refuse(&error.setting, &error.problem),
            None => refuse("headers", "can't be used"),
        })?;
        Ok(Self {
            issuer: spec.issuer.into(),
            cells,
            trust: spec.trust,
            leeway_secs: spec.leeway.as_secs(),
            jws: spec.jws,
            hmac: spec.hmac,
            rules,
        })
    }

    /// How a key set for it is read: [`KeySet::parse`] with these.
    pub const ALGORITHMS: [Algorithm; 1] = [Algorithm::EdDSA];

    /// Whether it accepts envelopes under published keys, and so needs those keys.
    pub fn needs_keys(&self) -> bool {
        self.jws
    }

    /// The id of the key that a request's envelope names, to fetch the key.
    pub fn kid(&self, headers: &HeaderMap) -> Option<Box<str>> {
        let envelope = headers.get(self.rules.envelope())?;
        let jws = Jws::parse_within(envelope.as_bytes(), LEN_MAX).ok()?;
        let header = jws.header().ok()?;
        header.kid.as_deref().map(Into::into)
    }

    /// The names of the router's headers.
    pub fn rules(&self) -> &HeaderRules {
        &self.rules
    }

    /// Checks a request by its envelope and the trust mode. `keys` are the router's published keys,
    /// `None` while they couldn't be fetched. `target` is the path and query as received, see
    /// [`target`](super::target).
    ///
    /// # Errors
    /// The request must not be served. With [`wants_keys`](EnvelopeRefused::wants_keys), newer
    /// keys may change that.
    pub fn check(
        &self,
        keys: Option<&KeySet>,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        now: Unix,
    ) -> Result<Verdict, EnvelopeRefused> {
        let request = Request {
            method,
            target,
            headers,
            now: now.as_secs(),
        };
        self.trust.apply(self.verify(keys, &request))
    }

    /// Every form that is present and accepted must be valid.
    fn verify(
        &self,
        keys: Option<&KeySet>,
        request: &Request<'_>,
    ) -> Result<Verified, EnvelopeRefused> {
        let jws = match self.jws {
            true => request.header(self.rules.envelope())?,
            false => None,
        };
        let shared = match self.hmac.is_empty() {
            true => None,
            false => request.shared(&self.rules)?,
        };
        let by_jws = jws.map(|envelope| self.verify_jws(keys, request, envelope));
        let by_shared = shared.map(|shared| match shared {
            Shared::Hmac(values) => self.verify_hmac(request, values),
            Shared::Compatible(values) => self.verify_compatible(request, values),
        });
        let verified = match (by_jws, by_shared) {
            (None, None) => return Err(EnvelopeRefused::Missing),
            (Some(one), None) | (None, Some(one)) => one?,
            (Some(one), Some(other)) => {
                let (one, other) = (one?, other?);
                if one != other {
                    return Err(EnvelopeRefused::HeaderMismatch);
                }
                one
            }
        };
        self.check_headers(request.headers, &verified)?;
        Ok(verified)
    }

    fn verify_jws(
        &self,
        keys: Option<&KeySet>,
        request: &Request<'_>,
        envelope: &str,
    ) -> Result<Verified, EnvelopeRefused> {
        let jws = Jws::parse_within(envelope.as_bytes(), LEN_MAX)?;
        let header = jws.header()?;
        if !header.is_of_type(TYPE) {
            return Err(EnvelopeRefused::OtherType);
        }
        if header.algorithm != Algorithm::EdDSA {
            return Err(EnvelopeRefused::ForbiddenAlgorithm);
        }
        let kid = header.kid.as_deref();
        let kid = kid.ok_or(EnvelopeRefused::Malformed("it names no key"))?;
        let keys = keys.ok_or(EnvelopeRefused::NoKeys)?;
        let Found::Keys(keys) = keys.find(Some(kid), header.algorithm) else {
            return Err(EnvelopeRefused::UnknownKey);
        };
        if !keys.verify(jws.message, &jws.signature) {
            return Err(EnvelopeRefused::BadSignature);
        }
        let claims = jws.claims()?;
        let claims = Reader(&claims);
        let cell = self.own(claims.cell()?)?;
        claims.check_request(request.method, request.target)?;
        let (issued, expires) = claims.window()?;
        self.check_window(issued, expires, request.now)?;
        claims.identity(&self.issuer, cell, expires)
    }

    fn verify_hmac(
        &self,
        request: &Request<'_>,
        [kid, cell, issued, expires, claims, signature]: [&str; 6],
    ) -> Result<Verified, EnvelopeRefused> {
        let key = self.shared_key(kid)?;
        let signed = [kid, cell, issued, expires, claims];
        let message = canonical(signed, request.method, request.target);
        if !key.verify(&message, &decode(signature)?) {
            return Err(EnvelopeRefused::BadSignature);
        }
        let cell = Text::new(cell).map_err(|_| EnvelopeRefused::OtherCell)?;
        if cell != *key.cell() {
            return Err(EnvelopeRefused::OtherCell);
        }
        let (issued, expires) = (date(issued)?, date(expires)?);
        self.check_window(issued, expires, request.now)?;
        let claims = decode(claims)?;
        let claims = json::strict_object(&claims).ok_or(NO_CLAIMS)?;
        Reader(&claims).identity(&self.issuer, self.own(cell)?, expires)
    }

    fn verify_compatible(
        &self,
        request: &Request<'_>,
        [alg, kid, issued, expires, claims, signature]: [&str; 6],
    ) -> Result<Verified, EnvelopeRefused> {
        // The key's id fixes the algorithm. This value is only compared.
        if alg != COMPATIBLE_ALG {
            return Err(EnvelopeRefused::ForbiddenAlgorithm);
        }
        let key = self.shared_key(kid)?;
        let signed = [alg, kid, issued, expires, claims];
        let message = canonical_compatible(signed, request.method, request.target);
        if !key.verify(&message, &decode(signature)?) {
            return Err(EnvelopeRefused::BadSignature);
        }
        let (issued, expires) = (date(issued)?, date(expires)?);
        self.check_window(issued, expires, request.now)?;
        let claims = decode(claims)?;
        let claims = json::strict_object(&claims).ok_or(NO_CLAIMS)?;
        let claims = Reader(&claims);
        let cell = claims.cell()?;
        if cell != *key.cell() {
            return Err(EnvelopeRefused::OtherCell);
        }
        claims.identity(&self.issuer, self.own(cell)?, expires)
    }

    fn shared_key(&self, kid: &str) -> Result<&HmacKey, EnvelopeRefused> {
        let mut keys = self.hmac.iter();
        let key = keys.find(|key| key.kid() == kid);
        key.ok_or(EnvelopeRefused::UnknownKey)
    }

    fn own(&self, cell: Text) -> Result<Text, EnvelopeRefused> {
        match self.cells.contains(&cell) {
            true => Ok(cell),
            false => Err(EnvelopeRefused::OtherCell),
        }
    }

    fn check_window(&self, issued: u64, expires: u64, now: u64) -> Result<(), EnvelopeRefused> {
        if expires <= issued {
            return Err(EnvelopeRefused::Malformed("it expires before it is issued"));
        }
        if expires - issued > LIFETIME_MAX.as_secs() {
            return Err(EnvelopeRefused::LifetimeTooLong);
        }
        if now >= expires.saturating_add(self.leeway_secs) {
            return Err(EnvelopeRefused::Expired);
        }
        if issued > now.saturating_add(self.leeway_secs) {
            return Err(EnvelopeRefused::NotYetValid);
        }
        Ok(())
    }

    /// Each plain header that is present, in any spelling, must have the envelope's value, so that
    /// code that reads the plain headers sees the same.
    fn check_headers(
        &self,
        headers: &HeaderMap,
        verified: &Verified,
    ) -> Result<(), EnvelopeRefused> {
        let plain = headers.iter().filter(|(name, _)| self.rules.reserves(name));
        for (name, value) in plain {
            let said = self.rules.stamped(name).and_then(|s| verified.stamp(s));
            if said.is_some_and(|said| said.as_bytes() != value.as_bytes()) {
                return Err(EnvelopeRefused::HeaderMismatch);
            }
        }
        Ok(())
    }
}

/// The parts of a request that an envelope is checked against.
struct Request<'a> {
    method: &'a Method,
    target: &'a str,
    headers: &'a HeaderMap,
    now: u64,
}

impl<'a> Request<'a> {
    /// The single value of this header, if it is present.
    fn header(&self, name: &HeaderName) -> Result<Option<&'a str>, EnvelopeRefused> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(EnvelopeRefused::Several);
        }
        let text = |value: &'a HeaderValue| {
            let text = value.to_str();
            text.map_err(|_| EnvelopeRefused::Malformed("not visible ASCII"))
        };
        first.map(text).transpose()
    }

    /// The values of the six headers, if any is present. The forms differ in one header: the cell's
    /// name, or the algorithm's.
    fn shared(&self, rules: &HeaderRules) -> Result<Option<Shared<'a>>, EnvelopeRefused> {
        let hmac = self.six(rules.envelope_hmac())?;
        let compatible = self.six(rules.envelope_compatible())?;
        match (whole(hmac), whole(compatible)) {
            (Some(values), None) if compatible[0].is_none() => Ok(Some(Shared::Hmac(values))),
            (None, Some(values)) if hmac[1].is_none() => Ok(Some(Shared::Compatible(values))),
            (None, None) if [hmac, compatible].concat().iter().all(Option::is_none) => Ok(None),
            (Some(_), _) | (_, Some(_)) => Err(EnvelopeRefused::Malformed(
                "it has the headers of two forms",
            )),
            (None, None) => Err(EnvelopeRefused::Malformed(
                "some of its six headers are missing",
            )),
        }
    }

    fn six(&self, names: &[HeaderName; 6]) -> Result<[Option<&'a str>; 6], EnvelopeRefused> {
        let mut values = [None; 6];
        for (value, name) in values.iter_mut().zip(names) {
            *value = self.header(name)?;
        }
        Ok(values)
    }
}

/// The values of six headers under a shared key.
enum Shared<'a> {
    Hmac([&'a str; 6]),
    Compatible([&'a str; 6]),
}

const NO_CLAIMS: EnvelopeRefused = EnvelopeRefused::Malformed("the claims are not a JSON object");

fn whole(values: [Option<&str>; 6]) -> Option<[&str; 6]> {
    match values {
        [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f)] => Some([a, b, c, d, e, f]),
        _ => None,
    }
}

fn decode(part: &str) -> Result<Vec<u8>, EnvelopeRefused> {
    let part = base64url::decode(part.as_bytes());
    part.ok_or(EnvelopeRefused::Malformed("not base64url"))
}

/// Digits, as they are written when a number is printed.
fn date(text: &str) -> Result<u64, EnvelopeRefused> {
    let canonical = text.len() <= DATE_LEN_MAX
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    let date = canonical.then(|| text.parse().ok()).flatten();
    date.ok_or(EnvelopeRefused::Malformed(
        "a date is not a number of seconds",
    ))
}

impl From<JwsError> for EnvelopeRefused {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed(detail) => Self::Malformed(detail),
            JwsError::ForbiddenAlgorithm => Self::ForbiddenAlgorithm,
        }
    }
}
