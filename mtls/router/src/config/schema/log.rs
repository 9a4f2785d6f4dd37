//! `[log]` and `[trace]`: what the router tells about requests.

use serde::Deserialize;

use crate::settings::{Level, Output, SubjectForm};

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogTable {
    /// The least severe level that is written: `error`, `warn`, `info` or `debug`.
    pub level: Level,
    /// Where lines are written: `stderr` or `stdout`.
    pub to: Output,
    /// How subjects are shown: `hash`, `raw` or `off`.
    pub subject: SubjectForm,
    /// The file with the key of the hash. Without it, the router makes a random key at its start.
    pub subject_key: Option<String>,
    /// The access log: one line for each request.
    pub access: AccessTable,
}

/// `[log.access]`
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessTable {
    /// Which requests have a line: `off`, `errors`, `sampled` or `full`.
    pub requests: AccessWord,
    /// `sampled`: one in this many of the requests that don't fail.
    pub one_in: Option<u32>,
    /// Where lines are written. Absent: `log.to`.
    pub to: Option<Output>,
}

/// The words of `log.access.requests`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessWord {
    /// None.
    #[default]
    Off,
    /// Those that fail.
    Errors,
    /// Those that fail, and a sample of the others.
    Sampled,
    /// All.
    Full,
}

/// `[explain]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainTable {
    /// The SHA-256 digests of the tokens that may ask, in hexadecimal.
    pub token_sha256: Vec<String>,
    /// How many explanations the router gives per second.
    #[serde(default)]
    pub per_second: Option<u32>,
    /// Whether an explanation names the subject of a client certificate.
    #[serde(default)]
    pub subjects: bool,
}

/// `[trace]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceTable {
    /// The router starts a sampled trace for one in this many of the requests that belong to none.
    /// Absent: it starts none.
    pub start_one_in: Option<u32>,
    /// Where spans are sent: the URL of a collector, OTLP over HTTP. Absent: there are none.
    pub otlp_url: Option<String>,
    /// The name of the service that the spans belong to.
    pub service: Option<String>,
}
