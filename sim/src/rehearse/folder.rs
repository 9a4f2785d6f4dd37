//! Reads one side of a change: a folder with `cellway.toml` and its registry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cellway_core::registry::{Parsed, Registry, RegistryFormat};
use cellway_router::config::Config;
use cellway_router::settings::{RegistryLocation, RouterSettings};
use serde_json::Value;
use toml::Table;

use super::error::RehearseError;

/// The configuration's file in a folder.
pub(super) const CONFIG: &str = "cellway.toml";

/// What a registry's file is called if the configuration names none in the folder.
const REGISTRIES: [&str; 2] = ["registry.json", "registry.toml"];

/// One side of a change: a configuration and a registry, both valid.
#[derive(Debug)]
pub struct Side {
    /// The folder, as it was given.
    pub folder: PathBuf,
    /// The path of the configuration.
    pub config: String,
    /// The path of the registry.
    pub registry_file: String,
    /// The configuration as it is written.
    pub table: Table,
    /// What the router makes of it.
    pub settings: RouterSettings,
    /// The registry.
    pub registry: Registry,
    /// The registry as it is written, without its tenants.
    pub document: Value,
    /// The ids of all tenants that the registry lists.
    pub tenants: BTreeSet<String>,
    /// The limits of the tenants that have any, as the registry writes them.
    pub limits: BTreeMap<String, String>,
    /// The registry's bytes and their format, to compare it with another as a router does.
    body: Vec<u8>,
    format: RegistryFormat,
}

impl Side {
    /// Reads a folder. `registry` is the name of the registry's file in it, if the configuration doesn't name
    /// it. No environment variable is read.
    ///
    /// # Errors
    /// [`RehearseError`].
    pub fn load(folder: &Path, registry: Option<&str>) -> Result<Self, RehearseError> {
        let config = folder.join(CONFIG);
        let advice = format!("put the configuration there as {CONFIG}");
        let text = String::from_utf8_lossy(&read(&config, &advice)?).into_owned();
        let config = shown(&config);
        let loaded = Config::load(&config, &text, []).map_err(RehearseError::Mistakes)?;
        let settings = loaded.router;
        let file = registry_file(folder, registry, &settings.sources.registry.location)?;
        let advice = "put the registry's document there, or name it with --registry";
        let body = read(&file, advice)?;
        let file = shown(&file);
        let format = RegistryLocation::File(file.clone()).format();
        let refused = |problem: String| RehearseError::Registry {
            source: file.clone(),
            problem,
        };
        let limits = &settings.sources.registry.limits;
        let parsed = Registry::parse(&body, format, None, limits)
            .map_err(|error| refused(error.mistakes().collect::<Vec<_>>().join("\n  ")))?;
        let Parsed::Changed(candidate) = parsed else {
            return Err(refused("it was compared with nothing".to_owned()));
        };
        let mut document = document(&body, format).map_err(refused)?;
        let tenants = tenants(&document);
        let limits = tenants_limits(&document);
        if let Some(document) = document.as_object_mut() {
            document.remove("tenants");
        }
        Ok(Self {
            folder: folder.to_owned(),
            table: text.parse().unwrap_or_default(),
            tenants,
            limits,
            registry: candidate.into_registry(),
            registry_file: file,
            config,
            settings,
            document,
            body,
            format,
        })
    }

    /// Why a router that uses the registry `before` would refuse this one, if it would.
    pub fn refused_after(&self, before: &Self) -> Option<String> {
        let limits = &self.settings.sources.registry.limits;
        let parsed = Registry::parse(&self.body, self.format, Some(&before.registry), limits);
        parsed.err().map(|error| error.to_string())
    }

    /// Whether both registries have the same bytes.
    pub fn has_registry_of(&self, other: &Self) -> bool {
        self.body == other.body
    }
}

fn read(path: &Path, advice: &str) -> Result<Vec<u8>, RehearseError> {
    std::fs::read(path).map_err(|error| RehearseError::Read {
        file: shown(path),
        error,
        advice: advice.to_owned(),
    })
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The registry's file: the one that is asked for, or that the configuration names, or that has a usual name.
fn registry_file(
    folder: &Path,
    asked: Option<&str>,
    location: &RegistryLocation,
) -> Result<PathBuf, RehearseError> {
    if let Some(name) = asked {
        return Ok(folder.join(name));
    }
    let named = match location {
        RegistryLocation::File(path) => Some(PathBuf::from(path)),
        RegistryLocation::Text(_) | RegistryLocation::Http { .. } => None,
    };
    let usual = REGISTRIES.map(|name| folder.join(name));
    let mut candidates = named.iter().chain(&usual);
    if let Some(found) = candidates.find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    match named {
        Some(path) => Ok(path),
        None => Err(RehearseError::Registry {
            source: shown(folder),
            problem: format!(
                "the configuration has a control plane, and nothing is fetched here; put its document into \
                 the folder as {} or {}, or name it with --registry",
                REGISTRIES[0], REGISTRIES[1]
            ),
        }),
    }
}

fn document(body: &[u8], format: RegistryFormat) -> Result<Value, String> {
    match format {
        RegistryFormat::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
        RegistryFormat::Toml => {
            let text = String::from_utf8_lossy(body);
            toml::from_str(&text).map_err(|error| error.to_string())
        }
    }
}

/// The ids of tenants in the current form, and in the older one.
fn tenants(document: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let listed = list(document, "tenants").iter();
    let listed = listed.filter_map(|tenant| text(tenant.get("id")?));
    let cells = list(document, "data").iter();
    let pinned = cells.flat_map(|cell| list(cell, "pinned_tenants"));
    listed.chain(pinned.filter_map(text)).collect()
}

fn tenants_limits(document: &Value) -> BTreeMap<String, String> {
    let tenants = list(document, "tenants").iter();
    tenants
        .filter_map(|tenant| {
            let id = tenant.get("id")?.as_str()?;
            Some((id.to_owned(), tenant.get("limits")?.to_string()))
        })
        .collect()
}

/// A list of the document; empty if there is none.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let list = value.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}
