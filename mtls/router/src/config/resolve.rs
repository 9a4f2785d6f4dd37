//! Resolves the tables of the configuration into settings.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::policy::{OnDoubt, Policy, PolicySpecs, TrustSpec};
use cellway_env::fetch::SourceUrl;

use super::admin::{admin_tls, own_addresses};
use super::envelope::envelope;
use super::error::ConfigError;
use super::explain::explain;
use super::listeners::listeners;
use super::paths::Paths;
use super::report::Reporter;
use super::retries::retries;
use super::schema::{AccessWord, File, LogTable, RuntimeTable, TraceTable};
use super::sources::{Surroundings, fetch, registry, upstream};
use super::traffic::rate_limits;
use super::unused::unused;
use super::{Config, Stated};
use crate::settings::{
    AccessLog, DomainBundle, DrainTimes, LogSettings, OPEN_WAIT_DEFAULT, OtlpSettings, Pem,
    RevocationSettings, RouterSettings, Sources, SubjectForm, TraceSettings,
};

/// Checks what the tables mean together. Mistakes go to `report`. `None` if a mistake leaves
/// nothing to return.
pub(super) fn resolve(
    file: &str,
    mut tables: File,
    surroundings: &Surroundings<'_>,
    registry_text: Option<Bytes>,
    report: impl FnMut(ConfigError),
) -> Option<Config> {
    let mut report = Reporter::new(report);
    Paths::beside(file).resolve(&mut tables, &mut report);
    let policy = policy(&tables, &mut report);
    let listeners = listeners(&tables, policy.as_deref(), &mut report);
    let registry = registry(&tables.registry, registry_text, &mut report);
    let upstream = upstream(&tables.upstream, &mut report);
    let fetch = fetch(&tables.fetch, surroundings, &mut report);
    let envelope = (tables.envelope.as_ref()).map(|table| envelope(table, &mut report));
    let explain = (tables.explain.as_ref()).and_then(|table| explain(table, &mut report));
    let rate_limits = rate_limits(&tables.rate_limits, &tables.traffic, &mut report);
    let health = own_addresses(&tables, &mut report);
    let admin_tls = admin_tls(&tables, &mut report);
    let runtime = runtime(&tables.runtime, &mut report);
    let access_log = log(&tables.log, &mut report);
    unused(&tables, &mut report);
    retries(&tables, &upstream, &mut report);
    Some(Config {
        router: RouterSettings {
            listeners,
            policy: policy?,
            revocation: tables.trust.as_ref().map(revocation).unwrap_or_default(),
            domain_bundles: tables
                .trust
                .as_ref()
                .map(domain_bundles)
                .unwrap_or_default(),
            trust_bundle: tables.trust.and_then(|trust| trust.bundle).map(Pem::File),
            upstream,
            sources: Sources {
                registry: registry?,
                fetch,
                state: tables.state.map(|state| state.directory),
            },
            envelope,
            access_log,
            log: Some(log_settings(&tables.log)),
            trace: tables.trace.as_ref().map(|table| trace(table, &mut report)),
            explain,
            admin_tls,
            rate_limits,
            warnings: report.warnings.into_vec(),
        },
        admin: tables.admin.map(|admin| admin.bind),
        health,
        workers: tables.runtime.workers.map(usize::from),
        share_addresses: tables.runtime.share_addresses,
        open_wait: runtime.open_wait,
        drain: runtime.drain,
        watch: runtime.watch,
        log: tables.log,
        stated: Stated::default(),
    })
}

/// The times of `[runtime]`.
struct Waits {
    open_wait: Duration,
    drain: DrainTimes,
    watch: Duration,
}

fn runtime<F: FnMut(ConfigError)>(table: &RuntimeTable, report: &mut Reporter<F>) -> Waits {
    let wait = OPEN_WAIT_DEFAULT.as_secs();
    let open_wait = report.secs("runtime.open_wait_secs", table.open_wait_secs, 0, wait);
    let drain = DrainTimes {
        delay: report.secs("runtime.drain_delay_secs", table.drain_delay_secs, 0, 0),
        idle: report.secs("runtime.drain_idle_secs", table.drain_idle_secs, 0, 5),
        deadline: report.secs("runtime.drain_secs", table.drain_secs, 0, 30),
    };
    let watch = report.secs("runtime.watch_secs", table.watch_secs, 1, 5);
    if table.workers == Some(0) {
        report.mistake("runtime.workers", "is 0", "give at least one");
    }
    Waits {
        open_wait,
        drain,
        watch,
    }
}

