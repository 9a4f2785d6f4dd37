//! `[envelope]`: signed envelopes that prove to cells who the caller is.

use cellway_core::Text;
use cellway_core::envelope::LIFETIME_MAX;

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::EnvelopeTable;
use crate::settings::{EnvelopeForm, EnvelopeSettings};

/// The issuer that verifiers expect by default.
const ISSUER_DEFAULT: &str = "cellway";
/// Long enough for clocks that differ by a few seconds and for a slow connection to the cell.
const LIFETIME_SECS: u64 = 30;
const JWKS_MAX_AGE_SECS: u64 = 300;
/// One day. A new key waits this long before it signs.
const JWKS_MAX_AGE_SECS_MAX: u64 = 86_400;

/// Checks the table. After a mistake the result is never used, so it may have any value.
pub(super) fn envelope<F: FnMut(ConfigError)>(
    table: &EnvelopeTable,
    report: &mut Reporter<F>,
) -> EnvelopeSettings {
    let issuer = table.issuer.as_deref().unwrap_or(ISSUER_DEFAULT);
    if issuer.is_empty() || Text::new(issuer).is_err() {
        let problem = match issuer {
            "" => "is empty",
            _ => "is too long, or has bytes that a header can't hold",
        };
        let fix = "write the issuer that the cells' verifiers expect, or leave it out";
        report.mistake("envelope.issuer", problem, fix);
    }
    if table.form != EnvelopeForm::Jws && table.jwks_max_age_secs.is_some() {
        let problem = "requires form = \"jws\": only that form publishes keys";
        report.mistake("envelope.jwks_max_age_secs", problem, "remove it");
    }
    let (lifetime, most) = (table.lifetime_secs, LIFETIME_MAX.as_secs());
    let lifetime = report.secs_within("envelope.lifetime_secs", lifetime, 1..=most, LIFETIME_SECS);
    let jwks_max_age = report.secs_within(
        "envelope.jwks_max_age_secs",
        table.jwks_max_age_secs,
        1..=JWKS_MAX_AGE_SECS_MAX,
        JWKS_MAX_AGE_SECS,
    );
    EnvelopeSettings {
        form: table.form,
        issuer: issuer.into(),
        keys: table.keys.clone(),
        lifetime,
        jwks_max_age,
    }
}
