//! The trace that a request belongs to.

use cellway_core::trace;
use cellway_env::Env;
use http::HeaderMap;

use super::own_span::started;
use super::report::Report;
use crate::data_plane::record::is_picked;
use crate::observe::event::Sink;
use crate::settings::TraceSettings;

/// Removes trace fields that the cell couldn't use, and starts a trace for some of the requests that
/// belong to none. If the router reports a span, that is the parent of the cell's span. Otherwise
/// the fields of a caller's trace stay as they are: the cell's span must be a child of the caller's.
pub(super) fn set<E: Env, S: Sink>(
    report: &mut Report<E, S>,
    settings: &TraceSettings,
    headers: &mut HeaderMap,
    count: u64,
) {
    let belongs = trace::clean(headers);
    let span = report.record.as_ref().and_then(|record| record.span());
    let value = match (span, settings.start_one_in) {
        (Some(span), _) => span.context.header(),
        (None, Some(one_in)) if !belongs && settings.otlp.is_none() && is_picked(count, one_in) => {
            started(&report.connection.worker.env).map(|(_, value)| value)
        }
        (None, _) => None,
    };
    if let Some(mut value) = value {
        // This value never occurs again, so HTTP/2 must not keep it in its header table.
        value.set_sensitive(true);
        if let Some(record) = &mut report.record {
            record.is_of_trace(&value);
        }
        headers.insert(trace::TRACEPARENT, value);
    }
}
