//! `[registry]`, `[upstream]` and `[fetch]`: connections to cells and sources.

use std::time::Duration;

use bytes::Bytes;
use cellway_core::registry::{RegistryLimits, RegistryTiming};
use cellway_env::fetch::Proxies;

use super::adaptive::adaptive;
use super::error::ConfigError;
use super::health::{breaker, failing_answers, health};
use super::report::Reporter;
use super::schema::{FetchTable, RegistryTable, SecsOrOff, UpstreamTable};
use crate::settings::RegistryLocation;
use crate::settings::{
    AnswerLimits, CellLimits, CellShares, CellTimeouts, FetchSettings, KEEPALIVE_MIN, Pem,
    RegistrySettings, UpstreamSettings,
};

/// How often a registry file is checked for changes. A check costs one `stat`.
const FILE_POLL_SECS: u64 = 2;

/// `[registry]`. If there is a `text`, it is the registry, whatever source the table names.
pub(super) fn registry<F: FnMut(ConfigError)>(
    table: &RegistryTable,
    text: Option<Bytes>,
    report: &mut Reporter<F>,
) -> Option<RegistrySettings> {
    let location = match text {
        Some(text) => Some(RegistryLocation::Text(text)),
        None => location(table, report),
    };
    let timing = timing(table, report);
    let limits = RegistryLimits::default();
    let bytes_max = "registry.bytes_max".to_owned();
    let bytes_max = report.count(bytes_max, table.bytes_max, limits.document_bytes_max);
    Some(RegistrySettings {
        location: location?,
        timing,
        limits: RegistryLimits {
            document_bytes_max: bytes_max,
            ..limits
        },
    })
}

fn location<F: FnMut(ConfigError)>(
    table: &RegistryTable,
    report: &mut Reporter<F>,
) -> Option<RegistryLocation> {
    if table.token_file.is_some() && table.url.is_none() {
        report.mistake(
            "registry.token_file",
            "requires registry.url (the token is for a control plane)",
            "set registry.url, or remove it",
        );
    }
    match (&table.file, &table.url) {
        (Some(path), None) => Some(RegistryLocation::File(path.clone())),
        (None, Some(url)) => report.url("registry.url".to_owned(), url).map(|url| {
            let token_file = table.token_file.clone();
            RegistryLocation::Http { url, token_file }
        }),
        (Some(_), Some(_)) => {
            let problem = "is set, and registry.file too";
            let fix = "set either registry.url or registry.file, not both";
            report.mistake("registry.url", problem, fix);
            None
        }
        (None, None) => {
            let fix = "set registry.file or registry.url";
            report.mistake("registry", "has no source", fix);
            None
        }
    }
}

fn timing<F: FnMut(ConfigError)>(
    table: &RegistryTable,
    report: &mut Reporter<F>,
) -> RegistryTiming {
    let times = RegistryTiming::default();
    let secs = |duration: Duration| duration.as_secs();
    let identity_max_age = match &table.identity_max_age_secs {
        None => times.identity_max_age,
        Some(SecsOrOff::Word(_)) => None,
        Some(SecsOrOff::Secs(age)) => {
            Some(report.secs("registry.identity_max_age_secs", Some(*age), 1, 1))
        }
    };
    let poll = match table.url {
        Some(_) => secs(times.poll_interval),
        None => FILE_POLL_SECS,
    };
    let retry = secs(times.retry_max);
    let stale = secs(times.stale_after);
    let timing = RegistryTiming {
        poll_interval: report.secs("registry.poll_secs", table.poll_secs, 1, poll),
        retry_max: report.secs("registry.retry_max_secs", table.retry_max_secs, 1, retry),
        stale_after: report.secs(
            "registry.stale_after_secs",
            table.stale_after_secs,
            1,
            stale,
        ),
        identity_max_age,
        ..times
    };
    if timing.stale_after <= timing.poll_interval {
        report.mistake(
            "registry.stale_after_secs",
            "is not longer than poll_secs, so a working source would look stale",
            "use a few times poll_secs",
        );
    }
    if timing
        .identity_max_age
        .is_some_and(|age| age <= timing.poll_interval)
    {
        report.mistake(
            "registry.identity_max_age_secs",
            "is not longer than poll_secs, so tenants would be refused between two polls",
            "use a few times poll_secs, or \"off\"",
        );
    }
    timing
}

