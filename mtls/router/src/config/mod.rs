//! The configuration: one TOML file, overridden by `CELLWAY__SECTION__KEY` variables.
//!
//! [`Config::load`] reads text and opens no other file, so that `check`, the start and a reload
//! share it. It finds all mistakes at once: of syntax, of form (unknown settings, wrong types) and
//! of meaning (a listener whose policy doesn't exist). Its result needs no further checks except of
//! the files that it names.

mod adaptive;
mod admin;
mod brackets;
mod elsewhere;
mod envelope;
mod error;
mod explain;
mod foreign;
mod health;
mod hints;
mod listeners;
mod misfit;
mod numbers;
mod paths;
mod places;
mod probe;
mod proxy_protocol;
mod report;
mod resolve;
mod retries;
mod routes;
mod schema;
mod serves;
mod shape;
mod sources;
mod stated;
mod tables;
mod traffic;
mod tree;
mod units;
mod unused;
mod variables;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use toml::Table;

pub use self::error::{ConfigError, ConfigErrors, NamedFile, Place};
pub use self::schema::{
    AccessTable, AccessWord, AdaptiveLimitTable, AdminTable, BreakerTable, CallersWord, CheckWord,
    ClientCertificateWord, EnvelopeTable, FetchTable, File, HealthCheckTable, HealthTable,
    ListenerTable, ListenerTlsTable, LogTable, Loopback, Off, OutlierTable, ProxyProtocolTable,
    RegistryTable, RuntimeTable, SecsOrOff, ServesWord, StateTable, UpstreamTable,
    WhenAllEjectedWord,
};
use self::sources::Surroundings;
pub use self::stated::Stated;
pub use self::tables::Tables;
use self::tree::Tree;
use crate::settings::{DrainTimes, RouterSettings};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The router's settings.
    pub router: RouterSettings,
    /// The address of the admin listener. Loopback, unless the settings have `admin_tls`.
    pub admin: Option<SocketAddr>,
    /// The address of the health listener.
    pub health: Option<SocketAddr>,
    /// The number of workers. `None` means one for each core.
    pub workers: Option<usize>,
    /// Whether other processes may listen on the same addresses, for a hand-over.
    pub share_addresses: bool,
    /// How long the listeners wait for the first registry.
    pub open_wait: Duration,
    /// How the router drains after SIGTERM.
    pub drain: DrainTimes,
    /// How often the router checks the configuration, certificates, keys, bundles and key sets for
    /// changes. A registry file has its own interval.
    pub watch: Duration,
    /// What is logged, and where.
    pub log: LogTable,
    /// The settings in the file and the environment, to compare them with later ones.
    pub stated: Stated,
}

impl Config {
    /// The largest configuration file, in bytes.
    pub const BYTES_MAX: usize = 4 << 20;

    /// Reads `text`, the content of `file`, with overrides from `variables`. Relative paths start
    /// at the folder of `file`. Bytes of a variable that are not UTF-8 must have been replaced by
    /// U+FFFD; an override with that character is a mistake.
    ///
    /// # Errors
    /// Every mistake, each with its place, setting and what to do.
    pub fn load(
        file: &str,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        Self::read(file, text, variables.into_iter().collect(), None)
    }

    /// The same for an embedded router, which gets its registry as text and reads no environment.
    /// The text replaces the source in `[registry]`, which may be missing.
    pub(crate) fn with_registry(
        file: &str,
        text: &str,
        registry: Bytes,
    ) -> Result<Self, ConfigErrors> {
        Self::read(file, text, Vec::new(), Some(registry))
    }

    fn read(
        file: &str,
        text: &str,
        variables: Vec<(String, String)>,
        registry: Option<Bytes>,
    ) -> Result<Self, ConfigErrors> {
        let surroundings = Surroundings::new(&variables);
        let mut errors = Vec::new();
        let mut tree = Tree::parse(text, &mut errors);
        if !errors.is_empty() {
            // Nobody knows what a broken line meant, so the rest could be reported for no reason.
            let errors = foreign::foreign(text).map_or(errors, |mistake| vec![mistake]);
            return Err(ConfigErrors::new(file, errors));
        }
        variables::overlay(&mut tree, variables.iter().cloned(), &mut errors);
        if registry.is_some() {
            tree.root.entry("registry").or_insert(Table::new().into());
        }
        let overrides = variables::ours(&variables);
        let tables = shape::shape::<File>(&mut tree, &mut errors);
        let stated = Stated::new(&tree.root, overrides, tree.places.clone());
        let mut named = Vec::new();
        let config = tables.and_then(|tables| {
            named = paths::named(file, &tables);
            let found = errors.clone();
            resolve::resolve(file, tables, &surroundings, registry, |mistake| {
                // A table with mistakes of form was filled with made-up values, which must not be
                // reported.
                let table = table_of(&mistake.setting);
                if let Some(number) = tree.replaced_in(&mistake.setting, &mistake.problem) {
                    // Its own mistake is reported, and doesn't know the range yet.
                    let own = errors.iter_mut().filter(|error| error.setting == number);
                    own.for_each(|own| own.fix.clone_from(&mistake.fix));
                } else if !found.iter().any(|error| table_of(&error.setting) == table) {
                    let place = match mistake.place {
                        Place::Variable(name) => Place::Variable(name),
                        Place::Line(_) | Place::File => tree.place(&mistake.setting),
                    };
                    errors.push(ConfigError { place, ..mistake });
                }
            })
        });
        match config {
            Some(config) if errors.is_empty() => Ok(Self { stated, ..config }),
            _ => {
                // A setting with a mistake may have a made-up value.
                named.retain(|(setting, _)| !errors.iter().any(|error| error.setting == *setting));
                let files = named.into_iter().map(|(setting, path)| NamedFile {
                    place: tree.place(&setting),
                    setting,
                    path,
                });
                Err(ConfigErrors {
                    files: files.collect(),
                    ..ConfigErrors::new(file, errors)
                })
            }
        }
    }
}

/// The table of a setting: `issuer[0]` for `issuer[0].audience`.
fn table_of(setting: &str) -> &str {
    setting.split('.').next().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;
