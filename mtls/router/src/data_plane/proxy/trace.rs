//! The trace that a request belongs to.

use cellway_core::trace;
use cellway_env::Env;
use http::HeaderMap;

use super::report::Report;
use crate::data_plane::record::is_picked;
use crate::observe::event::Sink;
use crate::settings::TraceSettings;

/// Removes trace fields that the cell couldn't use, and starts a trace for some of the requests that
/// belong to none. The fields of a caller's trace stay as they are: the router reports no span, so
/// the cell's span must be a child of the caller's.
pub(super) fn set<E: Env, S: Sink>(
    report: &mut Report<E, S>,
    settings: TraceSettings,
    headers: &mut HeaderMap,
    count: u64,
) {
    let Some(one_in) = settings.start_one_in else {
        trace::clean(headers);
        return;
    };
    if trace::clean(headers) || !is_picked(count, one_in) {
        return;
    }
    let mut random = [0; 24];
    report.connection.worker.env.fill(&mut random);
    if let Some(mut value) = trace::start(random) {
        // This value never occurs again, so HTTP/2 must not keep it in its header table.
        value.set_sensitive(true);
        if let Some(record) = &mut report.record {
            record.is_of_trace(&value);
        }
        headers.insert(trace::TRACEPARENT, value);
    }
}