pub(super) fn upstream<F: FnMut(ConfigError)>(
    table: &UpstreamTable,
    report: &mut Reporter<F>,
) -> UpstreamSettings {
    let name = |key: &str| format!("upstream.{key}");
    let limits = CellLimits::default();
    let (certificate, key) = (table.certificate.as_ref(), table.key.as_ref());
    if table.bundle.is_none() && (certificate.is_some() || key.is_some()) {
        let set = if certificate.is_some() {
            "certificate"
        } else {
            "key"
        };
        let problem = "requires upstream.bundle (the CA of the cells)";
        let fix =
            "set upstream.bundle to the PEM file with the CAs that sign the cells' certificates";
        report.mistake(name(set), problem, fix);
    }
    UpstreamSettings {
        bundle: table.bundle.clone().map(Pem::File),
        identity: report.key_pair("upstream", certificate, key),
        timeouts: cell_timeouts(table, report),
        limits: CellLimits {
            connections_max: report.count(
                name("connections_max"),
                table.connections_max,
                limits.connections_max,
            ),
            requests_max: report.count(
                name("requests_max"),
                table.requests_max,
                limits.requests_max,
            ),
            queue_max: (table.queue_max).map_or(limits.queue_max, |most| {
                usize::try_from(most).unwrap_or(usize::MAX)
            }),
            queue_timeout: report.ms(
                name("queue_timeout_ms"),
                table.queue_timeout_ms,
                limits.queue_timeout,
            ),
            adaptive: adaptive(&table.adaptive_limit, report),
            shares: shares(table, report),
        },
        keepalive: (table.keepalive_ms).map(|ms| keepalive(name("keepalive_ms"), ms, report)),
        connection_age: report.ms(
            name("connection_age_ms"),
            table.connection_age_ms,
            UpstreamSettings::default().connection_age,
        ),
        retry_percent: retry_percent(name("retry_percent"), table.retry_percent, report),
        answers: answers(table, report),
        health: health(table, report),
        failing_answers: failing_answers(&table.outlier, report),
        breaker: breaker(&table.breaker, report),
    }
}

fn cell_timeouts<F: FnMut(ConfigError)>(
    table: &UpstreamTable,
    report: &mut Reporter<F>,
) -> CellTimeouts {
    let default = CellTimeouts::default();
    let mut ms = |key: &str, given: Option<u64>, default: Duration| {
        report.ms(format!("upstream.{key}"), given, default)
    };
    CellTimeouts {
        connect: ms(
            "connect_timeout_ms",
            table.connect_timeout_ms,
            default.connect,
        ),
        tls: ms("tls_timeout_ms", table.tls_timeout_ms, default.tls),
        header: ms("header_timeout_ms", table.header_timeout_ms, default.header),
        idle: ms("idle_timeout_ms", table.idle_timeout_ms, default.idle),
        total: (table.total_timeout_ms)
            .map(|given| ms("total_timeout_ms", Some(given), Duration::ZERO)),
        failover: ms(
            "failover_timeout_ms",
            table.failover_timeout_ms,
            default.failover,
        ),
        keep: ms("keep_ms", table.keep_ms, default.keep),
    }
}

fn answers<F: FnMut(ConfigError)>(table: &UpstreamTable, report: &mut Reporter<F>) -> AnswerLimits {
    let default = AnswerLimits::default();
    let mut count = |key: &str, given: Option<u64>, default: u32, most: u32| {
        let setting = format!("upstream.{key}");
        let count = report.count(setting.clone(), given, default as usize);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count > most {
            report.mistake(
                setting,
                format!("is {count}, more than the router reads of one answer"),
                format!("give at most {most}"),
            );
        }
        count.min(most)
    };
    AnswerLimits {
        header_bytes_max: count(
            "answer_header_bytes_max",
            table.answer_header_bytes_max,
            default.header_bytes_max,
            AnswerLimits::HEADER_BYTES_MAX,
        ),
        header_fields_max: count(
            "answer_header_fields_max",
            table.answer_header_fields_max,
            default.header_fields_max,
            AnswerLimits::HEADER_FIELDS_MAX,
        ),
    }
}

fn retry_percent<F: FnMut(ConfigError)>(
    name: String,
    percent: Option<u8>,
    report: &mut Reporter<F>,
) -> u8 {
    let percent = percent.unwrap_or(UpstreamSettings::default().retry_percent);
    if percent > 100 {
        report.mistake(name, format!("is {percent}"), "give 0 to 100");
    }
    percent.min(100)
}

