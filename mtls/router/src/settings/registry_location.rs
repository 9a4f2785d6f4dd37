//! Where registries come from.

use bytes::Bytes;
use cellway_core::registry::RegistryFormat;
use cellway_env::fetch::SourceUrl;

/// Where the registry's documents are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistryLocation {
    /// A file: TOML if its name ends in `.toml`, otherwise JSON.
    File(String),
    /// This JSON document, for a router that is embedded in another program.
    Text(Bytes),
    /// A control plane.
    Http {
        /// The whole URL, including `/manage/cells`.
        url: SourceUrl,
        /// The file with the bearer token. It is read for every fetch, so that it can be replaced.
        token_file: Option<String>,
    },
}

impl RegistryLocation {
    /// The source that a last-known-good copy is bound to.
    pub fn source(&self) -> String {
        match self {
            Self::File(path) => format!("file:{path}"),
            Self::Text(_) => "inline text".to_owned(),
            Self::Http { url, .. } => url.to_string(),
        }
    }

    /// The setting to name in messages about a document.
    pub(crate) fn setting(&self) -> &'static str {
        match self {
            Self::File(_) => "registry.file",
            Self::Text(_) | Self::Http { .. } => "registry",
        }
    }

    /// The format of its documents.
    pub fn format(&self) -> RegistryFormat {
        match self {
            Self::File(path) if path.ends_with(".toml") => RegistryFormat::Toml,
            Self::File(_) | Self::Text(_) | Self::Http { .. } => RegistryFormat::Json,
        }
    }
}
