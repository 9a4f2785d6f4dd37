//! Finds the registry that a router would start with.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::Bytes;
use cellway_core::registry::{Candidate, Parsed, Registry, RegistryError, RegistryErrorReason};
use cellway_env::{Env, Privacy, Store};

use crate::control_plane::checked::{Checked, Fetched};
use crate::control_plane::last_known_good::{LastKnownGood, LoadError, Slot};
use crate::control_plane::sources::{INLINE, file_validator};
use crate::finding::{Findings, Severity};
use crate::settings::RegistryLocation;
use crate::settings::{RegistrySettings, RouterSettings};

/// What the check is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Occasion {
    /// `cellway check` before a deployment: everything that is wrong with the file is an error.
    Check,
    /// A router's start: an unusable document is not an error if the last-known-good copy can
    /// replace it, because a router must be able to restart.
    Start,
}

/// The registry that a router would start with.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) registry: Option<Arc<Registry>>,
    origin: Origin,
}

/// Where a registry comes from.
#[derive(Debug)]
enum Origin {
    /// It is the last-known-good copy.
    Kept,
    /// Its source, and there was no last-known-good copy to compare it with. With the document and
    /// its validator, if there is one.
    Source(Bytes, Option<Arc<str>>),
    /// Its source, and it was validated against the last-known-good copy.
    Compared,
}

impl Found {
    /// The registry for the driver, which puts it in force if it was validated against no other.
    pub(crate) fn into_checked(self) -> Checked {
        let Some(registry) = self.registry.and_then(Arc::into_inner) else {
            return Checked::Nothing;
        };
        match self.origin {
            Origin::Kept => Checked::Kept(Box::new(registry)),
            Origin::Source(body, Some(validator)) => Checked::Fetched(Box::new(Fetched {
                registry,
                body,
                validator,
            })),
            Origin::Source(_, None) | Origin::Compared => Checked::Nothing,
        }
    }
}

/// A document, and what it is called in messages.
struct Source<'a> {
    setting: &'static str,
    name: &'a str,
    validator: Option<Arc<str>>,
    body: io::Result<Bytes>,
}

impl<'a> Source<'a> {
    /// Reads the document. `None` if only a control plane has it.
    async fn read<E: Env>(env: &E, registry: &'a RegistrySettings) -> Option<Self> {
        Some(match &registry.location {
            RegistryLocation::Http { .. } => return None,
            RegistryLocation::Text(text) => Self {
                setting: "registry",
                name: "the given text",
                validator: Some(INLINE.into()),
                body: Ok(text.clone()),
            },
            RegistryLocation::File(path) => {
                let limit = registry.limits.document_bytes_max;
                Self {
                    setting: "registry.file",
                    name: path,
                    // Before the content, so that the first fetch sees a write in between.
                    validator: file_validator(env, path).await.ok(),
                    body: env.store().read(path, limit, Privacy::Any).await,
                }
            }
        })
    }
}

/// The registry that an earlier run kept.
struct RegistryCopy {
    path: String,
    registry: Arc<Registry>,
}

/// Checks the registry's file or text, and compares it with the last-known-good copy on disk, if
/// there is one. It reads files only and asks no control plane.
pub(crate) async fn registry<E: Env>(
    env: &E,
    settings: &RouterSettings,
    occasion: Occasion,
    findings: &mut Findings,
) -> Found {
    let document = last_known_good(env, settings, occasion, findings).await;
    let kept = |document: Option<RegistryCopy>| Found {
        registry: document.map(|document| document.registry),
        origin: Origin::Kept,
    };
    let registry = &settings.sources.registry;
    let limit = registry.limits.document_bytes_max;
    let Some(source) = Source::read(env, registry).await else {
        return kept(document);
    };
    let (setting, name) = (source.setting, source.name);
    let refused = |document, findings: &mut Findings, problem: String, fix: String| {
        kept(refused(occasion, setting, document, findings, problem, fix))
    };
    let body = match source.body {
        Ok(body) => body,
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            let problem = format!("{name} has more than {limit} bytes (registry.bytes_max)");
            let fix = "set registry.bytes_max higher, or make the document smaller";
            return refused(document, findings, problem, fix.to_owned());
        }
        Err(error) => {
            let problem = format!("{name} can't be read: {error}");
            let fix = "check the path and its permissions";
            return refused(document, findings, problem, fix.to_owned());
        }
    };
    let previous = document
        .as_ref()
        .map(|document| Arc::clone(&document.registry));
    match parse(env, registry, body.clone(), previous).await {
        Ok(Parsed::Changed(candidate)) => Found {
            registry: Some(Arc::new(Candidate::into_registry(*candidate))),
            origin: match document {
                None => Origin::Source(body, source.validator),
                Some(_) => Origin::Compared,
            },
        },
        Ok(Parsed::Unchanged(_)) => kept(document),
        Err(why) => {
            let fix = document.as_ref().map(|document| what_to_do(&why, document));
            let problem = format!("{name}: {}", why.detail);
            if occasion == Occasion::Check {
                for other in &why.others {
                    findings.error(setting, format!("{name}: {other}"), "");
                }
            }
            refused(document, findings, problem, fix.unwrap_or_default())
        }
    }
}