fn keepalive<F: FnMut(ConfigError)>(name: String, ms: u64, report: &mut Reporter<F>) -> Duration {
    let least = KEEPALIVE_MIN.as_millis() as u64;
    if ms < least {
        let fix = format!(
            "give at least {least}, and at least 300000 for gRPC servers that don't permit more \
             pings, or remove it"
        );
        report.mistake(name.clone(), format!("is {ms} milliseconds"), fix);
    }
    report.ms(name, Some(ms.max(least)), KEEPALIVE_MIN)
}

/// The environment's proxy variables. Other programs read them too, so they don't have our prefix.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Surroundings<'a> {
    /// The variable's name and value, if it isn't empty.
    proxy: Option<(&'a str, &'a str)>,
    no_proxy: Option<(&'a str, &'a str)>,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(variables: &'a [(String, String)]) -> Self {
        let value = |name: &str| {
            let mut variables = variables.iter();
            let (name, value) = variables.find(|(found, _)| found == name)?;
            Some((&**name, value.trim())).filter(|(_, value)| !value.is_empty())
        };
        let first = |small: &str, capital: &str| value(small).or_else(|| value(capital));
        // If both spellings are set, the lower-case one is used, as in curl.
        Self {
            proxy: first("https_proxy", "HTTPS_PROXY"),
            no_proxy: first("no_proxy", "NO_PROXY"),
        }
    }
}

fn shares<F: FnMut(ConfigError)>(table: &UpstreamTable, report: &mut Reporter<F>) -> CellShares {
    let defaults = CellShares::default();
    let mut percent =
        |key: &str, percent, default| report.percent(format!("upstream.{key}"), percent, default);
    CellShares {
        connection: percent(
            "connection_share_percent",
            table.connection_share_percent,
            defaults.connection,
        ),
        caller: percent(
            "caller_share_percent",
            table.caller_share_percent,
            defaults.caller,
        ),
        tenant: percent(
            "tenant_share_percent",
            table.tenant_share_percent,
            defaults.tenant,
        ),
    }
}

pub(super) fn fetch<F: FnMut(ConfigError)>(
    table: &FetchTable,
    surroundings: &Surroundings<'_>,
    report: &mut Reporter<F>,
) -> FetchSettings {
    let (certificate, key) = (table.certificate.as_ref(), table.key.as_ref());
    let timeout = "fetch.total_timeout_ms".to_owned();
    let default = FetchSettings::default().total_timeout;
    FetchSettings {
        bundle: table.bundle.clone().map(Pem::File),
        identity: report.key_pair("fetch", certificate, key),
        total_timeout: report.ms(timeout, table.total_timeout_ms, default),
        proxies: proxies(table, surroundings, report),
    }
}

/// Resolves the proxy settings. Each of the two settings replaces its own environment variable.
fn proxies<F: FnMut(ConfigError)>(
    table: &FetchTable,
    surroundings: &Surroundings<'_>,
    report: &mut Reporter<F>,
) -> Proxies {
    let (variable, url) = match (table.proxy.as_deref(), surroundings.proxy) {
        (Some("off"), _) | (None, None) => return Proxies::default(),
        (Some(setting), _) => (None, setting),
        (None, Some((name, value))) => (Some(name), value),
    };
    let mut proxies = Proxies::through(url).unwrap_or_else(|why| {
        // The message leaves out the address, because it may contain a password.
        let fix = "write an address such as http://proxy.example:3128, or fetch.proxy = \"off\"";
        report.mistake_at(variable, "fetch.proxy", why.to_string(), fix);
        Proxies::default()
    });
    let (variable, entries): (_, Vec<&str>) = match (&table.no_proxy, surroundings.no_proxy) {
        (Some(setting), _) => (None, setting.iter().map(String::as_str).collect()),
        (None, Some((name, value))) => {
            let entries = value.split([',', ' ']).filter(|entry| !entry.is_empty());
            (Some(name), entries.collect())
        }
        (None, None) => (None, Vec::new()),
    };
    for entry in entries {
        if let Err(why) = proxies.except(entry) {
            let fix = "list hosts, such as internal.example, .example or 10.0.0.0/8";
            report.mistake_at(variable, "fetch.no_proxy", format!("{entry:?} {why}"), fix);
        }
    }
    proxies
}
