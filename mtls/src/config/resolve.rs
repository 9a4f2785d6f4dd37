//! From tables to settings: what they mean together, relative paths, and units.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::policy::{Policy, PolicyId, PolicySpecs};
use cellway_core::registry::{RegistryLimits, RegistryTiming};

use super::Config;
use super::error::{ConfigError, Place};
use super::schema::{
    ClientCertificateWord, FetchTable, File, ListenerTable, RegistryTable, SecsOrOff, UpstreamTable,
};
use crate::fetch::{RegistryLocation, SourceUrl, UrlRefused};
use crate::settings::{
    CellLimits, CellTimeouts, ClientCertificate, ClientTimeouts, FetchSettings, KeyPair,
    ListenerSettings, ListenerTls, Pem, RegistrySettings, RouterSettings, Sources,
    UpstreamSettings,
};

/// The longest of any configured time, so that no sum of them overflows.
const SECS_MAX: u64 = 60 * 60 * 24 * 365;

/// Checks what the tables mean together. Mistakes go to `report`; `None` if there was one that
/// leaves nothing to return.
pub(super) fn resolve(
    file: &str,
    mut tables: File,
    report: impl FnMut(ConfigError),
) -> Option<Config> {
    let mut report = Reporter(report);
    Paths::beside(file).resolve(&mut tables);
    let policy = policy(&tables, &mut report);
    listeners_exist(&tables, &mut report);
    let mut listeners = Vec::new();
    for (i, listener) in tables.listener.iter().enumerate() {
        let id = listener_policy(i, listener, &tables, policy.as_deref(), &mut report);
        check_listener(i, listener, &tables, &mut report);
        listeners.push(listener_settings(i, listener, id, &mut report));
    }
    let registry = registry(&tables.registry, &mut report);
    let upstream = upstream(&tables.upstream, &mut report);
    let fetch = fetch(&tables.fetch, &mut report);
    if let Some(admin) = &tables.admin
        && !admin.bind.ip().is_loopback()
    {
        report.mistake(
            "admin.bind",
            "is not a loopback address, and nobody is authenticated there",
            "use 127.0.0.1 or [::1]",
        );
    }
    let drain = report.secs("runtime.drain_secs", tables.runtime.drain_secs, 0, 30);
    let watch = report.secs("runtime.watch_secs", tables.runtime.watch_secs, 1, 5);
    if tables.runtime.workers == Some(0) {
        report.mistake("runtime.workers", "is 0", "give at least one");
    }
    Some(Config {
        router: RouterSettings {
            listeners,
            policy: policy?,
            trust_bundle: tables.trust.and_then(|trust| trust.bundle).map(Pem::File),
            upstream,
            sources: Sources {
                registry: registry?,
                fetch,
                state: tables.state.map(|state| state.directory),
                watch,
            },
        },
        admin: tables.admin.map(|admin| admin.bind),
        workers: tables.runtime.workers.map(usize::from),
        drain,
        log: tables.log,
    })
}

struct Reporter<F>(F);

impl<F: FnMut(ConfigError)> Reporter<F> {
    fn mistake(
        &mut self,
        setting: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        (self.0)(ConfigError {
            place: Place::File,
            setting: setting.into(),
            problem: problem.into(),
            fix: fix.into(),
        });
    }

    fn secs(&mut self, setting: &str, secs: Option<u64>, min: u64, default: u64) -> Duration {
        let secs = secs.unwrap_or(default);
        if !(min..=SECS_MAX).contains(&secs) {
            let fix = format!("give {min} to {SECS_MAX}");
            self.mistake(setting, format!("is {secs} seconds"), fix);
        }
        Duration::from_secs(secs.min(SECS_MAX))
    }

    fn ms(&mut self, setting: String, ms: Option<u64>, default: Duration) -> Duration {
        let Some(ms) = ms else { return default };
        if !(1..=SECS_MAX * 1000).contains(&ms) {
            let fix = format!("give 1 to {}", SECS_MAX * 1000);
            self.mistake(setting, format!("is {ms} milliseconds"), fix);
        }
        Duration::from_millis(ms.min(SECS_MAX * 1000))
    }