/// Checks `[log]`. Returns which requests the access log has.
fn log<F: FnMut(ConfigError)>(table: &LogTable, report: &mut Reporter<F>) -> AccessLog {
    if table.subject_key.is_some() && table.subject != SubjectForm::Hash {
        report.mistake(
            "log.subject_key",
            "requires log.subject = \"hash\"",
            "set log.subject = \"hash\", or remove log.subject_key",
        );
    }
    let access = &table.access;
    let sampled = access.requests == AccessWord::Sampled;
    if access.one_in == Some(0) {
        let fix = "give at least 1, or set log.access.requests = \"off\"";
        report.mistake("log.access.one_in", "is 0", fix);
    } else if access.one_in.is_some() && !sampled {
        let fix = "set log.access.requests = \"sampled\", or remove log.access.one_in";
        let problem = "requires log.access.requests = \"sampled\"";
        report.mistake("log.access.one_in", problem, fix);
    }
    if access.to.is_some() && access.requests == AccessWord::Off {
        let problem = "has no effect, because log.access.requests is \"off\": no request is logged";
        let fix = "set log.access.requests to \"errors\", \"sampled\" or \"full\", or remove it";
        report.warnings.warning("log.access.to", problem, fix);
    }
    match access.requests {
        AccessWord::Off => AccessLog::Off,
        AccessWord::Errors => AccessLog::Errors,
        AccessWord::Sampled => AccessLog::Sampled {
            one_in: access.one_in.unwrap_or(ONE_IN_DEFAULT).max(1),
        },
        AccessWord::Full => AccessLog::Full,
    }
}

fn log_settings(table: &LogTable) -> LogSettings {
    LogSettings {
        level: table.level,
        to: table.to,
        subject: table.subject,
        subject_key: table.subject_key.clone(),
        access_to: table.access.to,
    }
}

fn trace<F: FnMut(ConfigError)>(table: &TraceTable, report: &mut Reporter<F>) -> TraceSettings {
    if table.start_one_in == Some(0) {
        let fix = "give at least 1, or remove it: then the router starts no traces";
        report.mistake("trace.start_one_in", "is 0", fix);
    }
    if table.service.is_some() && table.otlp_url.is_none() {
        let fix = "set trace.otlp_url, or remove trace.service";
        report.mistake("trace.service", "requires trace.otlp_url", fix);
    }
    let service = table.service.as_deref().unwrap_or(SERVICE_DEFAULT);
    if service.is_empty() || service.len() > SERVICE_BYTES_MAX {
        let problem = format!("has {} bytes", service.len());
        let fix = format!("give 1 to {SERVICE_BYTES_MAX}");
        report.mistake("trace.service", problem, fix);
    }
    let url = table.otlp_url.as_deref();
    let url =
        url.and_then(|url| report.url_such_as("trace.otlp_url".to_owned(), url, COLLECTOR_EXAMPLE));
    TraceSettings {
        start_one_in: table.start_one_in,
        otlp: url.map(|url| OtlpSettings {
            url,
            service: service.into(),
        }),
    }
}

/// OTLP over HTTP has this port and path by default, unlike OTLP over gRPC.
const COLLECTOR_EXAMPLE: &str = "https://collector.example:4318/v1/traces";
/// The service that spans belong to by default.
const SERVICE_DEFAULT: &str = "cellway";
/// The most bytes of its name.
const SERVICE_BYTES_MAX: usize = 256;

/// One request in this many has a line in a sampled access log by default.
const ONE_IN_DEFAULT: u32 = 100;

fn policy<F: FnMut(ConfigError)>(tables: &File, report: &mut Reporter<F>) -> Option<Arc<Policy>> {
    let mut refused = Vec::new();
    for (i, issuer) in tables.issuer.iter().enumerate() {
        match (&issuer.jwks_uri, &issuer.jwks_file) {
            (Some(uri), None) => {
                let setting = format!("issuer[{i}].jwks_uri");
                if report.url(setting.clone(), uri).is_none() {
                    refused.push(setting);
                }
            }
            // Discovery starts at the issuer's own URL.
            (None, None)
                if !issuer.issuer.is_empty() && SourceUrl::parse(&issuer.issuer).is_err() =>
            {
                report.mistake(
                    format!("issuer[{i}].issuer"),
                    "is not an https URL, so its keys can't be discovered",
                    "set jwks_uri or jwks_file",
                );
                refused.push(format!("issuer[{i}].jwks_uri"));
            }
            _ => {}
        }
    }
    let specs = PolicySpecs {
        issuer: tables.issuer.clone(),
        policy: tables.policy.clone(),
        trust: tables.trust.clone(),
        headers: tables.headers.clone(),
        cba: tables.cba.clone(),
        routing_key: tables.routing_key.clone(),
    };
    match Policy::build(&specs) {
        Ok(policy) => Some(Arc::new(policy)),
        Err(errors) => {
            // Core reports these too, with fewer words.
            for error in errors
                .into_iter()
                .filter(|it| !refused.contains(&it.setting))
            {
                report.mistake(error.setting, error.problem, error.fix);
            }
            None
        }
    }
}

fn domain_bundles(trust: &TrustSpec) -> Vec<DomainBundle> {
    let own = trust.own_bundles();
    own.map(|(name, path)| DomainBundle {
        trust_domain: name.to_owned(),
        bundle: Pem::File(path.to_owned()),
    })
    .collect()
}

fn revocation(trust: &TrustSpec) -> RevocationSettings {
    RevocationSettings {
        lists: trust.crl.iter().cloned().map(Pem::File).collect(),
        stale_allowed: trust.crl_stale == OnDoubt::Allow,
        missing_allowed: trust.crl_missing == OnDoubt::Allow,
    }
}
