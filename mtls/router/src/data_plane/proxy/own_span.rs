//! The router's own place in the trace of a request.

use cellway_core::trace::{self, TraceContext};
use cellway_env::Env;
use http::{HeaderMap, HeaderValue};

use crate::data_plane::record::is_picked;
use crate::observe::spans::OwnSpan;
use crate::settings::TraceSettings;

/// The router's own span for a request, if it reports spans and the request belongs to a sampled
/// trace, or the router starts one for it.
pub(super) fn begins<E: Env>(
    env: &E,
    settings: &TraceSettings,
    headers: &HeaderMap,
    count: u64,
) -> Option<OwnSpan> {
    settings.otlp.as_ref()?;
    let own = match TraceContext::of(headers) {
        Some(caller) if !caller.is_sampled() => return None,
        Some(caller) => {
            let mut span = [0; 8];
            env.fill(&mut span);
            OwnSpan {
                context: caller.with_span(span)?,
                parent: Some(caller.span),
            }
        }
        None if settings
            .start_one_in
            .is_some_and(|one_in| is_picked(count, one_in)) =>
        {
            OwnSpan {
                context: started(env)?.0,
                parent: None,
            }
        }
        None => return None,
    };
    Some(own)
}

/// A new trace, as a context and as a header.
pub(super) fn started<E: Env>(env: &E) -> Option<(TraceContext, HeaderValue)> {
    let mut random = [0; 24];
    env.fill(&mut random);
    let value = trace::start(random)?;
    let headers = HeaderMap::from_iter([(trace::TRACEPARENT, value.clone())]);
    Some((TraceContext::of(&headers)?, value))
}