    fn count(&mut self, setting: String, count: Option<u64>, default: usize) -> usize {
        let Some(count) = count else { return default };
        if count == 0 {
            self.mistake(
                setting,
                "is 0, so nothing would ever pass",
                "give at least 1",
            );
        }
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    fn key_pair(
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
                self.mistake(format!("{table}.certificate"), "stands without a key", fix);
                None
            }
            (None, Some(_)) => {
                let fix = format!("set {table}.certificate to the key's certificate");
                self.mistake(format!("{table}.key"), "stands without a certificate", fix);
                None
            }
        }
    }

    fn url(&mut self, setting: String, url: &str) -> Option<SourceUrl> {
        let refused = match SourceUrl::parse(url) {
            Ok(url) => return Some(url),
            Err(refused) => refused,
        };
        let fix = match refused {
            UrlRefused::NotAbsolute | UrlRefused::Scheme => "write it as https://host/path",
            UrlRefused::Plain => "use https",
            UrlRefused::UserInfo => "take it out; credentials go in a file or a certificate",
        };
        self.mistake(setting, refused.to_string(), fix);
        None
    }
}

fn policy<F: FnMut(ConfigError)>(tables: &File, report: &mut Reporter<F>) -> Option<Arc<Policy>> {
    for (i, issuer) in tables.issuer.iter().enumerate() {
        match (&issuer.jwks_uri, &issuer.jwks_file) {
            (Some(uri), None) => {
                report.url(format!("issuer[{i}].jwks_uri"), uri);
            }
            // Discovery goes where the issuer's own name leads.
            (None, None) if !issuer.issuer.is_empty() => {
                if SourceUrl::parse(&issuer.issuer).is_err() {
                    report.mistake(
                        format!("issuer[{i}].issuer"),
                        "is no https address, so its keys can't be discovered",
                        "set jwks_uri or jwks_file",
                    );
                }
            }
            _ => {}
        }
    }
    let specs = PolicySpecs {
        issuer: tables.issuer.clone(),
        policy: tables.policy.clone(),
        trust: tables.trust.clone(),
        headers: tables.headers.clone(),
    };
    match Policy::build(&specs) {
        Ok(policy) => Some(Arc::new(policy)),
        Err(errors) => {
            for error in errors {
                report.mistake(error.setting, error.problem, error.fix);
            }
            None
        }
    }
}

fn listeners_exist<F: FnMut(ConfigError)>(tables: &File, report: &mut Reporter<F>) {
    if tables.listener.is_empty() {
        report.mistake(
            "listener",
            "there is none",
            "add a [[listener]] with name and bind",
        );
    }
    for (i, listener) in tables.listener.iter().enumerate() {
        let earlier = &tables.listener[..i];
        if listener.name.is_empty() {
            report.mistake(format!("listener[{i}].name"), "is empty", "name it");
        }
        if earlier.iter().any(|other| other.name == listener.name) {
            let problem = format!("`{}` is the name of another listener too", listener.name);
            report.mistake(format!("listener[{i}].name"), problem, "give each its own");
        }
        let port = listener.bind.port();
        if port != 0 && earlier.iter().any(|other| other.bind == listener.bind) {
            let problem = format!("{} is the address of another listener too", listener.bind);
            report.mistake(format!("listener[{i}].bind"), problem, "give each its own");
        }
    }
}

fn listener_policy<F: FnMut(ConfigError)>(
    i: usize,
    listener: &ListenerTable,
    tables: &File,
    policy: Option<&Policy>,
    report: &mut Reporter<F>,
) -> PolicyId {
    if !tables
        .policy
        .iter()
        .any(|policy| policy.name == listener.policy)
    {
        let problem = format!("there is no [[policy]] with the name `{}`", listener.policy);
        let names: Vec<_> = tables.policy.iter().map(|policy| &*policy.name).collect();
        let fix = match names.as_slice() {
            [] => "add one".to_owned(),
            names => format!("the names are: {}", names.join(", ")),
        };
        report.mistake(format!("listener[{i}].policy"), problem, fix);
    }
    // Without a policy there is a mistake already, and nothing is used.
    policy
        .and_then(|policy| policy.policy_id(&listener.policy))
        .unwrap_or(PolicyId(0))
}

