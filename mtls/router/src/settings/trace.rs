//! `[trace]`: W3C Trace Context.

use cellway_env::fetch::SourceUrl;

/// How the router takes part in traces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TraceSettings {
    /// The router starts a trace, which is sampled, for one in this many of the requests that belong
    /// to none. `None`: it starts none.
    pub start_one_in: Option<u32>,
    /// Where the router reports its spans. `None`: it reports none.
    pub otlp: Option<OtlpSettings>,
}

/// Where spans are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtlpSettings {
    /// The collector's address for traces in OTLP over HTTP.
    pub url: SourceUrl,
    /// The service that the spans belong to.
    pub service: Box<str>,
}
