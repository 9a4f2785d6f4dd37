//! Warnings about settings, files and a registry that are each valid but don't fit together: the
//! router would run but refuse some requests.

use std::sync::Arc;

use cellway_core::cba::CellKeys;
use cellway_core::cert::{PeerCertificate, Purpose, serves};
use cellway_core::headers::Forwarded;
use cellway_core::health::CheckKind;
use cellway_core::registry::{Cell, Registry, Scheme};
use cellway_core::{Now, Unix, mismatches};
use cellway_env::Env;

use super::bundles::leaves;
use crate::active_config::ActiveConfig;
use crate::envelope::without_key;
use crate::finding::Findings;
use crate::observe::ready::keys_refused;
use crate::rfc3339::rfc3339;
use crate::settings::{ClientTimeouts, KeyPair, Pem, RouterSettings, Serves};
use crate::tls::certificates;

/// The most cells that one finding names, or that have a finding of one kind.
const CELLS_NAMED_MAX: usize = 16;

/// Runs all of these checks. `registry` is the one that the router would use, if it is known.
/// `config` is the file name for suggested commands.
pub(crate) async fn fit<E: Env>(
    env: &E,
    active: &ActiveConfig,
    registry: Option<&Registry>,
    config: &str,
    now: Now,
    findings: &mut Findings,
) {
    let settings = &active.settings;
    findings.extend(&settings.warnings);
    for mismatch in mismatches(&settings.policy, registry) {
        let setting = match &*mismatch.setting {
            "registry" => settings.sources.registry.location.setting(),
            other => other,
        };
        findings.warning(setting, mismatch.problem, mismatch.fix);
    }
    for (table, missing) in active.authorities_without_list() {
        let problem = format!(
            "has no list of {missing}: clients with certificates from this CA would be refused"
        );
        let fix = match table {
            "trust" => "add the list of this CA, or set trust.crl_missing = \"allow\"",
            _ => "add the list of this CA",
        };
        findings.warning(format!("{table}.crl"), problem, fix);
    }
    for_proxying_only(settings, findings);
    if let Some(registry) = registry {
        plain_upstream(settings, registry, findings);
        unknown_cells(settings, registry, findings);
        checks_without_http2(settings, registry, findings);
        cell_keys(settings, registry, findings);
        envelopes(active, registry, config, now, findings);
    }
    own_certificates(env, settings, now.unix, findings).await;
    leaves(env, settings, findings).await;
}

/// Warns about cells whose annotation with keys for cell-bound authorizations can't be used.
fn cell_keys(settings: &RouterSettings, registry: &Registry, findings: &mut Findings) {
    let keys = CellKeys::read(&settings.policy.cba, registry);
    let refused: Vec<_> = keys.refused().collect();
    let setting = settings.sources.registry.location.setting();
    let fix = "publish the cell's public keys as a JWKS";
    for refused in refused.iter().take(CELLS_NAMED_MAX) {
        findings.warning(setting, keys_refused(*refused), fix);
    }
    let more = refused.len().saturating_sub(CELLS_NAMED_MAX);
    if more > 0 {
        let problem = format!("{more} more cells can't call other cells: their keys can't be used");
        findings.warning(setting, problem, fix);
    }
}

/// Warns about settings that have no effect on an `ext_authz` listener: there, an Envoy only asks
/// for decisions, and reads and answers the requests itself.
fn for_proxying_only(settings: &RouterSettings, findings: &mut Findings) {
    let defaults = ClientTimeouts::default();
    for (i, listener) in settings.listeners.iter().enumerate() {
        if listener.serves == Serves::Proxy {
            continue;
        }
        let timeouts = &listener.timeouts;
        let set = [
            ("forwarded", listener.forwarded != Forwarded::default()),
            (
                "body_rate_min",
                timeouts.body_rate_min != defaults.body_rate_min,
            ),
            ("body_grace_ms", timeouts.body_grace != defaults.body_grace),
        ];
        for (name, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
            findings.warning(
                format!("listener[{i}].{name}"),
                "has no effect where serves = \"ext_authz\": the Envoy forwards the requests itself",
                "remove it, and set the same in the Envoy",
            );
        }
        if listener.explain_headers {
            findings.warning(
                format!("listener[{i}].explain_headers"),
                "has no effect where serves = \"ext_authz\": the Envoy answers the requests itself",
                "remove it, and let the Envoy add x-cellway-cell to its access log or its answers",
            );
        }
        if listener.has_cors(&settings.policy) {
            let problem = "has a policy with cors, which has no effect where serves = \"ext_authz\": \
                           preflights carry no credentials, so they are refused";
            let fix = "let the Envoy's CORS filter answer them, before its ext_authz filter";
            findings.warning(format!("listener[{i}].policy"), problem, fix);
        }
    }
}

/// Warns about cells that can't be reached because no CA is trusted for their certificates.
fn plain_upstream(settings: &RouterSettings, registry: &Registry, findings: &mut Findings) {
    if settings.upstream.bundle.is_some() {
        return;
    }
    let is_https = |cell: &&Arc<Cell>| {
        let mut endpoints = cell.endpoints.iter();
        endpoints.any(|endpoint| endpoint.url.scheme() == Scheme::Https)
    };
    let cells: Vec<_> = registry.cells().iter().filter(is_https).collect();
    if cells.is_empty() {
        return;
    }
    let problem = format!(
        "is not set, and cells have https endpoints ({}): requests for them would be answered 502",
        names(&cells)
    );
    let fix = "set it to the PEM file with the CAs that sign the cells' certificates";
    findings.warning("upstream.bundle", problem, fix);
}