fn check_listener<F: FnMut(ConfigError)>(
    i: usize,
    listener: &ListenerTable,
    tables: &File,
    report: &mut Reporter<F>,
) {
    use cellway_core::policy::{Mode, Scheme};
    let loopback = listener.bind.ip().is_loopback();
    let policy = tables
        .policy
        .iter()
        .find(|policy| policy.name == listener.policy);
    if policy.is_some_and(|policy| policy.mode == Mode::Disabled) && !loopback {
        report.mistake(
            format!("listener[{i}].bind"),
            "is not a loopback address, and its policy is `disabled`",
            "bind 127.0.0.1, or give it a policy that authenticates",
        );
    }
    let Some(tls) = &listener.tls else {
        if !loopback && !listener.allow_plain {
            report.mistake(
                format!("listener[{i}].bind"),
                "is not a loopback address, and the listener has no TLS: tokens would travel in the clear",
                "add [listener.tls], or set allow_plain = true if something in front speaks TLS",
            );
        }
        return;
    };
    let asks = tls.client_certificate != ClientCertificateWord::None;
    let trusts = tables
        .trust
        .as_ref()
        .is_some_and(|trust| trust.bundle.is_some());
    if asks && !trusts {
        report.mistake(
            format!("listener[{i}].tls.client_certificate"),
            "asks for certificates, but nobody's are trusted",
            "set trust.bundle",
        );
    }
    let only_mtls = policy.is_some_and(|policy| {
        let any = policy.any_of.as_deref().unwrap_or_default();
        let all = policy.all_of.as_deref().unwrap_or_default();
        policy.mode == Mode::Required && (any == [Scheme::Mtls] || all.contains(&Scheme::Mtls))
    });
    if only_mtls && !asks {
        report.mistake(
            format!("listener[{i}].tls.client_certificate"),
            "is `none`, but the listener's policy requires a client certificate",
            "set it to optional or required",
        );
    }
}

fn listener_settings<F: FnMut(ConfigError)>(
    i: usize,
    table: &ListenerTable,
    policy: PolicyId,
    report: &mut Reporter<F>,
) -> ListenerSettings {
    let defaults = ListenerSettings::new(&table.name, table.bind, policy);
    let name = |key: &str| format!("listener[{i}].{key}");
    let times = ClientTimeouts::default();
    let handshake = name("handshake_timeout_ms");
    let first_byte = name("first_byte_timeout_ms");
    let header = name("header_timeout_ms");
    let idle = name("idle_timeout_ms");
    let connections = name("connections_max");
    if table.streams_max == Some(0) {
        report.mistake(name("streams_max"), "is 0", "give at least 1");
    }
    ListenerSettings {
        tls: table.tls.as_ref().map(|tls| ListenerTls {
            identity: key_pair(&tls.certificate, &tls.key),
            client_certificate: match tls.client_certificate {
                ClientCertificateWord::None => ClientCertificate::None,
                ClientCertificateWord::Optional => ClientCertificate::Optional,
                ClientCertificateWord::Required => ClientCertificate::Required,
            },
        }),
        timeouts: ClientTimeouts {
            handshake: report.ms(handshake, table.handshake_timeout_ms, times.handshake),
            first_byte: report.ms(first_byte, table.first_byte_timeout_ms, times.first_byte),
            header: report.ms(header, table.header_timeout_ms, times.header),
            idle: report.ms(idle, table.idle_timeout_ms, times.idle),
        },
        connections_max: report.count(connections, table.connections_max, defaults.connections_max),
        streams_max: table.streams_max.unwrap_or(defaults.streams_max),
        ..defaults
    }
}

