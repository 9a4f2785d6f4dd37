//! `[trace]`: W3C Trace Context.

/// How the router takes part in traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceSettings {
    /// The router starts a trace, which is sampled, for one in this many of the requests that belong
    /// to none. `None`: it starts none.
    pub start_one_in: Option<u32>,
}