/// Warns about cells that health checks name and the registry lacks: their operator believes that they are
/// checked.
fn unknown_cells(settings: &RouterSettings, registry: &Registry, findings: &mut Findings) {
    let checks = settings.upstream.health.checks.iter().enumerate();
    let named = checks.flat_map(|(i, check)| check.cells.iter().map(move |cell| (i, cell)));
    let unknown = named.filter(|(_, cell)| registry.cell(cell.as_str()).is_none());
    for (i, cell) in unknown.take(CELLS_NAMED_MAX) {
        findings.warning(
            format!("upstream.health_check[{i}].cells"),
            format!("names cell \"{cell}\", which the registry doesn't have"),
            "correct the name, or add the cell to the registry",
        );
    }
}

/// Warns about gRPC checks of endpoints that speak only HTTP/1.1: each of these checks fails.
fn checks_without_http2(settings: &RouterSettings, registry: &Registry, findings: &mut Findings) {
    let checks = &settings.upstream.health.checks;
    for (i, check) in checks.iter().enumerate() {
        if !matches!(check.kind, CheckKind::Grpc { .. }) {
            continue;
        }
        let is_checked = |cell: &&Arc<Cell>| {
            let first = checks
                .iter()
                .position(|check| check.cells.is_empty() || check.cells.contains(&cell.id));
            let mut endpoints = cell.endpoints.iter();
            first == Some(i) && endpoints.any(|it| it.url.scheme() == Scheme::Http)
        };
        let cells: Vec<_> = registry.cells().iter().filter(is_checked).collect();
        if cells.is_empty() {
            continue;
        }
        let problem = format!(
            "is \"grpc\", which needs HTTP/2, and cells have http endpoints, which speak HTTP/1.1 ({}): \
             their checks would fail",
            names(&cells)
        );
        let fix = "write their endpoints as h2c:// or https://, or check them with kind = \"http\"";
        findings.warning(format!("upstream.health_check[{i}].kind"), problem, fix);
    }
}

/// The names of some cells, and how many more there are.
fn names(cells: &[&Arc<Cell>]) -> String {
    let named = cells
        .iter()
        .take(CELLS_NAMED_MAX)
        .map(|cell| cell.id.as_str());
    let named = named.collect::<Vec<_>>().join(", ");
    match cells.len().saturating_sub(CELLS_NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Warns about cells without a shared envelope key.
fn envelopes(
    active: &ActiveConfig,
    registry: &Registry,
    config: &str,
    now: Now,
    findings: &mut Findings,
) {
    let (Some(sealer), Some(envelope)) = (&active.sealer, &active.settings.envelope) else {
        return;
    };
    let folder = &envelope.keys;
    let mut without = without_key(sealer, registry, now);
    for cell in without.by_ref().take(CELLS_NAMED_MAX) {
        let problem =
            format!("{folder} has no key for cell `{cell}`, so its requests would be refused");
        let fix = format!("run `cellway envelope-key new -c {config} --cell {cell}`");
        findings.warning("envelope.keys", problem, fix);
    }
    let more = without.count();
    if more > 0 {
        let problem = format!("{folder} has no key for {more} more cells");
        let fix = "run `cellway envelope-key new` for each of them";
        findings.warning("envelope.keys", problem, fix);
    }
}

/// Warns about certificates of the router that the other side would refuse.
async fn own_certificates<E: Env>(
    env: &E,
    settings: &RouterSettings,
    now: Unix,
    findings: &mut Findings,
) {
    let mut pairs: Vec<(String, &KeyPair, Purpose)> = Vec::new();
    for (i, listener) in settings.listeners.iter().enumerate() {
        if let Some(tls) = &listener.tls {
            let setting = format!("listener[{i}].tls.certificate");
            pairs.push((setting, &tls.identity, Purpose::Server));
        }
    }
    let clients = [
        ("upstream.certificate", &settings.upstream.identity),
        ("fetch.certificate", &settings.sources.fetch.identity),
    ];
    for (setting, pair) in clients {
        pairs.extend(
            pair.as_ref()
                .map(|pair| (setting.to_owned(), pair, Purpose::Client)),
        );
    }
    for (setting, pair, purpose) in pairs {
        // If it can't be read, that error is already reported.
        let Ok(chain) = certificates(env, &pair.certificate).await else {
            continue;
        };
        for doubt in chain
            .first()
            .map(|leaf| doubts(leaf, purpose, now))
            .unwrap_or_default()
        {
            let name = match &pair.certificate {
                Pem::File(path) => path,
                Pem::Text(_) => "the certificate",
            };
            findings.warning(
                &setting,
                format!("{name} {doubt}"),
                "issue another certificate",
            );
        }
    }
}

fn doubts(leaf: &[u8], purpose: Purpose, now: Unix) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Ok(leaf) = PeerCertificate::from_der(leaf) {
        if leaf.not_after() <= now {
            doubts.push(format!("expired at {}", rfc3339(leaf.not_after())));
        } else if now < leaf.not_before() {
            doubts.push(format!(
                "is not valid before {}",
                rfc3339(leaf.not_before())
            ));
        }
    }
    if !serves(leaf, purpose) {
        doubts.push(format!(
            "has an extended key usage without {}: the other side would refuse it",
            purpose.as_str()
        ));
    }
    doubts
}
