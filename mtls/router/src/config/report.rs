//! Checks of single settings, and the reporter of their mistakes.

use std::ops::RangeInclusive;
use std::time::Duration;

use cellway_env::fetch::{SourceUrl, UrlError};

use super::error::{ConfigError, Place};
use crate::finding::Findings;
use crate::settings::{KeyPair, Pem};

/// The upper limit of every configured time, so that no sum of times overflows.
const SECS_MAX: u64 = 60 * 60 * 24 * 365;

/// Collects mistakes and warnings, and has the checks that several tables share.
pub(super) struct Reporter<F> {
    report: F,
    /// What may be meant otherwise, in settings that can be used.
    pub(super) warnings: Findings,
}

impl<F: FnMut(ConfigError)> Reporter<F> {
    pub(super) fn new(report: F) -> Self {
        let warnings = Findings::default();
        Self { report, warnings }
    }

    pub(super) fn mistake(
        &mut self,
        setting: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        (self.report)(ConfigError {
            place: Place::File,
            setting: setting.into(),
            problem: problem.into(),
            fix: fix.into(),
        });
    }

    /// Reports a mistake in an environment variable without our prefix, or in the file if
    /// `variable` is `None`.
    pub(super) fn mistake_at(
        &mut self,
        variable: Option<&str>,
        setting: &str,
        problem: String,
        fix: &str,
    ) {
        let variable = variable.map(|name| Place::Variable(name.to_owned()));
        (self.report)(ConfigError {
            place: variable.unwrap_or(Place::File),
            setting: setting.to_owned(),
            problem,
            fix: fix.to_owned(),
        });
    }

    pub(super) fn secs(
        &mut self,
        setting: &str,
        secs: Option<u64>,
        min: u64,
        default: u64,
    ) -> Duration {
        self.secs_within(setting, secs, min..=SECS_MAX, default)
    }

    pub(super) fn secs_within(
        &mut self,
        setting: &str,
        secs: Option<u64>,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Duration {
        let secs = secs.unwrap_or(default);
        if !range.contains(&secs) {
            let fix = format!("give {} to {}", range.start(), range.end());
            self.mistake(setting, format!("is {secs} seconds"), fix);
        }
        Duration::from_secs(secs.min(*range.end()))
    }

    pub(super) fn ms(&mut self, setting: String, ms: Option<u64>, default: Duration) -> Duration {
        let Some(ms) = ms else { return default };
        if !(1..=SECS_MAX * 1000).contains(&ms) {
            let fix = format!("give 1 to {}", SECS_MAX * 1000);
            self.mistake(setting, format!("is {ms} milliseconds"), fix);
        }
        Duration::from_millis(ms.min(SECS_MAX * 1000))
    }

    pub(super) fn count(&mut self, setting: String, count: Option<u64>, default: usize) -> usize {
        let Some(count) = count else { return default };
        if count == 0 {
            self.mistake(
                setting,
                "is 0, so no request would be served",
                "give at least 1",
            );
        }
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Checks a share: 1 to 100 percent.
    pub(super) fn percent(&mut self, setting: String, percent: Option<u8>, default: u8) -> u8 {
        let percent = percent.unwrap_or(default);
        if !(1..=100).contains(&percent) {
            self.mistake(
                setting,
                format!("is {percent} percent"),
                "give 1 to 100; 100 turns the share off",
            );
        }
        percent.clamp(1, 100)
    }

    pub(super) fn key_pair(
        &mut self,
        table: &str,
        certificate: Option<&String>,
        key: Option<&String>,
    ) -> Option<KeyPair> {
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(key_pair(certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                let fix = format!("set {table}.key to the certificate's key");
                self.mistake(format!("{table}.certificate"), "has no key", fix);
                None
            }
            (None, Some(_)) => {
                let fix = format!("set {table}.certificate to the key's certificate");
                self.mistake(format!("{table}.key"), "has no certificate", fix);
                None
            }
        }
    }

    pub(super) fn url(&mut self, setting: String, url: &str) -> Option<SourceUrl> {
        self.url_such_as(setting, url, "https://host/path")
    }

    /// Checks a URL. `example` is what to write if this one has the wrong form.
    pub(super) fn url_such_as(
        &mut self,
        setting: String,
        url: &str,
        example: &str,
    ) -> Option<SourceUrl> {
        let refused = match SourceUrl::parse(url) {
            Ok(url) => return Some(url),
            Err(refused) => refused,
        };
        let such_as = || format!("write it as {example}");
        let (problem, fix) = match (refused, url.split_once("://")) {
            (UrlError::Scheme, Some((scheme, _))) => (
                format!("has the scheme {scheme:?}, and must have https"),
                such_as(),
            ),
            // It isn't repeated if it may hold a password.
            (UrlError::NotAbsolute, None) if !url.contains('@') => {
                (format!("{url:?} has no scheme"), such_as())
            }
            (UrlError::NotAbsolute | UrlError::Scheme, _) => (refused.to_string(), such_as()),
            _ => (refused.to_string(), refused.advice().to_owned()),
        };
        self.mistake(setting, problem, fix);
        None
    }
}

pub(super) fn key_pair(certificate: &str, key: &str) -> KeyPair {
    KeyPair {
        certificate: Pem::File(certificate.to_owned()),
        key: Pem::File(key.to_owned()),
    }
}
