//! Checks `[explain]`.

use cellway_core::rate_limit::{RateLimit, RateLimitSpec};

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::ExplainTable;
use crate::settings::ExplainSettings;

/// The most tokens. Each request that asks is compared with all of them.
const TOKENS_MAX: usize = 16;
/// How many explanations the router gives per second by default.
const PER_SECOND_DEFAULT: u32 = 10;
/// The most explanations per second.
const PER_SECOND_MAX: u32 = 1000;

/// The digest of no bytes at all, which a script gets from a variable that isn't set.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const HOW: &str = "make a token with `openssl rand -hex 32`, and its digest with \
                   `printf %s \"$TOKEN\" | sha256sum`";

/// `None` after a mistake that leaves no tokens or no rate.
pub(super) fn explain<F: FnMut(ConfigError)>(
    table: &ExplainTable,
    report: &mut Reporter<F>,
) -> Option<ExplainSettings> {
    let listed = table.token_sha256.len();
    if !(1..=TOKENS_MAX).contains(&listed) {
        let problem = format!("has {listed} digests");
        let fix = format!("give 1 to {TOKENS_MAX}, or remove [explain]");
        report.mistake("explain.token_sha256", problem, fix);
    }
    let mut tokens = Vec::new();
    for (i, text) in table.token_sha256.iter().enumerate() {
        let setting = format!("explain.token_sha256[{i}]");
        // The text may be a token by mistake, so the message must not repeat it.
        match digest(text) {
            None => report.mistake(setting, "is not a SHA-256 digest in hexadecimal", HOW),
            Some(_) if text.eq_ignore_ascii_case(OF_NOTHING) => {
                report.mistake(setting, "is the digest of an empty token", HOW);
            }
            Some(digest) => tokens.push(digest),
        }
    }
    let requests = table.per_second.unwrap_or(PER_SECOND_DEFAULT);
    if !(1..=PER_SECOND_MAX).contains(&requests) {
        let fix = format!("give 1 to {PER_SECOND_MAX}");
        report.mistake("explain.per_second", format!("is {requests}"), fix);
    }
    let rate = RateLimit::new(RateLimitSpec {
        requests: requests.clamp(1, PER_SECOND_MAX),
        window_secs: None,
        burst: None,
    });
    Some(ExplainSettings {
        tokens,
        rate: rate.ok()?,
        subjects: table.subjects,
    })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() {
        return None;
    }
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    for byte in &mut digest {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(16 * high + low).ok()?;
    }
    Some(digest)
}