async fn parse<E: Env>(
    env: &E,
    settings: &RegistrySettings,
    body: Bytes,
    previous: Option<Arc<Registry>>,
) -> Result<Parsed, RegistryError> {
    let (format, limits) = (settings.location.format(), settings.limits.clone());
    env.heavy(move || Registry::parse(&body, format, previous.as_deref(), &limits))
        .await
}

fn refused(
    occasion: Occasion,
    setting: &'static str,
    document: Option<RegistryCopy>,
    findings: &mut Findings,
    problem: String,
    fix: String,
) -> Option<RegistryCopy> {
    let instead = document.as_ref().map(|document| {
        let version = document.registry.version();
        format!("version {version} in {} is used instead", document.path)
    });
    let (severity, fix) = match (occasion, instead) {
        (Occasion::Start, Some(instead)) => (Severity::Warning, instead),
        (Occasion::Check, Some(instead)) => {
            let fix = if fix.is_empty() { "correct it" } else { &fix };
            (Severity::Error, format!("{fix}. Until then, {instead}"))
        }
        (Occasion::Check | Occasion::Start, None) => (Severity::Error, fix),
    };
    findings.add(severity, setting, problem, fix);
    document
}

/// How to fix a registry that is refused only because of the last-known-good copy.
fn what_to_do(why: &RegistryError, document: &RegistryCopy) -> String {
    let (version, path) = (document.registry.version(), &document.path);
    match why.reason {
        RegistryErrorReason::OlderVersion | RegistryErrorReason::SameVersionOtherContent => {
            format!(
                "{path} holds version {version}: publish the document under a higher version, or \
             remove that file before the start to use a lower version"
            )
        }
        RegistryErrorReason::Shrunken => format!(
            "compared with version {version} in {path}: add allow_shrink_from = {version} \
             if the loss is intended"
        ),
        RegistryErrorReason::Invalid
        | RegistryErrorReason::Oversized
        | RegistryErrorReason::Empty => String::new(),
    }
}

async fn last_known_good<E: Env>(
    env: &E,
    settings: &RouterSettings,
    occasion: Occasion,
    findings: &mut Findings,
) -> Option<RegistryCopy> {
    let last_known_good = LastKnownGood::new(settings.sources.state.as_deref()?);
    let registry = &settings.sources.registry;
    let (path, source) = (
        last_known_good.path(&Slot::Registry),
        registry.location.source(),
    );
    let limit = registry.limits.document_bytes_max;
    let problem = match last_known_good
        .load(env, &Slot::Registry, &source, limit)
        .await
    {
        Ok(None) => return None,
        Ok(Some((_, document))) => match parse(env, registry, document.body, None).await {
            Ok(Parsed::Changed(candidate)) => {
                let registry = Arc::new(candidate.into_registry());
                return Some(RegistryCopy { path, registry });
            }
            // There was nothing to compare with.
            Ok(Parsed::Unchanged(_)) => return None,
            Err(refused) => refused.to_string(),
        },
        // `examine` has reported it as an error.
        Err(LoadError::Io(error)) if error.kind() == ErrorKind::NotADirectory => return None,
        Err(refused) => refused.to_string(),
    };
    // A starting router reports this itself when it restores the copy. `examine` has warned about a
    // folder that can't be written.
    if occasion == Occasion::Check && env.store().can_replace(&path).await.is_ok() {
        let problem = format!("{path} can't be used as last-known-good: {problem}");
        let fix = "nothing to do: the next good document replaces it";
        findings.warning("state.directory", problem, fix);
    }
    None
}