fn registry<F: FnMut(ConfigError)>(
    table: &RegistryTable,
    report: &mut Reporter<F>,
) -> Option<RegistrySettings> {
    let location = match (&table.file, &table.url) {
        (Some(path), None) => Some(RegistryLocation::File(path.clone())),
        (None, Some(url)) => report.url("registry.url".to_owned(), url).map(|url| {
            let token_file = table.token_file.clone();
            RegistryLocation::Http { url, token_file }
        }),
        (Some(_), Some(_)) => {
            report.mistake("registry.url", "stands beside registry.file", "keep one");
            None
        }
        (None, None) => {
            let fix = "set registry.file or registry.url";
            report.mistake("registry", "names no source", fix);
            None
        }
    };
    if table.token_file.is_some() && table.url.is_none() {
        report.mistake(
            "registry.token_file",
            "is of use with registry.url only",
            "remove it",
        );
    }
    let times = RegistryTiming::default();
    let secs = |duration: Duration| duration.as_secs();
    let identity_max_age = match &table.identity_max_age_secs {
        None => times.identity_max_age,
        Some(SecsOrOff::Word(_)) => None,
        Some(SecsOrOff::Secs(age)) => {
            Some(report.secs("registry.identity_max_age_secs", Some(*age), 1, 1))
        }
    };
    let poll = secs(times.poll_interval);
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

fn upstream<F: FnMut(ConfigError)>(
    table: &UpstreamTable,
    report: &mut Reporter<F>,
) -> UpstreamSettings {
    let name = |key: &str| format!("upstream.{key}");
    let (times, limits) = (CellTimeouts::default(), CellLimits::default());
    let (certificate, key) = (table.certificate.as_ref(), table.key.as_ref());
    let total = table.total_timeout_ms;
    UpstreamSettings {
        bundle: table.bundle.clone().map(Pem::File),
        identity: report.key_pair("upstream", certificate, key),
        timeouts: CellTimeouts {
            connect: report.ms(
                name("connect_timeout_ms"),
                table.connect_timeout_ms,
                times.connect,
            ),
            tls: report.ms(name("tls_timeout_ms"), table.tls_timeout_ms, times.tls),
            header: report.ms(
                name("header_timeout_ms"),
                table.header_timeout_ms,
                times.header,
            ),
            idle: report.ms(name("idle_timeout_ms"), table.idle_timeout_ms, times.idle),
            total: total.map(|ms| report.ms(name("total_timeout_ms"), Some(ms), Duration::ZERO)),
            keep: report.ms(name("keep_ms"), table.keep_ms, times.keep),
        },
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
        },
    }
}

fn fetch<F: FnMut(ConfigError)>(table: &FetchTable, report: &mut Reporter<F>) -> FetchSettings {
    let (certificate, key) = (table.certificate.as_ref(), table.key.as_ref());
    let timeout = "fetch.total_timeout_ms".to_owned();
    let default = FetchSettings::default().total_timeout;
    FetchSettings {
        bundle: table.bundle.clone().map(Pem::File),
        identity: report.key_pair("fetch", certificate, key),
        total_timeout: report.ms(timeout, table.total_timeout_ms, default),
    }
}

fn key_pair(certificate: &str, key: &str) -> KeyPair {
    KeyPair {
        certificate: Pem::File(certificate.to_owned()),
        key: Pem::File(key.to_owned()),
    }
}

/// Paths in a configuration are taken from the folder that it stands in, so that it works
/// wherever the router is started.
struct Paths(PathBuf);

impl Paths {
    fn beside(file: &str) -> Self {
        Self(
            Path::new(file)
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default(),
        )
    }

    fn resolve(&self, tables: &mut File) {
        let File {
            listener,
            issuer,
            trust,
            registry,
            upstream,
            fetch,
            state,
            ..
        } = tables;
        for tls in listener
            .iter_mut()
            .filter_map(|listener| listener.tls.as_mut())
        {
            self.one(&mut tls.certificate);
            self.one(&mut tls.key);
        }
        if let Some(state) = state {
            self.one(&mut state.directory);
        }
        let optional = [
            trust.as_mut().map(|trust| &mut trust.bundle),
            Some(&mut registry.file),
            Some(&mut registry.token_file),
            Some(&mut upstream.bundle),
            Some(&mut upstream.certificate),
            Some(&mut upstream.key),
            Some(&mut fetch.bundle),
            Some(&mut fetch.certificate),
            Some(&mut fetch.key),
        ];
        let issuers = issuer.iter_mut().map(|issuer| &mut issuer.jwks_file);
        for path in optional.into_iter().flatten().chain(issuers).flatten() {
            self.one(path);
        }
    }

    fn one(&self, path: &mut String) {
        // An empty one stays empty, to be found missing where it is read.
        if !path.is_empty() {
            *path = self.0.join(&*path).to_string_lossy().into_owned();
        }
    }
}
