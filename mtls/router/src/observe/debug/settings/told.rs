//! What the router tells others about requests: cells, a collector, and the log.

use serde_json::{Value, json};

use super::without_query;
use crate::settings::{
    AccessLog, EnvelopeForm, EnvelopeSettings, LogSettings, OtlpSettings, TraceSettings,
};

/// `[envelope]`
pub(super) fn envelope(settings: &EnvelopeSettings) -> Value {
    let EnvelopeSettings {
        form,
        issuer,
        keys,
        lifetime,
        jwks_max_age,
    } = settings;
    // Only this form publishes keys.
    let publishes = *form == EnvelopeForm::Jws;
    json!({
        "form": form.as_str(),
        "issuer": issuer,
        "keys": keys,
        "lifetime_secs": lifetime.as_secs(),
        "jwks_max_age_secs": publishes.then_some(jwks_max_age.as_secs()),
    })
}

/// `[trace]`
pub(super) fn trace(settings: &TraceSettings) -> Value {
    let TraceSettings { start_one_in, otlp } = settings;
    let otlp = otlp.as_ref();
    let url = otlp.map(|OtlpSettings { url, .. }| url.to_string());
    json!({
        "start_one_in": start_one_in,
        "otlp_url": url.as_deref().map(without_query),
        "service": otlp.map(|OtlpSettings { service, .. }| service),
    })
}

/// `[log]`. A router that is embedded knows only which requests the access log has.
pub(super) fn log(settings: Option<&LogSettings>, access: AccessLog) -> Value {
    let (requests, one_in) = match access {
        AccessLog::Off => ("off", None),
        AccessLog::Errors => ("errors", None),
        AccessLog::Sampled { one_in } => ("sampled", Some(one_in)),
        AccessLog::Full => ("full", None),
    };
    let access = json!({
        "requests": requests,
        "one_in": one_in,
        "to": settings.and_then(|log| log.access_to),
    });
    let Some(settings) = settings else {
        return json!({ "access": access });
    };
    let LogSettings {
        level,
        to,
        subject,
        subject_key,
        access_to: _,
    } = settings;
    json!({
        "level": level,
        "to": to,
        "subject": subject,
        "subject_key": subject_key,
        "access": access,
    })
}
